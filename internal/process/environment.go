package process

import (
	"os"
	"slices"
)

// Environment returns an environment that has nothing of this program's but PATH, HOME and LANG, so that no secret of it is inherited, and what is
// given. LANG is C.UTF-8 if there is none. The result is sorted.
func Environment(values map[string]string) []string {
	all := map[string]string{"LANG": "C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "LANG"} {
		if value, ok := os.LookupEnv(name); ok {
			all[name] = value
		}
	}
	for name, value := range values {
		all[name] = value
	}
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

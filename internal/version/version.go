// Package version knows which leat this is.
package version

import (
	"runtime/debug"
	"sync"
)

// String returns the version: of the module, if it was installed as one, else "dev" with the commit it was built from.
var String = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
})

// UserAgent is how leat names itself to providers.
func UserAgent() string { return "leat/" + String() }

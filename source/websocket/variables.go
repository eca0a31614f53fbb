package websocket

import (
	"maps"
	"sync"

	"github.com/leatstream/leat/internal/expression"
)

// variables are those of the texts of one connection. Messages change them while several goroutines use them.
type variables struct {
	mu    sync.Mutex
	named map[string]any
}

// set changes one.
func (v *variables) set(name string, value any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.named[name] = value
}

// some returns those of some names that are set, and whether all are.
func (v *variables) some(names []string) (values map[string]any, all bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	values = map[string]any{}
	for _, name := range names {
		if value, ok := v.named[name]; ok {
			values[name] = value
		}
	}
	return values, len(values) == len(names)
}

// expand returns a text with the variables, of which more come before others of the same name.
func (v *variables) expand(t *expression.Template, more map[string]any) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(more) == 0 {
		return t.Expand(v.named, nil)
	}
	vars := make(map[string]any, len(v.named)+len(more))
	maps.Copy(vars, v.named)
	maps.Copy(vars, more)
	return t.Expand(vars, nil)
}

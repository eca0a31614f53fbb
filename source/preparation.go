package source

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/leatstream/leat"
)

// Preparation finds out what is wanted before each connection of a source. Start makes one. Its methods may be called from several goroutines at a
// time.
type Preparation struct {
	before *Before
	dial   Dialer
	hosts  hosts
}

// Start returns the Preparation that the settings describe, whose defaults are filled in and that Check has passed. dial opens the network
// connections; nil is the network of this machine.
func (b *Before) Start(dial Dialer) *Preparation {
	return &Preparation{before: b, dial: dial, hosts: hosts{list: b.Hosts, order: b.HostOrder}}
}

// Variables returns what the texts of the settings may use in an attempt to connect, which follows a cursor. The caller may add to it. An error is
// best an *EndError.
func (p *Preparation) Variables(ctx context.Context, after leat.Cursor) (map[string]any, error) {
	vars := map[string]any{"cursor": string(after), "page": ""}
	maps.Copy(vars, variablesOf(ctx))
	if err := p.fill(ctx, vars); err != nil {
		return nil, err
	}
	return vars, nil
}

type variablesKey struct{}

// withVariables returns a context under which Variables returns others as well.
func withVariables(ctx context.Context, vars map[string]any) context.Context {
	return context.WithValue(ctx, variablesKey{}, vars)
}

func variablesOf(ctx context.Context) map[string]any {
	vars, _ := ctx.Value(variablesKey{}).(map[string]any)
	return vars
}

// fill sets everything but the cursor.
func (p *Preparation) fill(_ context.Context, vars map[string]any) error {
	if host, ok := p.hosts.next(); ok {
		vars["host"] = host
	}
	own := map[string]any{}
	for name, t := range p.before.Variables {
		value, err := t.Expand(vars, nil)
		if err != nil {
			return fmt.Errorf("variables %s: %w", name, err)
		}
		own[name] = value
	}
	maps.Copy(vars, own)
	return nil
}

// Try calls connect, which uses vars, that Variables returned.
func (p *Preparation) Try(ctx context.Context, vars map[string]any, connect func() error) error {
	err := connect()
	if ctx.Err() == nil {
		host, _ := vars["host"].(string)
		p.hosts.tried(host, err == nil)
	}
	return err
}

// hosts are those that serve the same.
type hosts struct {
	list  []string
	order string

	mu     sync.Mutex
	at     int
	failed string // the one that did last
}

// next returns the host for an attempt.
func (h *hosts) next() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == 0 {
		return "", false
	}
	if h.order != "random" {
		return h.list[h.at], true
	}
	others := slices.DeleteFunc(slices.Clone(h.list), func(host string) bool { return host == h.failed })
	if len(others) == 0 {
		others = h.list
	}
	return others[rand.IntN(len(others))], true
}

// tried tells what became of an attempt.
func (h *hosts) tried(host string, succeeded bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.list) == 0:
	case succeeded && h.order == "ordered":
		h.at = 0
	case succeeded:
	case h.list[h.at] == host:
		h.at = (h.at + 1) % len(h.list) // where others have failed there, too, it has moved already
		fallthrough
	default:
		h.failed = host
	}
}

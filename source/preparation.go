package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

// Preparation finds out what is wanted before each connection of a source. Start makes one. Its methods may be called from several goroutines at a
// time.
type Preparation struct {
	before  *Before
	hosts   hosts
	tokens  *tokens  // nil: there are no credentials
	own     []string // the names of variables, in their order
	lookups []*looking
	tape    atomic.Pointer[Tape] // the last one; nil: nothing was recorded
}

// Start returns the Preparation that the settings describe, whose defaults are filled in and that Check has passed. dial opens the network
// connections; nil is the network of this machine.
func (b *Before) Start(dial Dialer) *Preparation {
	p := &Preparation{before: b, hosts: hosts{list: b.Hosts, order: b.HostOrder}}
	if b.Credentials != nil {
		setting.Default(b.Credentials)
		p.tokens = newTokens(b, dial)
	}
	p.own, _ = b.ordered()
	earlier := []string{"cursor", "host"}
	for i := range b.Lookup {
		l := &b.Lookup[i]
		setting.Default(l)
		used := b.through(l.names())
		after := slices.DeleteFunc(slices.Clone(earlier), func(name string) bool { return !slices.Contains(used, name) })
		p.lookups = append(p.lookups, &looking{Lookup: l, name: fmt.Sprintf("lookup[%d]", i), client: newClient(l.request(), b, dial), after: after})
		earlier = append(earlier, slices.Sorted(maps.Keys(l.Set))...)
	}
	return p
}

// Variables returns what the texts of the settings may use in an attempt to connect, which follows a cursor. The caller may add to it. An error is
// best an *EndError.
func (p *Preparation) Variables(ctx context.Context, after leat.Cursor) (map[string]any, error) {
	if tape := TapeOf(ctx); tape != nil {
		p.tape.Store(&tape)
	}
	last, _ := ctx.Value(omenKey{}).(omen)
	if last.unproven {
		p.hosts.unproven()
	}
	if last.refused {
		p.forget()
	}
	vars := map[string]any{"cursor": string(after), "page": ""}
	maps.Copy(vars, variablesOf(ctx))
	err := p.fill(ctx, vars)
	if p.stale(vars, err) {
		err = p.fill(ctx, vars)
		p.stale(vars, err)
	}
	if err != nil {
		if ctx.Err() == nil && p.before.usesHost() {
			p.tried(vars, false)
		}
		return nil, p.clean(vars, err)
	}
	return vars, nil
}

// Open makes an attempt to connect that follows a cursor: it finds out what is wanted, and hands it to connect, as Try does.
func (p *Preparation) Open(ctx context.Context, after leat.Cursor, connect func(vars map[string]any) (Conn, error)) (c Conn, err error) {
	vars, err := p.Variables(ctx, after)
	if err != nil {
		return nil, err
	}
	err = p.Try(ctx, vars, func() error {
		c, err = connect(vars)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

type omenKey struct{}

// omen is what the end of a connection says about the next one.
type omen struct {
	unproven bool // it ended before it proved itself: its host counts as one where an attempt failed
	refused  bool // the provider turned us away: what was found out for it is forgotten
}

// withOmen returns a context that tells Variables how the last connection ended.
func withOmen(ctx context.Context, o omen) context.Context {
	return context.WithValue(ctx, omenKey{}, o)
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
func (p *Preparation) fill(ctx context.Context, vars map[string]any) error {
	if host, ok := p.hosts.next(); ok {
		vars["host"] = host
	}
	if p.tokens != nil {
		token, err := p.tokens.get(ctx, vars)
		if err != nil {
			return err
		}
		vars["token"] = token
		p.hide(token)
	}
	for _, name := range p.own {
		t := p.before.Variables[name]
		value, err := t.Expand(vars, nil)
		if err != nil {
			return fmt.Errorf("variables %s: %w", name, err)
		}
		vars[name] = value
	}
	for _, l := range p.lookups {
		set, err := l.ask(ctx, vars)
		if err != nil {
			return err
		}
		maps.Copy(vars, set)
	}
	p.hide(p.secrets(vars)...)
	return nil
}

// Try calls connect, which uses vars, that Variables returned. Where the provider refuses us, and we came with something that was found out for an earlier
// attempt, such as a token, it is found out anew, in vars, and connect is called once more.
func (p *Preparation) Try(ctx context.Context, vars map[string]any, connect func() error) error {
	err := connect()
	if ctx.Err() == nil && p.stale(vars, err) {
		if err = p.fill(ctx, vars); err == nil {
			err = connect()
			p.stale(vars, err)
		}
	}
	if ctx.Err() == nil {
		p.tried(vars, err == nil)
	}
	if err == nil {
		p.served()
	}
	return p.clean(vars, err)
}

func (p *Preparation) served() {
	if p.tokens != nil {
		p.tokens.kept.served()
	}
	for _, l := range p.lookups {
		l.kept.served()
	}
}

func (p *Preparation) tried(vars map[string]any, succeeded bool) {
	host, _ := vars["host"].(string)
	p.hosts.tried(host, succeeded)
}

// renew replaces a token that is about to expire.
func (p *Preparation) renew(ctx context.Context, vars map[string]any) error {
	if p.tokens == nil || p.tokens.OAuth2 == nil || p.tokens.kept.holds("", func(token string) bool { return token == vars["token"] }) {
		return nil
	}
	token, err := p.tokens.get(ctx, vars)
	if err != nil {
		return p.clean(vars, err)
	}
	vars["token"] = token
	p.hide(token)
	return nil
}

// stale forgets what was found out for an earlier attempt, if an error says that the provider does not accept it, and reports whether finding it out
// anew may help.
func (p *Preparation) stale(vars map[string]any, err error) (may bool) {
	var end *EndError
	if !errors.As(err, &end) || end.Kind != EndFatal && (end.Kind != EndHTTP || end.Code != http.StatusUnauthorized && end.Code != http.StatusForbidden) {
		return false
	}
	if p.tokens != nil {
		may = p.tokens.kept.forget(func(token string) bool { return token == vars["token"] })
	}
	for _, l := range p.lookups {
		used := func(set map[string]any) bool {
			for name, value := range set {
				if !reflect.DeepEqual(vars[name], value) {
					return false
				}
			}
			return true
		}
		may = l.kept.forget(used) || may
	}
	return may
}

// forget drops all that was found out for earlier attempts.
func (p *Preparation) forget() {
	if p.tokens != nil {
		p.tokens.kept.forget(func(string) bool { return true })
	}
	for _, l := range p.lookups {
		l.kept.forget(func(map[string]any) bool { return true })
	}
}

// secrets returns what of the variables is secret: the token, and what look-ups have found out and named so.
func (p *Preparation) secrets(vars map[string]any) (all []string) {
	add := func(value any) {
		if text, ok := value.(string); ok && len(text) >= leastSecret {
			all = append(all, text)
		}
	}
	add(vars["token"])
	for _, l := range p.lookups {
		for name := range l.Set {
			if setting.Telling(name) {
				add(vars[name])
			}
		}
	}
	return all
}

// leastSecret is the length from which a secret is looked for: what is shorter would be found everywhere.
const leastSecret = 4

// clean takes secrets out of what a provider said.
func (p *Preparation) clean(vars map[string]any, err error) error {
	var end *EndError
	if !errors.As(err, &end) || end.Reason == "" {
		return err
	}
	out := *end
	for _, secret := range p.secrets(vars) {
		out.Reason = strings.ReplaceAll(out.Reason, secret, "(secret)")
	}
	return &out
}

// hide keeps secrets out of recordings.
func (p *Preparation) hide(secrets ...string) {
	tape := p.tape.Load()
	if tape == nil {
		return
	}
	if h, ok := (*tape).(SecretKeeper); ok {
		for _, secret := range secrets {
			h.KeepSecret(secret)
		}
	}
}

// hosts are those that serve the same.
type hosts struct {
	list  []string
	order string

	mu     sync.Mutex
	at     int
	failed string // the one that did last
	taken  string // the one that a connection was opened to last
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
	if succeeded {
		h.taken = host
	}
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

// unproven tells that the connection that was opened last came to nothing.
func (h *hosts) unproven() {
	h.mu.Lock()
	host := h.taken
	h.taken = ""
	h.mu.Unlock()
	if host != "" {
		h.tried(host, false)
	}
}

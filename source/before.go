package source

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Before are the settings of what a source finds out before it connects, anew at every attempt. What comes of it are variables for the texts of
// the settings: {{cursor}}, {{host}}, and those that have a name here; and {{outage_seconds}} and {{outage_minutes}}, for how long nothing has covered what the
// provider sends, rounded up, and empty where something does, or nothing ever did.
type Before struct {
	// Hosts that serve the same, such as [eu.example.com, "us.example.com:8443"]: {{host}} in the address is one of them. Where positions hold on one host
	// only, cursor_overlap says how far to go back on another.
	Hosts []string `yaml:"hosts"`

	// Which host an attempt takes. "rotate": the same as the last one, and the next one after an attempt that failed, or a connection that ended
	// soon. "ordered": the first one, after such attempts the next one, until one succeeds. "random": any, but not the one that failed last.
	HostOrder string `yaml:"host_order" default:"rotate" enum:"rotate,ordered,random"`

	// Whether a cursor, or what a broker keeps for us, is the same on all hosts. Otherwise more than one host and a cursor need cursor_overlap.
	SharedCursor bool `yaml:"shared_cursor"`

	// Where a token comes from: {{token}}. Default: nowhere.
	Credentials *Credentials `yaml:"credentials"`

	// Variables of your own, as texts that may contain the ones above, each other and functions: {key: "${API_KEY}", nonce: "{{unix_ms()}}"}. They are
	// evaluated once for each attempt.
	Variables map[string]expression.Template `yaml:"variables"`

	// Requests over HTTP before each connection, in their order, whose answers are needed for it, such as [{url: "https://example.com/open", set: {url:
	// data.url}}]. A source of type poll makes them before its first request, and again when it is refused. At most 16.
	Lookup []Lookup `yaml:"lookup"`

	// Whether an address whose host does not stand in the configuration may be one of this machine or of a private network. Without it, what a
	// look-up or an event says cannot lead into networks that only this machine reaches, whatever its name resolves to. For tests; hosts that stand in the
	// configuration may always be such.
	AllowPrivate bool `yaml:"allow_private"`
}

// Preparer is implemented by the settings of a Source that finds something out before it connects.
type Preparer interface {
	// Prepares returns the settings that say what.
	Prepares() *Before
}

// reservedNames are variables that Leat sets.
var reservedNames = []string{"cursor", "page", "host", "msg", "outage_seconds", "outage_minutes"}

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	hostPattern  = regexp.MustCompile(`^([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)
)

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (b *Before) Check() error {
	var wrong []error
	for i, host := range b.Hosts {
		if !hostPattern.MatchString(host) {
			wrong = append(wrong, &setting.FieldError{Field: fmt.Sprintf("hosts[%d]", i), Err: errors.New("expected a host or host:port"), Hint: "the scheme and the path stand in the address, round {{host}}"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Variables)) {
		t := b.Variables[name]
		if err := b.checkVariable(name); err != nil {
			wrong = append(wrong, &setting.FieldError{Field: "variables." + name, Err: err})
		}
		for _, other := range t.Names() {
			if !slices.Contains(b.known(0), other) && !strings.HasPrefix(other, "gap_") {
				wrong = append(wrong, setting.FieldErrorf("variables."+name, "it uses {{%s}}, which nothing before it sets", other))
			}
		}
	}
	if _, circle := b.ordered(); circle != "" {
		wrong = append(wrong, setting.FieldErrorf("variables."+circle, "it uses itself, at once or through others"))
	}
	if b.Credentials != nil {
		wrong = append(wrong, b.Credentials.check(b))
	}
	if len(b.Lookup) > maxLookups {
		wrong = append(wrong, setting.FieldErrorf("lookup", "at most %d, got %d", maxLookups, len(b.Lookup)))
	}
	known := b.known(0)
	for i := range b.Lookup {
		wrong = append(wrong, b.Lookup[i].check(b, fmt.Sprintf("lookup[%d]", i), known))
		known = b.known(i + 1)
	}
	return errors.Join(wrong...)
}

// known returns the variables that are set before the look-up with an index; those that every text may use with the number of look-ups.
func (b *Before) known(lookup int) []string {
	known := slices.Concat([]string{"cursor", "page", "host", "outage_seconds", "outage_minutes"}, slices.Collect(maps.Keys(b.Variables)))
	if b.Credentials != nil {
		known = append(known, "token")
	}
	for i := range min(lookup, len(b.Lookup)) {
		known = slices.AppendSeq(known, maps.Keys(b.Lookup[i].Set))
	}
	return known
}

// ordered returns the names of the variables so that each comes behind those that it uses, or one that uses itself.
func (b *Before) ordered() (names []string, circle string) {
	for left := slices.Sorted(maps.Keys(b.Variables)); len(left) > 0; {
		i := slices.IndexFunc(left, func(name string) bool {
			t := b.Variables[name]
			return !slices.ContainsFunc(t.Names(), func(used string) bool { return slices.Contains(left, used) })
		})
		if i < 0 {
			return nil, left[0]
		}
		names = append(names, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return names, ""
}

// through returns names, and those that the variables among them use.
func (b *Before) through(names []string) []string {
	for i := 0; i < len(names); i++ { // it grows
		t := b.Variables[names[i]]
		for _, name := range t.Names() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// checkVariable returns what is wrong with the name of a variable.
func (b *Before) checkVariable(name string) error {
	switch {
	case name == "token" && b.Credentials != nil:
		return errors.New("the variable token is set by credentials")
	case slices.Contains(reservedNames, name), strings.HasPrefix(name, "gap_"):
		return fmt.Errorf("the variable %s is set by Leat", name)
	case !variableName.MatchString(name):
		return errors.New("the name of a variable is letters, digits and _, and begins with no digit")
	}
	return nil
}

// CheckAddress returns what is wrong with an address: its scheme must be one of schemes, where the settings tell the scheme.
func (b *Before) CheckAddress(address *expression.Template, schemes ...string) error {
	if len(b.Hosts) > 0 && !slices.Contains(address.HostNames(), "host") && b.literal(address) {
		return &setting.FieldError{
			Field: "url", Err: errors.New("there are hosts, but the address does not use {{host}}"), Hint: "write " + schemes[len(schemes)-1] + "://{{host}}/…",
		}
	}
	return b.checkAddress(address, b.known(len(b.Lookup)), schemes...)
}

// checkAddress is CheckAddress where certain variables are known.
func (b *Before) checkAddress(address *expression.Template, known []string, schemes ...string) error {
	wrong := func(err error, hint string) error { return &setting.FieldError{Field: "url", Err: err, Hint: hint} }
	text, err := address.ExpandAddress(b.sample(known))
	if found := slices.ContainsFunc(address.Names(), b.foundOut); found && (err != nil || !b.literal(address)) {
		return nil //nolint:nilerr // the attempt finds out
	}
	if err != nil {
		return wrong(err, "")
	}
	u, err := parseAddress(text)
	expected := errors.New("expected an address that begins with " + strings.Join(schemes, ":// or ") + "://")
	switch {
	case err != nil:
		return wrong(errors.New("not an address"), "write "+schemes[len(schemes)-1]+"://HOST/…")
	case slices.Contains(schemes, "http") && (u.Scheme == "ws" || u.Scheme == "wss"):
		return wrong(fmt.Errorf("%w, got %s://", expected, u.Scheme), "is it a source of type websocket?")
	case !slices.Contains(schemes, u.Scheme) && slices.Contains([]string{"http", "https"}, u.Scheme):
		return wrong(fmt.Errorf("%w, got %s://", expected, u.Scheme), "")
	case !slices.Contains(schemes, u.Scheme), u.Host == "":
		return wrong(expected, "")
	}
	return nil
}

// CheckUse returns what is used, but set nowhere. names are the variables that the other settings name; field is that of the address.
func (b *Before) CheckUse(field string, names []string) error {
	var wrong []error
	if len(b.Hosts) == 0 && slices.Contains(names, "host") {
		wrong = append(wrong, setting.FieldErrorf(field, "{{host}} is used, but there are no hosts"))
	}
	if slices.Contains(names, "token") && !slices.Contains(b.known(len(b.Lookup)), "token") {
		wrong = append(wrong, &setting.FieldError{Field: field, Err: errors.New("{{token}} is used, but nothing sets it"), Hint: "say where it comes from with credentials"})
	}
	return errors.Join(wrong...)
}

// CheckNames returns which variables of a text that is used before anything is said or heard are set nowhere, beside those of CheckUse. more are
// known, too.
func (b *Before) CheckNames(field string, names []string, more ...string) error {
	return b.unset(field, names, more, "set it with variables or lookup")
}

// CheckSaid is CheckNames for a text that may be used once something has been heard: heard are the variables that messages set.
func (b *Before) CheckSaid(field string, names, heard []string) error {
	return b.unset(field, names, heard, "set it with variables, lookup, remember or a step of the handshake")
}

func (b *Before) unset(field string, names, more []string, hint string) error {
	known := slices.Concat(b.known(len(b.Lookup)), more, []string{"token"})
	var wrong []error
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if slices.Contains(known, name) {
			continue
		}
		e := &setting.FieldError{Field: field, Err: fmt.Errorf("{{%s}} is used, but nothing sets it", name), Hint: hint}
		if near, ok := setting.Nearest(name, known); ok {
			e.Hint = fmt.Sprintf("did you mean {{%s}}?", near)
		}
		wrong = append(wrong, e)
	}
	return errors.Join(wrong...)
}

// foundOut reports whether the value of a variable is known only at an attempt.
func (b *Before) foundOut(name string) bool {
	return name != "cursor" && name != "page" && name != "host"
}

// CheckHosts returns what is wrong with a cursor that may not hold on all hosts of the settings of an adapter.
func (s *Settings) CheckHosts(adapter any) error {
	p, ok := adapter.(Preparer)
	if !ok || len(p.Prepares().Hosts) < 2 || s.Cursor.IsZero() || !s.CursorOverlap.IsZero() || p.Prepares().SharedCursor {
		return nil
	}
	return &setting.FieldError{
		Field: "hosts", Err: errors.New("a cursor of one host may be another position on the next one, and cursor_overlap does not say how far to go back"),
		Hint: "add cursor_overlap and event_id, or shared_cursor: true where all hosts count alike",
	}
}

// sample returns variables to try a template with.
func (b *Before) sample(known []string) map[string]any {
	vars := map[string]any{}
	for _, name := range known {
		vars[name] = "x"
	}
	vars["cursor"], vars["page"] = "", ""
	if len(b.Hosts) > 0 {
		vars["host"] = b.Hosts[0]
	}
	return vars
}

// literal reports whether the scheme and the host of an address stand in the configuration.
func (b *Before) literal(address *expression.Template) bool {
	for _, name := range address.HostNames() {
		t, ours := b.Variables[name]
		if name != "host" && !(ours && len(t.Names()) == 0) {
			return false
		}
	}
	return true
}

// Uses reports whether something of b names a variable.
func (b *Before) Uses(variable string) bool {
	for _, t := range b.Variables {
		if t.Uses(variable) {
			return true
		}
	}
	for i := range b.Lookup {
		if slices.Contains(b.Lookup[i].names(), variable) {
			return true
		}
	}
	return false
}

// usesHost reports whether what is found out depends on the host.
func (b *Before) usesHost() bool {
	return b.Uses("host") || b.Credentials != nil && b.Credentials.OAuth2 != nil && b.Credentials.OAuth2.TokenURL.Uses("host")
}

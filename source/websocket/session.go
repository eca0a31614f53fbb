package websocket

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Session says how to go on with a session that outlives its connections, such as those of Discord. The position is stored with the events and handed back to
// the next connection, which then says handshake.resume.
type Session struct {
	// The position behind a message, such as s. It is {{cursor}} in the next connection. The first message that has one shows that the
	// session is there; before that nothing counts as a sign of life. Where one message holds many events the last one has the position.
	Cursor expression.Value `yaml:"cursor,required"`

	// Variables of remember and handshake that the next connection gets beside it, such as [session_id, resume_gateway_url]. Before all of them are
	// set no position is stored. They are shown with the cursor wherever that is, so that they should be no keys.
	Keep []string `yaml:"keep"`
}

// Remember is a message that changes variables.
type Remember struct {
	// The messages that it is about, such as t == "READY".
	When expression.Condition `yaml:"when,required"`

	// Variables for all texts said behind it, {{NAME}}, by what they are in the message: {session_id: d.session_id}. What a message does not have stays as
	// it was.
	Set map[string]expression.Value `yaml:"set,required"`
}

// Returns implements source.Returner.
func (c *Config) Returns() bool { return c.Session != nil }

// Forgets implements source.Forgetful.
func (c *Config) Forgets() bool { return c.Session != nil }

// checkSession returns what is wrong with what is remembered.
func (c *Config) checkSession() (wrong []error) {
	set := c.remembered()
	for i := range c.Remember {
		if _, ok := c.Remember[i].Set["cursor"]; ok {
			wrong = append(wrong, setting.FieldErrorf("remember["+strconv.Itoa(i)+"].set", "cursor is the position to resume from"))
		}
	}
	if c.Session == nil {
		return wrong
	}
	for _, name := range c.Session.Keep {
		if !slices.Contains(set, name) {
			wrong = append(wrong, setting.FieldErrorf("session.keep", "%q is set neither by remember nor by the handshake", name))
		}
	}
	if len(c.Handshake.Resume) == 0 {
		wrong = append(wrong, setting.FieldErrorf("session", "handshake.resume is missing: what is said to go on with a session"))
	}
	return wrong
}

// remembered returns the names of the variables that messages set.
func (c *Config) remembered() (names []string) {
	for i := range c.Remember {
		names = slices.AppendSeq(names, maps.Keys(c.Remember[i].Set))
	}
	for _, steps := range [][]Step{c.Handshake.Steps, c.Handshake.Resume} {
		for i := range steps {
			names = slices.AppendSeq(names, maps.Keys(steps[i].Set))
		}
	}
	return names
}

// place is the cursor of an event of a session.
type place struct {
	Cursor string          `json:"cursor"`
	Keep   json.RawMessage `json:"keep"`
}

// recall returns what a cursor of an event of a session says. It reports false for what is none.
func (s *Session) recall(after leat.Cursor) (cursor string, kept map[string]any, ok bool) {
	var p place
	if json.Unmarshal([]byte(after), &p) != nil || p.Cursor == "" {
		return "", nil, false
	}
	d := json.NewDecoder(bytes.NewReader(p.Keep))
	d.UseNumber()
	if d.Decode(&kept) != nil {
		return "", nil, false
	}
	for _, name := range s.Keep {
		value, has := kept[name]
		if !has {
			return "", nil, false // the settings were others then
		}
		if n, isNumber := value.(json.Number); isNumber {
			kept[name] = number(n)
		}
	}
	return p.Cursor, kept, true
}

// number is n as expressions have it.
func number(n json.Number) any {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n.String()
}

// tracker knows the position of one connection in its session. The reading goroutine owns it.
type tracker struct {
	*Session
	kept []byte // JSON; nil: not all are set, or one has changed
}

// changed notes that a variable was set.
func (t *tracker) changed(name string) {
	if slices.Contains(t.Keep, name) {
		t.kept = nil
	}
}

// mark gives the last of the events of a message its cursor, and reports whether the message shows that the session is there.
func (t *tracker) mark(m *expression.Message, events []leat.Event, vars *variables) bool {
	at, ok := t.Cursor.Text(m)
	if !ok {
		return false
	}
	if len(events) == 0 {
		return true
	}
	if t.kept == nil {
		values, all := vars.some(t.Keep)
		if !all {
			return true
		}
		text, err := json.Marshal(values)
		if err != nil {
			return true
		}
		t.kept = text
	}
	if text, err := json.Marshal(place{at, t.kept}); err == nil {
		events[len(events)-1].Cursor = leat.Cursor(text)
	}
	return true
}

package source

import (
	"cmp"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

// greatest is the cursor_kind of a provider whose events come in no order.
const greatest = "max"

// Overlap is how far before the cursor a connection begins: a number, or a time. The zero Overlap is none.
type Overlap struct {
	number int64
	time   time.Duration
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Overlap) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && n >= 0 {
		*o = Overlap{number: n}
		return nil
	}
	if d, err := setting.ParseDuration(string(text)); err == nil && d >= 0 {
		*o = Overlap{time: d}
		return nil
	}
	return fmt.Errorf("expected a number such as 100, or a duration such as 5s, got %q", text)
}

// MarshalText implements encoding.TextMarshaler.
func (o Overlap) MarshalText() ([]byte, error) {
	if o.time != 0 {
		return []byte(setting.FormatDuration(o.time)), nil
	}
	return strconv.AppendInt(nil, o.number, 10), nil
}

// IsZero reports whether there is none.
func (o Overlap) IsZero() bool { return o == Overlap{} }

// before returns the cursor that lies o before another one. It returns the same where that has no such place: a time before a
// number that is no time, or anything before a text.
func (o Overlap) before(c leat.Cursor) leat.Cursor {
	n, ok := wholeNumber(string(c))
	switch {
	case o.IsZero(), !ok && o.time == 0:
		return c
	case !ok:
		t, err := time.Parse(time.RFC3339Nano, string(c))
		if err != nil {
			return c
		}
		return leat.Cursor(t.Add(-o.time).Format(time.RFC3339Nano))
	}
	back := big.NewInt(o.number)
	if o.time != 0 {
		unit := timeUnit(n)
		if unit == 0 {
			return c
		}
		back.SetInt64(int64((o.time + unit - 1) / unit))
	}
	if n.Sub(n, back); n.Sign() < 0 {
		n.SetInt64(0)
	}
	return leat.Cursor(n.String())
}

// timeUnit returns of what a number counts if it is a time since 1970, told apart by its size as parseTime does; 0 if it is of no year from 2001 on.
func timeUnit(n *big.Int) time.Duration {
	if !n.IsInt64() {
		return 0
	}
	switch v := n.Int64(); {
	case v < 1e9, v >= 1e11 && v < 1e12:
		return 0
	case v < 1e11:
		return time.Second
	case v < 1e14:
		return time.Millisecond
	case v < 1e17:
		return time.Microsecond
	}
	return time.Nanosecond
}

// longestNumber bounds the digits of what is taken for a number.
const longestNumber = 64

// compareCursors orders numbers as such, times of RFC 3339 as such, and anything else as texts.
func compareCursors(a, b leat.Cursor) int {
	x, y := string(a), string(b)
	if n, ok := wholeNumber(x); ok {
		if o, ok := wholeNumber(y); ok {
			return n.Cmp(o)
		}
	}
	f, err := strconv.ParseFloat(x, 64)
	if g, err2 := strconv.ParseFloat(y, 64); err == nil && err2 == nil {
		return cmp.Compare(f, g)
	}
	s, err := time.Parse(time.RFC3339Nano, x)
	if t, err2 := time.Parse(time.RFC3339Nano, y); err == nil && err2 == nil {
		return s.Compare(t)
	}
	return strings.Compare(x, y)
}

func wholeNumber(text string) (*big.Int, bool) {
	if len(text) > longestNumber {
		return nil, false
	}
	return new(big.Int).SetString(text, 10)
}

// later reports whether the cursor of the source is to move from one place to another. The caller holds mu.
func (m *Manager) later(from, to leat.Cursor) bool {
	return m.Settings.CursorKind != greatest || from == "" || from == m.lost || compareCursors(to, from) > 0
}

// resuming is how a connection resumes.
type resuming struct {
	position             // what is stored up to here
	asked    leat.Cursor // what the provider is asked for; differs from the position with an overlap, or if that is lost
	lost     bool        // the provider no longer has the position
	proved   bool        // the first event is to prove that the provider goes back to it
}

// resume returns what the next connection is to follow.
func (m *Manager) resume() resuming {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := resuming{position: m.at, asked: m.at.cursor}
	if m.at.cursor == "" {
		return r
	}
	if r.lost = m.lost == m.at.cursor; r.lost {
		r.asked, r.proved = "", true
		if m.Settings.OnLostCursor == lostOldest {
			r.asked = leat.Cursor(m.Settings.OldestCursor)
		}
		return r
	}
	r.asked = m.Settings.CursorOverlap.before(m.at.cursor)
	r.proved = m.Settings.CursorMode == inclusive || r.asked != m.at.cursor
	return r
}

// proves reports whether a first event shows that the provider went back to where it was asked to.
func (r *resuming) proves(got leat.Cursor) bool {
	switch {
	case got == "":
		return false
	case got == r.cursor:
		return true
	}
	return !r.lost && r.asked != r.cursor && compareCursors(got, r.cursor) <= 0
}

// refutation says what the first event of a connection shows instead.
func (r *resuming) refutation(got position) string {
	what := "asked for what follows cursor " + r.shown()
	if r.lost {
		what = "the provider no longer has what follows cursor " + r.shown()
	} else if r.asked != r.cursor {
		what = fmt.Sprintf("asked for what follows cursor %s, to come to %s", position{cursor: r.asked}.shown(), r.shown())
	}
	if got.cursor == "" {
		return what + ", the first event has none"
	}
	return what + ", the first event has " + got.shown()
}

// What is done when the provider no longer has the cursor.
const (
	lostLive   = "live"
	lostOldest = "oldest"
)

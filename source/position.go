package source

import (
	"cmp"
	"hash/maphash"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat"
)

// position is where in what a provider sends an event is.
type position struct {
	cursor leat.Cursor
	time   time.Time // when the event happened; zero: unknown
	place  uint64    // tells the event from others; 0: unknown
}

var placeSeed = maphash.MakeSeed()

// positionOf returns the position of an event. It shares memory with it.
func positionOf(e *leat.Event) position {
	p := position{cursor: e.Cursor, time: e.Time}
	if id := cmp.Or(e.ID, string(e.Cursor)); id != "" {
		p.place = maphash.String(placeSeed, id)
	}
	return p
}

// kept returns p with memory of its own.
func (p position) kept() position {
	p.cursor = leat.Cursor(strings.Clone(string(p.cursor)))
	return p
}

// shown is the cursor for a text, bounded.
func (p position) shown() string {
	const most = 80
	text := string(p.cursor)
	if len(text) > most {
		end := most
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strconv.Quote(text)
}

// placing finds the positions in a run of events.
type placing struct {
	greatest    bool
	first, last position // with a cursor
	run         leat.Cursor
	before      position // the last one before the events at the end that share a cursor
}

func (p *placing) note(e *leat.Event) {
	if e.Cursor != p.run {
		p.run, p.before = e.Cursor, p.last
	}
	if e.Cursor == "" {
		return
	}
	at := positionOf(e)
	if p.first.cursor == "" {
		p.first = at
	}
	if p.last.cursor == "" || !p.greatest || compareCursors(at.cursor, p.last.cursor) > 0 {
		p.last = at
	}
}

// hold returns the position that is true now. As long as the provider is behind there is none: what it comes to is kept.
func (s *session) hold(at placing) position {
	if s.held.cursor == "" && !s.behind {
		return at.last
	}
	if at.last.cursor != "" && (s.held.cursor == "" || !at.greatest || compareCursors(at.last.cursor, s.held.cursor) > 0) {
		s.held = at.last.kept()
	}
	if s.behind {
		return position{}
	}
	last := s.held
	s.held = position{}
	return last
}

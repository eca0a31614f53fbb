package source

import (
	"slices"
	"time"
)

// coverage knows for which time the connections of a source covered what its provider sent. A connection covers from
// its first sign of life to its last. Where one ends late, because a broken line shows no end,
// only its last sign of life counts: so a gap is known for sure only when no connection that was there before it can
// still cover it.
//
// The Manager's mutex guards it.
type coverage struct {
	frontier time.Time // everything up to here is covered, or reported as a gap
	spans    []*span
}

// span is what one connection covers.
type span struct {
	resumed bool      // it was opened with a cursor: it covers whatever came before it
	start   time.Time // first sign of life; zero: none yet
	last    time.Time // last sign of life
	live    bool
}

// interval is a stretch of time without coverage.
type interval struct{ from, to time.Time }

func (c *coverage) begin(resumed bool) *span {
	s := &span{resumed: resumed, live: true}
	c.spans = append(c.spans, s)
	return s
}

// life tells that the connection proved at the given time that it delivers.
func (s *span) life(at time.Time) {
	if s.start.IsZero() {
		s.start = at
	}
	if at.After(s.last) {
		s.last = at
	}
}

// covers reports whether the connection was there at the frontier and may have delivered what follows it.
func (s *span) covers(frontier time.Time) bool {
	return !s.start.IsZero() && (s.resumed || !s.start.After(frontier))
}

// settle moves the frontier as far as it is known, and returns the gaps it passed.
func (c *coverage) settle() []interval {
	var gaps []interval
	for {
		if c.frontier.IsZero() { // the first connection ever: nothing was promised before it
			c.frontier = c.next()
		}
		for _, s := range c.spans {
			if s.covers(c.frontier) && s.last.After(c.frontier) {
				c.frontier = s.last
			}
		}
		open := slices.ContainsFunc(c.spans, func(s *span) bool { return s.live && s.covers(c.frontier) })
		next := c.next()
		if open || next.IsZero() {
			break
		}
		gaps = append(gaps, interval{c.frontier, next})
		c.frontier = next
	}
	c.spans = slices.DeleteFunc(c.spans, func(s *span) bool { return !s.live && !s.last.After(c.frontier) })
	return gaps
}

// next returns the earliest start behind the frontier, zero if there is none.
func (c *coverage) next() (next time.Time) {
	for _, s := range c.spans {
		if !s.start.IsZero() && s.start.After(c.frontier) && (next.IsZero() || s.start.Before(next)) {
			next = s.start
		}
	}
	return next
}

// open returns since when nothing covers, zero while something does.
func (c *coverage) open() time.Time {
	if slices.ContainsFunc(c.spans, func(s *span) bool { return s.live && s.covers(c.frontier) }) {
		return time.Time{}
	}
	return c.frontier
}

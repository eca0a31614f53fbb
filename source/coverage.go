package source

import (
	"slices"
	"time"

	"github.com/leatstream/leat"
)

// coverage knows for which time the connections of a source covered what its provider sent. A connection covers from
// its first sign of life to its last. Where one ends late, because a broken line shows no end,
// only its last sign of life counts: so a gap is known for sure only when no connection that was there before it can
// still cover it.
//
// The Manager's mutex guards it.
type coverage struct {
	frontier time.Time // everything up to here is covered, or reported as a gap
	reason   string    // why whatever covered up to the frontier ended, where no span says it
	holder   *span     // what covered up to the frontier; nil: a former run, or nothing
	spans    []*span
	refuted  leat.Cursor // the last one that a provider did not go back to
}

// span is what one connection covers.
type span struct {
	resumed bool      // it covers whatever came before it
	start   time.Time // first sign of life; zero: none yet
	last    time.Time // last sign of life
	live    bool
	reason  string // why it ended

	// An inclusive cursor that the first event is to prove. Until then no sign of life counts.
	asked      resuming
	unproven   bool
	refutation *interval // what it left out at least, if the event proved the opposite
}

// interval is a stretch of time without coverage.
type interval struct {
	from, to time.Time
	how      string
	reason   string

	asked, came leat.Cursor // of a resume
}

// begin adds a connection that was asked for what follows a position.
func (c *coverage) begin(after resuming) *span {
	s := &span{live: true}
	if after.cursor != "" {
		s.asked, s.unproven, s.resumed = after, after.proved, !after.proved
	}
	c.spans = append(c.spans, s)
	return s
}

// nothing tells that the provider did not go back to the cursor it was asked for, and sent nothing: its word does not count.
func (s *span) nothing() { s.start, s.last, s.unproven = time.Time{}, time.Time{}, true }

// begun tells when the provider had taken the connection up.
func (s *span) begun(at time.Time) {
	if s.start.IsZero() && !s.unproven {
		s.start = at
	}
}

// life tells up to when the connection has proved to have delivered.
func (s *span) life(at time.Time) {
	if s.begun(at); at.After(s.last) && !s.unproven {
		s.last = at
	}
}

// prove compares the first event of a connection with the cursor it was asked for. known tells that the stream has this event, which
// proves as much, unless it came over another connection that left out what is between.
func (c *coverage) prove(s *span, got position, known bool, now time.Time) {
	switch {
	case !s.unproven:
	case s.asked.proves(got.cursor), known && !s.asked.lost && s.asked.cursor != c.refuted:
		s.unproven, s.resumed = false, true
	case got.cursor != "", s.asked.lost:
		c.refuted = s.asked.cursor
		s.unproven = false
		s.refutation = &interval{from: s.asked.time, to: got.time, how: GapResume, asked: s.asked.cursor, came: got.kept().cursor, reason: s.asked.refutation(got)}
		s.begun(now)
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
		next := c.next()
		if c.frontier.IsZero() && next != nil { // the first connection ever: nothing was promised before it
			c.frontier = next.start
		}
		for _, s := range c.spans {
			if s.covers(c.frontier) && s.last.After(c.frontier) {
				c.frontier, c.holder = s.last, s
			}
		}
		next = c.next()
		if c.held() || next == nil {
			break
		}
		gaps = append(gaps, c.gap(next))
		c.frontier, c.holder = next.start, next
	}
	c.spans = slices.DeleteFunc(c.spans, func(s *span) bool { return !s.live && !s.last.After(c.frontier) })
	return gaps
}

// moves reports whether settle would move the frontier.
func (c *coverage) moves() bool {
	try := *c
	try.spans = slices.Clone(c.spans)
	try.settle()
	return try.frontier.After(c.frontier)
}

// gap returns what lies between the frontier and the start of the connection after it.
func (c *coverage) gap(next *span) interval {
	gap := interval{from: c.frontier, to: next.start, how: GapNoConnection, reason: c.reason}
	if c.holder != nil {
		gap.reason = c.holder.reason
	}
	if r := next.refutation; r != nil {
		gap.how, gap.reason, gap.asked, gap.came = r.how, r.reason, r.asked, r.came
		if !r.from.IsZero() && r.from.Before(gap.from) {
			gap.from = r.from // the frontier had passed what was still being sent again
		}
		if r.to.After(gap.from) && r.to.Before(gap.to) {
			gap.to = r.to // from there on it is being sent again
		}
	}
	return gap
}

// next returns the connection with the earliest start behind the frontier, nil if there is none.
func (c *coverage) next() (next *span) {
	for _, s := range c.spans {
		if !s.start.IsZero() && s.start.After(c.frontier) && (next == nil || s.start.Before(next.start)) {
			next = s
		}
	}
	return next
}

// held reports whether something covers what follows the frontier.
func (c *coverage) held() bool {
	return slices.ContainsFunc(c.spans, func(s *span) bool { return s.live && s.covers(c.frontier) })
}

// open returns since when nothing covers, zero while something does.
func (c *coverage) open() time.Time {
	if c.held() {
		return time.Time{}
	}
	return c.frontier
}

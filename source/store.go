package source

import (
	"context"
	"strings"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// What the Manager hands to its Producer. The coverage moves only inside Delivery.Move, that is, in the order in which
// deliveries become durable: so it is never stored before the events it speaks for.

// deliver stores what a connection has brought.
func (m *Manager) deliver(ctx context.Context, s *session, events []leat.Event) error {
	now := time.Now()
	t := m.read(s, events, now)
	if t.silent {
		return m.count(ctx, t.seen)
	}
	events, first, last := t.events, t.first, t.last
	signs := s.signs()
	leads := false
	repeated := int64(0)
	err := m.Producer.Put(ctx, m.counted(Delivery{Events: events, Dropped: func(int) { repeated++ }, Move: func(mark *Mark, known bool) []stream.Put {
		m.mu.Lock()
		defer m.mu.Unlock()
		s.observe()
		m.doubts.tell(m.log, &t.odd, now)
		if s.fresh = s.fresh || repeated < int64(len(events)); s.fresh && len(m.sessions) == 1 {
			m.doubts.repeated(m.log, int64(len(events)), repeated, now)
		}
		m.cover.prove(s.span, first, known, signs.First)
		s.data(signs.Data, int64(len(events)))
		m.brought += int64(len(events)) - repeated
		if leads = m.sessions[0] == s && last.cursor != "" && m.later(mark.Cursor, last.cursor); leads {
			mark.Cursor, mark.Time = last.cursor, last.time
		}
		return m.settle(mark)
	}}, t.seen))
	if err != nil {
		return err
	}
	s.passed(events)
	if last.cursor != "" && len(last.cursor) <= longestNumber {
		s.reached = leat.Cursor(strings.Clone(string(last.cursor)))
	}
	if leads && len(last.cursor) <= MaxCursor {
		m.mu.Lock()
		m.at = last.kept() // not the buffer it came in
		m.mu.Unlock()
	}
	return nil
}

// reading is what a connection has brought.
type reading struct {
	events      []leat.Event
	first, last position // with a cursor
	seen        sights
	odd         oddities
	silent      bool // there is nothing but signs of life with a number
}

// read fills in the fields of events, and takes marks out of them.
func (m *Manager) read(s *session, events []leat.Event, now time.Time) (r reading) {
	r.silent = onlyCounters(events)
	at := placing{greatest: m.Settings.CursorKind == greatest}
	n := 0
	for i := range events {
		e := &events[i]
		if isCounter(e) {
			r.seen.hear(m.Settings.GapRule, e, s.name)
			continue
		}
		if isMark(e) {
			s.behind = s.behind && e.ID != markCaughtUp
			at.note(m.mapping.progress(e))
			continue
		}
		msg := m.mapping.apply(e)
		r.odd.look(e, &m.mapping, now)
		if m.counts != nil {
			r.seen.events = append(r.seen.events, m.Settings.GapRule.look(&msg, s.name))
		}
		at.note(e)
		if n != i {
			events[n] = *e
		}
		n++
	}
	if s.signs().Part { // others of the same message are still to come
		at.last = at.before
	}
	r.events, r.first, r.last = events[:n], at.first, s.hold(at)
	if s.marked {
		r.odd[doubtCursor] = 0
	}
	if m.Settings.CursorKind != greatest && m.Settings.CursorOverlap.IsZero() && goesBack(s.reached, r.last.cursor) {
		r.odd[doubtBack]++
	}
	return r
}

// count stores what signs of life with a number say, if that is new.
func (m *Manager) count(ctx context.Context, seen sights) error {
	if !m.news(&seen) {
		return nil
	}
	return m.Producer.Put(ctx, m.counted(m.settling(), seen))
}

// skipped writes down a message that was left out, once, however many connections bring it and however often.
func (m *Manager) skipped(ctx context.Context, s *session, skip *SkipError) error {
	what := s.skipping(skip)
	now := time.Now()
	signs := s.signs()
	return m.Producer.Put(ctx, m.counted(Delivery{Move: func(mark *Mark, _ bool) []stream.Put {
		m.mu.Lock()
		defer m.mu.Unlock()
		s.observe()
		s.data(signs.Data, 0)
		var puts []stream.Put
		if m.unknown(what) {
			m.status.Skipped++
			g := Gap{Source: m.Name, From: now, To: now, How: skip.Reason, Reason: skip.Error(), Lost: 1}
			m.tellSkipped(&g)
			puts = m.gap(puts, g)
		}
		return append(puts, m.settle(mark)...)
	}}, sights{}))
}

// store stores the coverage as it is now.
func (m *Manager) store(ctx context.Context) error {
	m.mu.Lock()
	m.observe()
	moves := m.cover.moves() || m.counts != nil && m.counts.due(time.Now())
	m.mu.Unlock()
	if !moves {
		return nil
	}
	return m.Producer.Put(ctx, m.counted(m.settling(), sights{}))
}

// settling is a delivery of nothing but what is known by now.
func (m *Manager) settling() Delivery {
	return Delivery{Move: func(mark *Mark, _ bool) []stream.Put {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.observe()
		return m.settle(mark)
	}}
}

// observe takes the signs of life of all connections into account. The caller holds mu.
func (m *Manager) observe() {
	for _, s := range m.sessions {
		s.observe()
	}
}

// settle moves the mark as far as the source is covered, and returns the records of the gaps passed. The caller holds mu.
func (m *Manager) settle(mark *Mark) (puts []stream.Put) {
	for _, gap := range m.cover.settle() {
		g := Gap{Source: m.Name, From: gap.from, To: gap.to, How: gap.how, Reason: gap.reason, Asked: gap.asked, Came: gap.came}
		if m.disproved(&g) {
			continue
		}
		m.tell(&g)
		puts = m.gap(puts, g)
		m.repair(&g, time.Now())
	}
	puts = m.missing(puts, time.Now())
	if m.cover.frontier.After(mark.Covered) {
		mark.Covered = m.cover.frontier
	}
	return puts
}

// handedOver reports whether the old connection was alive after the new one had been taken up; it then covers up to now.
func (m *Manager) handedOver(old, next *session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observe()
	sign := old.span.last
	if w, ok := old.conn.(Watched); ok && w.Signs().Answer.After(sign) {
		sign = w.Signs().Answer
	}
	if next.span.start.IsZero() || !sign.After(next.span.start) {
		return false
	}
	old.span.life(sign)
	return true
}

// oversize tells a message that was left out from others: what follows the same event, is as large and comes at the same place
// is the same one.
type oversize struct {
	bytes int64
	after uint64 // place of the event before it
	nth   int    // since then
}

const rememberedOversize = 64

// unknown reports whether a message was not left out before, and remembers it. Where the event before it is unknown, so is that. The caller holds mu.
func (m *Manager) unknown(o oversize) bool {
	if o.after == 0 {
		return true
	}
	for _, known := range m.oversize {
		if known == o {
			return false
		}
	}
	if len(m.oversize) == rememberedOversize {
		m.oversize = m.oversize[1:]
	}
	m.oversize = append(m.oversize, o)
	return true
}

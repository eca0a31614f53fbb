package source

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/stream"
)

// Gap is something that the provider did not deliver: what it sent in a stretch of time, a single message, or the events with certain
// numbers. It is the payload of a gap record, as JSON.
type Gap struct {
	Source string    `json:"source"`
	From   time.Time `json:"from"`              // the last moment known to be covered
	To     time.Time `json:"to"`                // the next moment known to be covered
	How    string    `json:"how"`               // one of GapKinds, or the reason of a SkipError
	Reason string    `json:"reason"`            // in words
	Lost   int64     `json:"missing,omitempty"` // how many events, where that is known

	// Of a gap in a count: what has it, as per of the gap rule says, and the numbers that are missing, or ids. Where events name the one
	// before, only the last id is known, and missing is 1.
	Key   string `json:"key,omitempty"`
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`

	// RepairedAt is set if this is no gap: what earlier records called missing has come, at this time. Of a stretch of time that is everything
	// that the provider sent in it, and missing is how many events came.
	RepairedAt time.Time `json:"repaired_at,omitzero"`

	// Of a resume that failed: the cursor that was asked for, and that of the first event that came.
	Asked leat.Cursor `json:"asked,omitempty"`
	Came  leat.Cursor `json:"came,omitempty"`
}

// How a gap was found.
const (
	GapNoConnection = "no_connection" // no connection was there
	GapResume       = "resume"        // the provider did not go back as far as it was asked to
	GapTooLarge     = "too_large"     // a message was over a limit
	GapSequence     = "sequence"      // the gap rule found numbers missing
	GapProvider     = "provider"      // the provider said so
)

// GapKinds are the values of How that a source writes by itself. A SkipError may bring others.
var GapKinds = []string{GapNoConnection, GapResume, GapTooLarge, GapSequence, GapProvider}

// record returns the event that goes into the gap stream.
func (g Gap) record() leat.Event {
	g.From, g.To = g.From.UTC(), g.To.UTC()
	if !g.RepairedAt.IsZero() {
		g.RepairedAt = g.RepairedAt.UTC()
	}
	text, err := json.Marshal(g)
	if err != nil {
		panic(err) // a plain struct
	}
	return leat.Event{PartitionKey: g.Source, Time: g.From, Data: text}
}

// GapCount counts the gaps of one kind.
type GapCount struct {
	Records  int64         `json:"records"`
	Missing  int64         `json:"missing"`            // events, where that is known
	Repaired int64         `json:"repaired,omitempty"` // events that came after they had been told missing
	Time     time.Duration `json:"time_ns"`
}

// gap writes a gap down, or the repair of one. The caller holds mu.
func (m *Manager) gap(puts []stream.Put, g Gap) []stream.Put {
	count := m.status.GapsBy[g.How]
	if g.RepairedAt.IsZero() {
		m.status.Gaps++
		m.status.GapTime += g.To.Sub(g.From)
		count.Records++
		count.Missing += g.Lost
		count.Time += g.To.Sub(g.From)
	} else {
		count.Repaired += g.Lost
	}
	m.status.GapsBy[g.How] = count
	if m.Gaps == "" {
		return puts
	}
	return append(puts, stream.Put{Stream: m.Gaps, Source: m.Name, Events: []leat.Event{g.record()}})
}

// tell logs a gap.
func (m *Manager) tell(g *Gap) {
	m.log.Warn("gap: the provider did not deliver this", "from", g.From, "to", g.To, "how", g.How, "reason", g.Reason)
}

// skippedEvery bounds how often messages that were left out for the same reason are logged: a provider may send nothing else. Each of them is a record all the same.
const skippedEvery = 10 * time.Second

// skipLine is what was logged of messages that were left out for one reason.
type skipLine struct {
	told time.Time
	more int64 // since then
}

// tellSkipped logs a message that was left out, unless others were just now. The caller holds mu.
func (m *Manager) tellSkipped(g *Gap) {
	if m.skips == nil {
		m.skips = map[string]skipLine{}
	}
	line := m.skips[g.How]
	if !line.told.IsZero() && g.To.Sub(line.told) < skippedEvery {
		line.more++
		m.skips[g.How] = line
		return
	}
	m.skips[g.How] = skipLine{told: g.To}
	m.log.Warn("gap: the provider did not deliver this", "from", g.From, "to", g.To, "how", g.How, "reason", g.Reason, "more_before", line.more)
}

// missing writes down what the gap rule has found. The caller holds mu.
func (m *Manager) missing(puts []stream.Put, now time.Time) []stream.Put {
	if m.counts == nil {
		return puts
	}
	m.counts.patient = len(m.sessions) > 1
	m.counts.tick(now)
	puts = m.withdraw(puts, now)
	found := m.counts.take()
	var lost, repaired int64
	var first string
	for i := range found {
		f := &found[i]
		g := f.gap()
		g.Source = m.Name
		if f.repaired {
			repaired += g.Lost
			m.repairs.came(f)
		} else {
			lost += g.Lost
			m.repair(&g, now)
		}
		if first == "" {
			first = g.Reason
		}
		puts = m.gap(puts, g)
	}
	switch {
	case lost > 0:
		m.log.Warn("gap: events are missing", "events", lost, "repaired", repaired, "places", len(found), "first", first)
	case repaired > 0:
		m.log.Info("events came after they had been told missing", "events", repaired, "places", len(found), "first", first)
	}
	if n := m.counts.forgotten; n > 0 && m.status.CountsForgotten == 0 {
		m.log.Warn("the gap rule has more keys than it may keep; those silent for longest begin anew; this is told once", "keys", m.Settings.GapRule.Keys)
	}
	m.status.CountsForgotten = m.counts.forgotten
	return puts
}

// changed is the State of every delivery of a source that keeps something beside its mark.
func (m *Manager) changed() (entries []stream.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts != nil {
		entries = m.counts.changes(m.Name)
	}
	if m.repairs != nil {
		entries = append(entries, m.repairs.changes(m.Name)...)
	}
	return entries
}

// sights are what the gap rule sees of what a connection has brought.
type sights struct {
	events []observation
	told   []told // among them
}

// told is what the gap rule sees of a message that is no event.
type told struct {
	observation
	before int // so many of the events came before it
}

// hear takes a message that is no event into account.
func (seen *sights) hear(rule *GapRule, e *leat.Event, connection string) {
	msg := expression.NewMessage(e.Data)
	if o := rule.look(&msg, connection); o.kind == obsUpTo { // nothing else counts that is no event
		seen.told = append(seen.told, told{o, len(seen.events)})
	}
}

// news reports whether messages that are no events say something new.
func (m *Manager) news(seen *sights) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(seen.told, func(o told) bool { return m.counts.news(&o.observation) })
}

// counted makes a delivery bring what is kept beside the mark, and the counts, up to date with its events, which a connection has brought, before
// its own Move.
func (m *Manager) counted(d Delivery, seen sights) Delivery {
	if m.counts != nil || m.repairs != nil {
		d.State = m.changed
	}
	if m.counts == nil || len(seen.events)+len(seen.told) == 0 {
		return d
	}
	if dropped := d.Dropped; dropped != nil && !m.Settings.GapRule.perConnection() { // what came over another connection counts here, too
		d.Dropped = func(event int) {
			seen.events[event].known = true
			dropped(event)
		}
	}
	move := d.Move
	d.Move = func(mark *Mark, known bool) []stream.Put {
		m.mu.Lock()
		now := time.Now()
		m.counts.patient = len(m.sessions) > 1
		rest := seen.told
		for i := range seen.events {
			for ; len(rest) > 0 && rest[0].before <= i; rest = rest[1:] {
				m.counts.observe(&rest[0].observation, now)
			}
			m.counts.observe(&seen.events[i], now)
		}
		for i := range rest {
			m.counts.observe(&rest[i].observation, now)
		}
		m.mu.Unlock()
		return move(mark, known)
	}
	return d
}

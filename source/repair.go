package source

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// repair is a gap that is to be filled, and how far that is. Those of a source are stored as one state entry, a JSON list:
//
//	source/NAME/repairs
//
// so that a restart goes on.
type repair struct {
	Gap    Gap           `json:"gap"`              // as it was written down; of its numbers so many are still missing as Lost says
	Cursor leat.Cursor   `json:"cursor,omitempty"` // before it
	Tier   int           `json:"tier"`             // which one is asked
	Page   string        `json:"page,omitempty"`   // where the answer goes on
	Pages  int           `json:"pages,omitempty"`  // that have come
	Came   int64         `json:"came,omitempty"`   // events that were stored
	Left   int64         `json:"left,omitempty"`   // events that were left out, so that not everything has come
	Tries  int           `json:"tries,omitempty"`  // failures in a row
	Spent  time.Duration `json:"spent"`            // since it was found, while leat was running
	Seen   int64         `json:"seen"`             // events of the source since then

	due   time.Time // of the next request
	end   *int64    // where the last page ended, as batch has it; nil: nobody knows
	clock time.Time // up to when Spent counts
	count int64     // of the events of the source, up to which Seen counts
}

// repairs are the gaps of a source that are to be filled. The Manager's mutex guards it.
type repairs struct {
	tiers   []Tier
	jobs    []*repair
	changed bool          // since they were stored
	wake    chan struct{} // buffered by one: there is another one
	full    bool          // that there are too many has been told
}

// mostRepairs is how many gaps wait to be filled. They are stored whenever one changes.
const mostRepairs = 64

func repairsKey(source string) string { return StateKey(source) + "repairs" }

// restore takes what changes returned.
func (r *repairs) restore(source string, entries []stream.Entry, now time.Time) error {
	for _, e := range entries {
		if e.Key != repairsKey(source) {
			continue
		}
		if err := json.Unmarshal(e.Value, &r.jobs); err != nil {
			return fmt.Errorf("stored repairs of source %q: %w", source, err)
		}
	}
	if len(r.tiers) == 0 && len(r.jobs) > 0 { // nothing counts any more how long ago they were found
		r.jobs, r.changed = nil, true
	}
	for _, job := range r.jobs {
		job.clock = now
		if job.Tier >= len(r.tiers) { // the settings are others now
			job.Tier, job.Page = 0, ""
		}
		job.due = now.Add(r.tiers[job.Tier].Delay)
	}
	return nil
}

// changes returns the entry of the repairs, if it has changed since it was called last.
func (r *repairs) changes(source string) []stream.Entry {
	if !r.changed {
		return nil
	}
	r.changed = false
	e := stream.Entry{Key: repairsKey(source)}
	if len(r.jobs) > 0 {
		text, err := json.Marshal(r.jobs)
		if err != nil {
			panic(err) // a plain struct
		}
		e.Value = text
	}
	return []stream.Entry{e}
}

// tier returns the first one from a place on that fits a gap; -1 if there is none.
func (r *repairs) tier(from int, g *Gap, now time.Time) int {
	for i := from; i < len(r.tiers); i++ {
		if r.tiers[i].fits(g, now) {
			return i
		}
	}
	return -1
}

// repairable reports whether a gap is one that may be filled.
func (g *Gap) repairable() bool {
	return g.How == GapNoConnection || g.How == GapResume || g.How == GapSequence
}

// repair notes a gap that has been written down as one to be filled. The caller holds mu.
func (m *Manager) repair(g *Gap, now time.Time) {
	r := m.repairs
	if r == nil || !g.repairable() {
		return
	}
	n := r.tier(0, g, now)
	switch {
	case n < 0:
		return
	case len(r.jobs) == mostRepairs:
		m.status.RepairsFailed++
		if !r.full {
			r.full = true
			m.log.Warn("too many gaps wait to be filled; those beyond stay as they are; this is told once until there is room", "waiting", mostRepairs)
		}
		return
	}
	job := &repair{Gap: *g, Cursor: m.at.cursor, Tier: n, due: now.Add(r.tiers[n].Delay), clock: now, count: m.status.Events}
	if g.Asked != "" {
		job.Cursor = g.Asked
	}
	r.jobs, r.changed = append(r.jobs, job), true
	signal(r.wake)
}

// came takes numbers off the gaps that are to be filled, because they have come.
func (r *repairs) came(f *finding) {
	if r == nil {
		return
	}
	found := f.gap()
	lo, hi, numbers := found.numbers()
	r.jobs = slices.DeleteFunc(r.jobs, func(job *repair) bool {
		if job.Gap.How != GapSequence || job.Gap.Key != f.key {
			return false
		}
		if !numbers {
			over := job.Gap.Last == found.Last
			r.changed = r.changed || over
			return over
		}
		first, last, ok := job.Gap.numbers()
		if from, to := max(lo, first), min(hi, last); ok && from <= to {
			job.Gap.Lost -= to - from + 1
			r.changed = true
		}
		return ok && job.Gap.Lost <= 0
	})
}

// withdraw takes a stretch of time off what is to be filled.
func (r *repairs) withdraw(g *Gap) {
	if r == nil {
		return
	}
	r.jobs = slices.DeleteFunc(r.jobs, func(job *repair) bool {
		same := job.Gap.How == g.How && job.Gap.From.Equal(g.From) && job.Gap.To.Equal(g.To)
		r.changed = r.changed || same
		return same
	})
}

// next returns the job that is due first; nil if there is none.
func (r *repairs) next() (first *repair) {
	for _, job := range r.jobs {
		if first == nil || job.due.Before(first.due) {
			first = job
		}
	}
	return first
}

// waits reports whether a job is still there.
func (r *repairs) waits(job *repair) bool { return slices.Contains(r.jobs, job) }

// drop takes a job off.
func (r *repairs) drop(job *repair) {
	r.jobs = slices.DeleteFunc(r.jobs, func(o *repair) bool { return o == job })
	r.changed, r.full = true, false
}

// spend brings what a job has used up to date, and reports whether anything is left: beyond that the event_ids round the gap may be forgotten.
func (r *repair) spend(s *Settings, now time.Time, events int64) bool {
	r.Spent += max(0, now.Sub(r.clock))
	r.Seen += max(0, events-r.count)
	r.clock, r.count = now, events
	return r.Spent < s.DedupeWindow/2 && r.Seen < int64(s.DedupeEvents)/2
}

// bounds returns where the gap lies: its numbers, or else its time with the margin, in Unix nanoseconds.
func (r *repair) bounds(t *Tier) (lo, hi int64) {
	if lo, hi, ok := r.Gap.numbers(); ok && r.Gap.How == GapSequence {
		return lo, hi
	}
	return r.Gap.From.Add(-t.Margin).UnixNano(), r.Gap.To.Add(t.Margin).UnixNano()
}

// filled returns the record of a time in which everything has come after all.
func (r *repair) filled(now time.Time) Gap {
	g := r.Gap
	g.Lost, g.RepairedAt = r.Came, now
	g.Reason = fmt.Sprintf("asked for afterwards: %d events came that were missing", r.Came)
	return g
}

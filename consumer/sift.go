package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/stream"
)

// What the filter does not let pass is put aside until a checkpoint moves over it: with it go the dead letters, and only then it is counted. So
// a record is counted once, and is in the dead-letter stream once, however often it is read.

// Bounds of what is aside: a checkpoint moves over it when there are so many bytes of letters, or, without a delivery, when it has waited so long.
const (
	asideBytes = 512 << 10
	asideFor   = time.Second
)

// asides are records that were read and do not go to the destination, in the order of the shard.
type asides struct {
	list  []aside
	bytes int  // of letters
	ended bool // a record that goes to the destination follows the last one
}

// aside is one record that becomes a letter, or a run of records that are dropped.
type aside struct {
	last    leat.SequenceNumber
	arrived time.Time
	counts  filter.Counts
	letter  *leat.Record // nil: they are dropped
}

func (a *asides) waits() bool { return len(a.list) > 0 }

func (a *asides) full() bool { return a.bytes >= asideBytes }

// drop adds a record to the run of those before it.
func (a *asides) drop(r *leat.Record, v filter.Verdict) {
	n := len(a.list)
	if n == 0 || a.ended || a.list[n-1].letter != nil {
		a.list = append(a.list, aside{})
		n++
	}
	run := &a.list[n-1]
	run.last, run.arrived, a.ended = r.Sequence, r.Arrived, false
	run.counts[v]++
}

func (a *asides) bury(r *leat.Record, v filter.Verdict) {
	own := *r
	one := aside{last: r.Sequence, arrived: r.Arrived, letter: &own}
	one.counts[v]++
	a.list = append(a.list, one)
	a.bytes += own.Size() + recordMemory
	a.ended = false
}

// take removes what a checkpoint at a record moves over.
func (a *asides) take(to leat.SequenceNumber) []aside {
	n := 0
	for n < len(a.list) && a.list[n].last.Compare(to) <= 0 {
		if letter := a.list[n].letter; letter != nil {
			a.bytes -= letter.Size() + recordMemory
		}
		n++
	}
	taken := a.list[:n:n]
	if a.list = a.list[n:]; len(a.list) == 0 {
		a.list = nil // what was taken is kept by nobody else
	}
	return taken
}

// sift puts aside what a filter does not let pass.
func (s *shard) sift(b *leat.Batch, f *filter.Filter, notJSON string) {
	if f.IsZero() {
		return
	}
	pass := b.Records[:0]
	for i := range b.Records {
		r := &b.Records[i]
		switch v := f.Record(r); {
		case passes(v, notJSON):
			pass = append(pass, *r)
			s.aside.ended = true
		case v.Unreadable() && notJSON != "drop":
			s.aside.bury(r, v)
		default:
			s.aside.drop(r, v)
		}
	}
	clear(b.Records[len(pass):])
	b.Records = pass
}

// passes reports whether a record goes to the destination.
func passes(v filter.Verdict, notJSON string) bool {
	return v == filter.Pass || v.Unreadable() && notJSON == "pass"
}

// Why a record is in the dead-letter stream.
var (
	errNotJSON = errors.New("the filter looks into the payload, which is not JSON")
	errTooDeep = errors.New("the filter looks into the payload, which is nested more than 64 deep")
)

// letters returns the puts of the letters among some records.
func (s *shard) letters(taken []aside) (puts []stream.Put) {
	for i := range taken {
		if taken[i].letter == nil {
			continue
		}
		e := end{stage: "filter", condition: "Undecodable", cause: errNotJSON, begun: time.Now()}
		if taken[i].counts[filter.TooDeep] > 0 {
			e.cause = errTooDeep
		}
		puts = append(puts, s.dead(s.letter(*taken[i].letter, e)))
	}
	return puts
}

// passed counts records that a checkpoint has moved over.
func (s *shard) passed(taken []aside) {
	if len(taken) == 0 {
		return
	}
	s.set(func(st *ShardStatus) {
		for i := range taken {
			if taken[i].letter != nil {
				st.DeadLettered++
				continue
			}
			for v, n := range taken[i].counts {
				st.Filtered[v] += n
			}
		}
	})
}

// passAside moves the checkpoint over what is aside.
func (s *shard) passAside(ctx context.Context) error {
	if !s.aside.waits() {
		return nil
	}
	last := s.aside.list[len(s.aside.list)-1]
	if err := s.commit(ctx, s.at.passed(last.last), stream.Commit{}); err != nil {
		return err
	}
	s.set(func(st *ShardStatus) { st.pending, st.last = time.Time{}, last.arrived })
	return nil
}

// hurry ends the reading when something has been aside for long, and there is nothing to deliver with it.
type hurry struct {
	timer *time.Timer
	runs  bool
	end   func()
}

func newHurry(end func()) *hurry { return &hurry{end: end} }

// look starts the time, or stops it.
func (h *hurry) look(on bool) {
	switch {
	case on == h.runs:
	case !on:
		h.stop()
	case h.timer == nil:
		h.timer = time.AfterFunc(asideFor, h.end)
	default:
		h.timer.Reset(asideFor)
	}
	h.runs = on
}

func (h *hurry) stop() {
	if h.timer != nil {
		h.timer.Stop()
	}
}

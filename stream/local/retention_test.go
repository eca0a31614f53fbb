package local

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// G3 for removals: pebble removes before the sync, and no reader takes that for damage.
func TestRemovedRecordsAreNeverTakenForDamage(t *testing.T) {
	remove := map[string]func(e *Engine, s *shardState) error{
		"retention": func(e *Engine, s *shardState) error {
			return trimBefore(e, s, time.Now().Add(time.Hour))
		},
		"deletion": func(e *Engine, _ *shardState) error { return e.Delete(context.Background(), "s") },
	}
	for name, do := range remove {
		gate := newSyncGate()
		e, err := Open("data", Options{FS: gate.fs})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		streamtest.Create(t, e, "s", 1)
		streamtest.Put(t, e, "s", streamtest.Events("x", 5)...)
		r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.catalog.stream("s")
		if err != nil {
			t.Fatal(err)
		}
		shard := s.list()[0]
		old := shard.load()
		waitSealed(t, e)
		gate.block.Store(true)
		var removal sync.WaitGroup
		removal.Go(func() {
			if err := do(e, shard); err != nil {
				t.Error(err)
			}
		})
		<-gate.blocked
		// What Next does, and what it does when it has looked at the shard before the removal.
		_, now := r.Next(t.Context(), stream.Limit{NoWait: true})
		before := r.(*reader)
		var late error
		for late == nil { // until pebble shows the removal
			before.next = old.floor
			late = before.damaged(before.collect(&leat.Batch{}, stream.Limit{}.WithDefaults(), old.durable), old.durable)
		}
		for _, err := range []error{now, late} {
			var gap *stream.GapError
			if !errors.Is(err, stream.ErrNoStream) && (!errors.As(err, &gap) || gap.Reason != stream.GapExpired) {
				t.Errorf("%s: a reader was told %v", name, err)
			}
		}
		gate.open()
		removal.Wait()
	}
}

// trimBefore removes the records of a shard that arrived before cut.
func trimBefore(e *Engine, s *shardState, cut time.Time) error {
	index, err := e.oldBefore(context.Background(), s, cut, 0)
	return errors.Join(err, e.trim(context.Background(), s.stream, []trim{{s, index}}))
}

// wound is an engine whose clocks are set by hand.
type wound struct {
	*memory
	wall, mono atomic.Int64 // since clockEpoch
}

func newWound(t *testing.T, keep stream.Retention, shards int) *wound {
	t.Helper()
	w := &wound{}
	opts := Options{MemTable: 256 << 10}
	opts.test.now = func() time.Time { return clockEpoch.Add(time.Duration(w.wall.Load())) }
	opts.test.mono = func() time.Time { return clockEpoch.Add(time.Duration(w.mono.Load())) }
	w.memory = newMemory(t, opts)
	if err := w.e.Create(t.Context(), stream.Spec{Name: "s", Shards: shards, Keep: keep}); err != nil {
		t.Fatal(err)
	}
	return w
}

// pass lets both clocks run, as they do.
func (w *wound) pass(d time.Duration) {
	w.mono.Add(int64(d))
	w.wall.Add(int64(d))
}

func (w *wound) retain(t *testing.T) {
	t.Helper()
	if err := w.e.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// put puts a record of 1,000 bytes to one shard.
func (w *wound) put(t *testing.T, shard int) {
	t.Helper()
	start := streamtest.Shards(t, w.e, "s")[shard].Range.Start
	streamtest.Put(t, w.e, "s", leat.Event{HashKey: &start, Data: make([]byte, 1000)})
}

func (w *wound) held(t *testing.T, shard leat.ShardID) int {
	t.Helper()
	return len(streamtest.ReadAll(t, w.e, "s", shard, stream.Oldest()))
}

// Records expire by age, also those of a stream to which nothing is put any more.
func TestRecordsExpireByAge(t *testing.T) {
	w := newWound(t, stream.Retention{Age: 24 * time.Hour}, 1)
	w.put(t, 0)
	w.pass(12 * time.Hour)
	w.put(t, 0)
	for _, want := range []int{2, 1, 0} {
		w.retain(t)
		if got := w.held(t, 0); got != want {
			t.Errorf("%d records, want %d", got, want)
		}
		w.pass(13 * time.Hour)
	}
}

// A clock that is wrong costs no record, however often the engine is opened; once it has run evenly for an hour it is believed.
func TestAWrongClockCostsNoRecordOverRestarts(t *testing.T) {
	w := newWound(t, stream.Retention{Age: 24 * time.Hour}, 1)
	w.put(t, 0)
	w.wall.Add(int64(10 * 365 * 24 * time.Hour))
	for i := range 3 {
		w.retain(t)
		if w.held(t, 0) != 1 {
			t.Fatalf("after the jump and %d restarts the record is gone", i)
		}
		w.Reopen(t)
		w.pass(30 * time.Minute)
	}
	w.pass(time.Hour)
	w.retain(t)
	if w.held(t, 0) != 0 {
		t.Error("after an even hour the record is still there")
	}
}

// Records that came while the clock ran ahead, and after them, do not stay until the clock gets there.
func TestRecordsFromAClockAheadExpire(t *testing.T) {
	w := newWound(t, stream.Retention{Age: time.Hour}, 1)
	w.wall.Add(int64(1000 * time.Hour))
	w.put(t, 0)
	w.wall.Add(-int64(1000 * time.Hour))
	w.put(t, 0)
	w.pass(2 * time.Hour)
	w.retain(t)
	w.pass(30 * time.Minute)
	w.retain(t)
	if w.held(t, 0) != 2 {
		t.Error("records went before they had been seen for an hour")
	}
	w.pass(40 * time.Minute)
	w.retain(t)
	if got := w.held(t, 0); got != 0 {
		t.Errorf("%d records are left", got)
	}
}

// Retention by size removes the oldest records of all shards, and where a clock ran ahead in one, it does not empty the others for it.
func TestRetentionBySizeIsFairToShards(t *testing.T) {
	for _, jump := range []time.Duration{0, 48 * time.Hour} {
		w := newWound(t, stream.Retention{Bytes: 100_000}, 2)
		w.wall.Add(int64(jump))
		w.put(t, 0)
		w.wall.Add(-int64(jump))
		for range 120 {
			w.pass(time.Second)
			w.put(t, 0)
			w.put(t, 1)
			w.retain(t)
		}
		if a, b := w.held(t, 0), w.held(t, 1); a < 40 || b < 40 || a+b > 100 {
			t.Errorf("after a jump of %v: %d and %d records, want some 50 each", jump, a, b)
		}
	}
}

// Shards that hold nothing do not stay for ever, whatever retention goes by.
func TestEmptyClosedShardsAreForgotten(t *testing.T) {
	for _, keep := range []stream.Retention{{Bytes: 1000}, {Age: time.Hour}} {
		w := newWound(t, keep, 1)
		if err := w.e.Split(t.Context(), "s", 0, streamtest.Shards(t, w.e, "s")[0].Range.Middle()); err != nil {
			t.Fatal(err)
		}
		w.pass(25 * time.Hour)
		w.retain(t)
		if got := len(streamtest.Shards(t, w.e, "s")); got != 2 {
			t.Errorf("%+v: %d shards, want 2", keep, got)
		}
		w.Reopen(t)
	}
}

// Retention costs few syncs, however many shards and records there are.
func TestRetentionOfManyShardsIsOneCommit(t *testing.T) {
	w := newWound(t, stream.Retention{Age: time.Hour}, 50)
	commits := func() uint64 {
		last, err := w.e.loadCommit()
		if err != nil {
			t.Fatal(err)
		}
		return last.number
	}
	puts := uint64(0)
	before := commits()
	for range 100 {
		putTo(t, w.e, 0, 50)
		puts++
		w.pass(2 * time.Minute)
		for range 3 {
			w.retain(t)
		}
	}
	if got := commits() - before - puts; got > 100 || got < 50 {
		t.Errorf("retention of 50 shards made %d commits in 200 minutes, want one in some two minutes", got)
	}
}

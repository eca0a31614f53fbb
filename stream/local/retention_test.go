package local

import (
	"context"
	"errors"
	"sync"
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
			return e.trimBefore(context.Background(), s, time.Now().Add(time.Hour))
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
		before.next = old.floor
		late := before.damaged(before.collect(&leat.Batch{}, stream.Limit{}.WithDefaults(), old.durable), old.durable)
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

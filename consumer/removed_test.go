package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// A consumer that was away for so long that a shard it had begun has been removed gets one letter for what followed its checkpoint, and goes
// on with the children.
func TestAShardRemovedBeforeItWasReadIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		r.put(0, 20)
		r.must(r.consumer(s, nil), time.Second)
		s.setFail(func(leat.Batch) error { return errors.New("away") })
		r.put(20, 40)
		r.must(r.consumer(s, nil), time.Second)
		half := streamtest.Shards(t, r.e, "s")[0].Range.Middle()
		if err := errors.Join(r.e.Split(t.Context(), "s", 0, half), r.e.SetRetention(t.Context(), "s", stream.Retention{Age: time.Hour})); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		kept := make(chan error, 1)
		go func() { kept <- r.e.Run(ctx) }()
		time.Sleep(3 * time.Hour)
		stop()
		if err := <-kept; err != nil || len(streamtest.Shards(t, r.e, "s")) != 2 {
			t.Fatalf("the closed shard is still there: %v", err)
		}
		r.put(40, 60)
		s.setFail(nil)
		for range 2 {
			r.must(r.consumer(s, nil), 2*time.Minute)
			letters := r.letters()
			if len(letters) != 1 || letters[0].Condition != "Expired" || letters[0].Origin.Sequence.Index() != 21 {
				t.Fatalf("letters: %+v", letters)
			}
			if got := len(s.snapshot()); got != 40 {
				t.Fatalf("%d rows, want 40", got)
			}
		}
	})
}

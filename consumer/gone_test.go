package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// deleting is an engine whose stream is being deleted: its shards are still listed, and nothing can be read.
type deleting struct{ stream.Engine }

func (d deleting) Read(context.Context, string, leat.ShardID, stream.Position) (stream.Reader, error) {
	return nil, fmt.Errorf("read: %w", stream.ErrNoStream)
}

// running starts a consumer that logs, and returns its log and what ends it.
func (r *rig) running(c *consumer.Consumer) (log *bytes.Buffer, stop func()) {
	log = new(bytes.Buffer)
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return log, func() {
		r.t.Helper()
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("the consumer ended with %v", err)
		}
	}
}

func TestAStreamThatIsBeingDeletedFloodsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		c := r.consumer(&table{}, func(c *consumer.Consumer) { c.Engine = deleting{r.e} })
		log, stop := r.running(c)
		time.Sleep(time.Hour)
		stop()
		if n := strings.Count(log.String(), "\n"); n > 30 {
			t.Errorf("%d lines in the log of an hour:\n%.1000s", n, log)
		}
		marks, err := r.e.List(t.Context(), "consumer/c/s/")
		if err != nil || len(marks) != 2 || marks[0].Epoch > 150 {
			t.Errorf("marks %v, error %v", marks, err)
		}
	})
}

// One shard that cannot write its letter waits for the stream of the letters. The others are not disturbed.
func TestADeadLetterStreamThatIsGoneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		s := &table{}
		s.fail = func(b leat.Batch) error {
			if b.Shard == 0 {
				return sink.Permanent(fmt.Errorf("wrong"))
			}
			return nil
		}
		if err := r.e.Delete(t.Context(), "c.dlq"); err != nil {
			t.Fatal(err)
		}
		c := r.consumer(s, nil)
		log, stop := r.running(c)
		r.put(0, 20)
		time.Sleep(time.Hour)
		others := len(s.snapshot())
		if others == 0 || others == 20 {
			t.Fatalf("%d rows", others)
		}
		if n := strings.Count(log.String(), "\n"); n > 30 || !strings.Contains(log.String(), "c.dlq") {
			t.Errorf("%d lines in the log of an hour:\n%.1000s", n, log)
		}
		for _, st := range c.Status().Shards {
			if st.Epoch != 2 || st.Shard == 0 && (st.State != consumer.Halted || !strings.Contains(st.LastError, "no such stream")) {
				t.Errorf("status %+v", st)
			}
		}
		streamtest.Create(t, r.e, "c.dlq", 1)
		time.Sleep(2 * time.Minute)
		stop()
		if n := len(r.letters()); n != 20-others || len(s.snapshot()) != others {
			t.Errorf("%d letters, %d rows of 20", n, len(s.snapshot()))
		}
	})
}

// A shard that was done without a record of its own says nothing about one of the same number in a later stream.
func TestAStreamThatIsMadeAnewIsReadWhateverWasDone(t *testing.T) {
	for _, start := range []string{"latest", "oldest"} {
		t.Run(start, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				half := streamtest.Shards(t, r.e, "s")[0].Range.Middle()
				if err := r.e.Split(t.Context(), "s", 0, half); err != nil {
					t.Fatal(err)
				}
				s := &table{}
				_, stop := r.running(r.consumer(s, func(c *consumer.Consumer) { c.Settings.Start = start }))
				time.Sleep(2 * time.Minute)
				if err := r.e.Delete(t.Context(), "s"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				streamtest.Create(t, r.e, "s", 1)
				time.Sleep(5 * time.Minute)
				r.put(0, 20)
				time.Sleep(5 * time.Minute)
				stop()
				complete(t, s.snapshot(), 20)
			})
		})
	}
}

// "latest" is what arrives from the start of the consumer on, also in a stream that is made later.
func TestLatestBeginsWithTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(100, 120)
		time.Sleep(time.Second)
		if err := r.e.Delete(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		s := &table{}
		_, stop := r.running(r.consumer(s, func(c *consumer.Consumer) { c.Settings.Start = "latest" }))
		time.Sleep(time.Hour)
		streamtest.Create(t, r.e, "s", 1)
		r.put(0, 20)
		if err := r.e.Split(t.Context(), "s", 0, streamtest.Shards(t, r.e, "s")[0].Range.Middle()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		stop()
		complete(t, s.snapshot(), 20)
	})
}

// A destination that takes every second delivery is told of now and then, too.
func TestADestinationThatComesAndGoesFloodsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		s.fail = func(leat.Batch) error {
			if s.calls%2 == 1 {
				return fmt.Errorf("away")
			}
			return nil
		}
		log, stop := r.running(r.consumer(s, nil))
		for i := range 3600 {
			r.put(i, i+1)
			time.Sleep(time.Second)
		}
		stop()
		complete(t, s.snapshot(), 3600)
		if n := strings.Count(log.String(), "\n"); n < 4 || n > 30 {
			t.Errorf("%d lines in the log of an hour:\n%.1000s", n, log)
		}
	})
}

// A destination that is away for a day is told of now and then.
func TestADestinationThatIsAwayFloodsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		s.setFail(func(leat.Batch) error { return fmt.Errorf("away") })
		log, stop := r.running(r.consumer(s, nil))
		r.put(0, 20)
		time.Sleep(24 * time.Hour)
		if n := strings.Count(log.String(), "\n"); n < 20 || n > 60 {
			t.Errorf("%d lines in the log of a day:\n%.1000s", n, log)
		}
		s.setFail(nil)
		time.Sleep(2 * time.Minute)
		stop()
		complete(t, s.snapshot(), 20)
		if !strings.Contains(log.String(), "the destination takes records again") {
			t.Error("its end is not told")
		}
	})
}

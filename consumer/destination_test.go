package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// positioned is a table that keeps its position, as a database does.
type positioned struct {
	table
	at leat.SequenceNumber
}

func (s *positioned) Deliver(ctx context.Context, b leat.Batch) error {
	if s.at.Compare(b.After) < 0 {
		return &sink.BehindError{Position: s.at}
	}
	for len(b.Records) > 0 && b.First().Compare(s.at) <= 0 {
		b.Records = b.Records[1:]
	}
	if len(b.Records) == 0 {
		return nil
	}
	if err := s.table.Deliver(ctx, b); err != nil {
		return err
	}
	s.at = b.Last()
	return nil
}

func TestADestinationThatLostRowsGetsThemAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 500)
		s := &positioned{}
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 500)
		backup := &positioned{at: s.at, table: table{rows: slices.Clone(s.rows)}}
		r.put(500, 600)
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 600)

		r.put(600, 700)
		r.must(r.consumer(backup, nil), time.Second) // the operator has put the backup in its place
		complete(t, backup.snapshot(), 700)
		r.put(700, 750)
		fresh := &positioned{} // the file was deleted
		r.must(r.consumer(fresh, nil), time.Second)
		complete(t, fresh.snapshot(), 750)
	})
}

func TestARowThatTheDestinationRefusedIsNotTakenForLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 100)
		s := &positioned{}
		s.fail = func(b leat.Batch) error {
			for i := range b.Records {
				if string(b.Records[i].Data) == "99" {
					return sink.Permanent(errors.New("poison"))
				}
			}
			return nil
		}
		r.must(r.consumer(s, nil), time.Second)
		r.put(100, 200)
		c := r.consumer(s, nil)
		r.must(c, time.Second)
		if st := c.Status().Shards[0]; len(r.letters()) != 1 || st.Rewinds != 0 || len(s.snapshot()) != 199 {
			t.Errorf("%d letters, %d rows, status %+v", len(r.letters()), len(s.snapshot()), st)
		}
	})
}

func TestLatestBeginsWhereItBeganWhenTheDestinationIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 100)
		time.Sleep(time.Second)
		latest := func(c *consumer.Consumer) { c.Settings.Start = "latest" }
		r.must(r.consumer(&positioned{}, latest), time.Second)
		r.put(100, 120)
		r.must(r.consumer(&positioned{}, latest), time.Second)
		s := &positioned{}
		r.put(120, 130)
		r.must(r.consumer(s, latest), time.Second)
		if n := len(s.snapshot()); n != 30 {
			t.Errorf("%d rows, want the 30 since the consumer was made", n)
		}
	})
}

func TestADestinationThatIsFencedHaltsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 10)
		s := &table{}
		s.setFail(func(leat.Batch) error { return fmt.Errorf("epoch 1 is over: %w", stream.ErrFenced) })
		c := r.consumer(s, nil)
		r.must(c, time.Minute) // ends with nil: the process goes on
		if st := c.Status().Shards[0]; st.State != consumer.Halted || st.Failures == 0 {
			t.Errorf("status %+v", st)
		}
		s.setFail(nil)
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 10)
	})
}

func TestAPlannedRangeIsNeverSplitBecauseItsOutcomeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 8)
		f := &files{crash: 5} // the file is there each time, and an error comes after it
		r.must(r.consumer(f, func(c *consumer.Consumer) { c.Settings.MaxAttempts = 1 }), time.Hour)
		if n := slices.Index(f.names, `"1-4"`); n >= 0 || len(f.names) != 6 || len(r.letters()) != 0 {
			t.Errorf("files %v, %d letters", f.names, len(r.letters()))
		}
	})
}

func TestAPlanThatIsDoneNeedsItsRecordsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 150)
		f := &files{durable: true}
		broken := &failing{Engine: r.e, after: 3} // after the file, before the checkpoint
		if err := r.run(r.consumer(f, func(c *consumer.Consumer) { c.Engine = broken }), time.Second); !errors.Is(err, errCrash) {
			t.Fatalf("ended with %v", err)
		}
		if err := r.e.SetRetention(t.Context(), "s", stream.Retention{Bytes: 1}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.e.Run(ctx) }()
		time.Sleep(3 * time.Second) // retention removes what the plan was for
		stop()
		<-done
		r.must(r.consumer(f, nil), time.Second)
		if want := []string{`"1-100"`}; !slices.Equal(f.names, want) {
			t.Errorf("files %v, want %v", f.names, want)
		}
		letters := r.letters()
		if len(letters) != 1 || letters[0].Condition != "Expired" || letters[0].Origin.Sequence.Index() != 101 {
			t.Errorf("letters %+v, want one for what expired behind the file", letters)
		}
	})
}

func TestAPlanOfAnotherDestinationIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 50)
		f := &files{crash: 100}
		r.must(r.consumer(f, nil), time.Second) // the plan stays open
		s := &table{}
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 50)
		after := &files{}
		r.put(50, 60)
		r.must(r.consumer(after, nil), time.Second)
		if want := []string{`"51-60"`}; !slices.Equal(after.names, want) {
			t.Errorf("files %v, want %v", after.names, want)
		}
	})
}

func TestAStopDoesNotWaitForADestinationThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 50)
		f := &files{}
		f.setFail(func(leat.Batch) error { return errors.New("away") })
		r.must(r.consumer(f, nil), time.Minute) // leaves its plan
		begun := time.Now()
		c := r.consumer(f, nil)
		r.must(c, time.Minute)
		if took := time.Since(begun); took > time.Minute+time.Second {
			t.Errorf("the stop took %v", took-time.Minute)
		}
		if st := c.Status().Shards[0]; st.State != consumer.Retrying || st.IteratorAge < time.Minute || !strings.Contains(st.LastError, "away") {
			t.Errorf("status %+v", st)
		}
	})
}

func TestTheRightHalfOfABatchHasAnAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 10)
		s := &table{}
		s.setFail(func(b leat.Batch) error {
			if len(b.Records) > 5 {
				return sink.Permanent(errors.New("too many"))
			}
			if string(b.Records[0].Data) != "0" {
				return errors.New("away")
			}
			return nil
		})
		c := r.consumer(s, nil)
		r.must(c, time.Hour)
		if st := c.Status().Shards[0]; st.IteratorAge < 50*time.Minute || st.Failures < 10 {
			t.Errorf("status %+v", st)
		}
	})
}

// blocked is a destination that takes nothing and remembers the largest batch.
type blocked struct{ largest int }

func (s *blocked) Deliver(ctx context.Context, b leat.Batch) error {
	s.largest = max(s.largest, b.Size())
	<-ctx.Done()
	return ctx.Err()
}

func TestShardsShareTheMemoryForTheirBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards = 8
		r := newRig(t, shards)
		payload := strings.Repeat("x", 8<<10)
		for range 10 {
			var events []leat.Event
			for i := range 1000 {
				events = append(events, leat.Event{PartitionKey: fmt.Sprint(i), Data: []byte(payload)})
			}
			if _, err := r.e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: events}}}); err != nil {
				t.Fatal(err)
			}
		}
		var sinks [2]blocked
		memory := semaphore.NewWeighted(4 << 20)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, len(sinks))
		var consumers [2]*consumer.Consumer
		for i := range sinks {
			consumers[i] = r.consumer(&sinks[i], func(c *consumer.Consumer) {
				c.Name, c.Memory, c.Grace = fmt.Sprint("c", i), memory, time.Second
				c.Settings.DeadLetters = "c.dlq"
				c.Settings.Batch = consumer.Batch{Records: 100_000, Bytes: 16 << 20, Wait: time.Minute}
			})
			go func() { ended <- consumers[i].Run(ctx) }()
		}
		time.Sleep(5 * time.Minute)
		if sinks[0].largest == 0 || sinks[0].largest > 5<<20 || sinks[1].largest == 0 || sinks[1].largest > 5<<20 {
			t.Errorf("batches of %d and %d bytes, want some, and none above the bound", sinks[0].largest, sinks[1].largest)
		}
		stop()
		for range sinks {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if !memory.TryAcquire(4 << 20) {
			t.Error("not all memory was given back")
		}
	})
}

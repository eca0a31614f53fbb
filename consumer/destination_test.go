package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// positioned is a table that keeps its position in every shard, as a database does.
type positioned struct {
	table
	at map[leat.ShardID]leat.SequenceNumber
}

func (s *positioned) Deliver(ctx context.Context, b leat.Batch) error {
	at, _ := s.Position(ctx, b.Stream, b.Shard)
	if at.Compare(b.After) < 0 {
		return &sink.BehindError{Position: at}
	}
	for len(b.Records) > 0 && b.First().Compare(at) <= 0 {
		b.Records = b.Records[1:]
	}
	if len(b.Records) == 0 {
		return nil
	}
	if err := s.table.Deliver(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[leat.ShardID]leat.SequenceNumber{}
	}
	s.at[b.Shard] = b.Last()
	return nil
}

func (s *positioned) Position(_ context.Context, _ string, shard leat.ShardID) (leat.SequenceNumber, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[shard], nil
}

// lose empties the table, as somebody does who deletes the file.
func (s *positioned) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.at = nil, nil
}

func TestShardsThatAreDoneAreDeliveredAgainToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 50)
		s := &positioned{}
		r.must(r.consumer(s, nil), time.Second)
		shards, err := r.e.Shards(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.e.Split(t.Context(), "s", 0, shards[0].Range.Middle()); err != nil {
			t.Fatal(err)
		}
		r.put(50, 100)
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 100)

		s.lose() // between two runs: nothing new arrives
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 100)

		c := r.consumer(s, nil) // and while it runs
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Second)
		s.lose()
		r.put(100, 150)
		time.Sleep(time.Second)
		complete(t, s.snapshot(), 150)
		if n := c.Status().Rewinds; n != 3 {
			t.Errorf("%d shards were moved back, want 3", n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// halting is an engine whose readers take their time and then tell of a gap.
type halting struct {
	stream.Engine
	at int
}

func (e *halting) Read(ctx context.Context, name string, id leat.ShardID, from stream.Position) (stream.Reader, error) {
	r, err := e.Engine.Read(ctx, name, id, from)
	return &haltingReader{Reader: r, e: e}, err
}

type haltingReader struct {
	stream.Reader
	e *halting
}

func (r *haltingReader) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	if r.e.at--; r.e.at == 0 {
		time.Sleep(2 * time.Second) // as damage does, which is looked into without looking at ctx
		at := leat.NewSequence(0, time.Unix(1, 0), 1, time.Unix(1, 0))
		return leat.Batch{}, &stream.GapError{Stream: "s", From: at, To: at, Count: 1, Reason: stream.GapDamaged}
	}
	return r.Reader.Next(ctx, limit)
}

func TestAGapThatIsFoundLateIsNotTakenForTheEndOfTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 30)
		s := &table{}
		c := r.consumer(s, func(c *consumer.Consumer) {
			c.Engine = &halting{Engine: r.e, at: 2}
			c.Settings.Batch.Wait = time.Second
		})
		r.must(c, 10*time.Second)
		if n := len(r.letters()); n != 1 || c.Status().Shards[0].Missing != 1 {
			t.Errorf("%d letters, status %+v", n, c.Status().Shards[0])
		}
	})
}

func TestADestinationThatLostRowsGetsThemAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 500)
		s := &positioned{}
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 500)
		backup := &positioned{at: maps.Clone(s.at), table: table{rows: slices.Clone(s.rows)}}
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
		if st := c.Status().Shards[0]; len(r.letters()) != 1 || c.Status().Rewinds != 0 || len(s.snapshot()) != 199 {
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
		broken := newFailing(r.e, 3, errCrash) // after the file, before the checkpoint
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
type blocked struct {
	mu      sync.Mutex
	largest int
}

func (s *blocked) Deliver(ctx context.Context, b leat.Batch) error {
	s.mu.Lock()
	s.largest = max(s.largest, b.Size())
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (s *blocked) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.largest
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
		for i := range sinks {
			if n := sinks[i].most(); n == 0 || n > 5<<20 {
				t.Errorf("a batch of %d bytes, want some, and none above the bound", n)
			}
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

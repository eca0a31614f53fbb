package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// table is a destination in memory that fails when it is told to.
type table struct {
	mu    sync.Mutex
	rows  []string // "key payload", in order of delivery
	calls int
	fail  func(b leat.Batch) error
	sizes []int
}

func (s *table) Deliver(_ context.Context, b leat.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		if err := s.fail(b); err != nil {
			return err
		}
	}
	s.sizes = append(s.sizes, len(b.Records))
	for i := range b.Records {
		s.rows = append(s.rows, b.Records[i].PartitionKey+" "+string(b.Records[i].Data))
	}
	return nil
}

func (s *table) setFail(fail func(b leat.Batch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *table) snapshot() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

// rig is an engine and consumers of its stream, in virtual time.
type rig struct {
	t *testing.T
	e *local.Engine
}

func newRig(t *testing.T, shards int) *rig {
	t.Helper()
	e, err := local.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	streamtest.Create(t, e, "s", shards)
	streamtest.Create(t, e, "c.dlq", 1)
	return &rig{t, e}
}

// consumer returns a consumer named c over the stream.
func (r *rig) consumer(s sink.Sink, change func(*consumer.Consumer)) *consumer.Consumer {
	c := &consumer.Consumer{
		Name: "c", Engine: r.e, Stream: "s", Sink: s, Destination: "table", Grace: 10 * time.Second,
		Settings: consumer.Settings{Batch: consumer.Batch{Records: 100, Bytes: 1 << 20}}, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(c)
	}
	return c
}

// run runs c for some virtual time and stops it as a stop of the process would.
func (r *rig) run(c *consumer.Consumer, d time.Duration) error {
	ctx, stop := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	time.Sleep(d)
	stop()
	return <-done
}

func (r *rig) must(c *consumer.Consumer, d time.Duration) {
	r.t.Helper()
	if err := r.run(c, d); err != nil {
		r.t.Errorf("the consumer ended with %v", err)
	}
}

func (r *rig) put(from, to int) {
	r.t.Helper()
	var events []leat.Event
	for i := from; i < to; i++ {
		events = append(events, leat.Event{PartitionKey: fmt.Sprint("k", i%7), Data: fmt.Append(nil, i)})
	}
	streamtest.Put(r.t, r.e, "s", events...)
}

func (r *rig) letters() []consumer.Letter {
	r.t.Helper()
	var letters []consumer.Letter
	for _, record := range streamtest.ReadStream(r.t, r.e, "c.dlq") {
		var l consumer.Letter
		if err := json.Unmarshal(record.Data, &l); err != nil {
			r.t.Fatal(err)
		}
		letters = append(letters, l)
	}
	return letters
}

// complete makes sure that the numbers from 0 to n are there, each once, those of a key in order.
func complete(t *testing.T, rows []string, n int) {
	t.Helper()
	last := map[string]int{}
	seen := map[int]int{}
	for _, row := range rows {
		var key string
		var i int
		if _, err := fmt.Sscanf(row, "%s %d", &key, &i); err != nil {
			t.Fatalf("row %q", row)
		}
		if before, ok := last[key]; ok && i <= before {
			t.Errorf("key %s: %d comes after %d", key, i, before)
		}
		last[key] = i
		seen[i]++
	}
	for i := range n {
		if seen[i] != 1 {
			t.Errorf("%d is there %d times", i, seen[i])
		}
	}
	if len(rows) != n {
		t.Errorf("%d rows, want %d", len(rows), n)
	}
}

func TestEverythingIsDeliveredOnceInOrderAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		s := &table{}
		for i := range 5 {
			r.put(i*200, i*200+200)
			r.must(r.consumer(s, nil), time.Second)
		}
		complete(t, s.snapshot(), 1000)
	})
}

func TestRecordsAreDeliveredAsTheyArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		s := &table{}
		c := r.consumer(s, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for i := range 50 {
			r.put(i, i+1)
			synctest.Wait()
			if n := len(s.snapshot()); n != i+1 {
				t.Fatalf("%d of %d records are delivered", n, i+1)
			}
		}
		status := c.Status()
		var delivered int64
		for _, shard := range status.Shards {
			delivered += shard.Delivered
			if shard.IteratorAge != 0 || shard.State != consumer.Reading {
				t.Errorf("at the tip: %+v", shard)
			}
		}
		if delivered != 50 {
			t.Errorf("the status says %d delivered", delivered)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestCrashesRepeatWhatWasNotCheckpointed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 250)
		s := &table{}
		// The checkpoint behind the second batch is lost in a crash: its records come again, the first batch does not.
		broken := newFailing(r.e, 3, errCrash)
		if err := r.run(r.consumer(s, func(c *consumer.Consumer) { c.Engine = broken }), time.Second); !errors.Is(err, errCrash) {
			t.Fatalf("ended with %v", err)
		}
		if n := len(s.snapshot()); n != 200 {
			t.Fatalf("%d rows before the crash", n)
		}
		s.rows = s.rows[:100] // what a destination does that knows records by their numbers
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), 250)
	})
}

var errCrash = errors.New("crash")

// failing is an engine whose Commits fail after some.
type failing struct {
	stream.Engine
	after atomic.Int64
	err   error
}

func newFailing(e stream.Engine, after int64, err error) *failing {
	f := &failing{Engine: e, err: err}
	f.after.Store(after)
	return f
}

func (f *failing) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if f.after.Add(-1) < 0 {
		return stream.Receipt{}, f.err
	}
	return f.Engine.Commit(ctx, c)
}

func TestParentsComeBeforeTheirChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		next := 0
		more := func() { r.put(next, next+100); next += 100 }
		more()
		c := r.consumer(s, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		rng := rand.New(rand.NewPCG(1, 2))
		for range 12 {
			open := slices.DeleteFunc(streamtest.Shards(t, r.e, "s"), func(s stream.Shard) bool { return !s.Open() })
			slices.SortFunc(open, func(a, b stream.Shard) int { return a.Range.Start.Compare(b.Range.Start) })
			i := rng.IntN(len(open))
			if i+1 < len(open) && rng.IntN(2) == 0 {
				if err := r.e.Merge(ctx, "s", open[i].ID, open[i+1].ID); err != nil {
					t.Fatal(err)
				}
			} else if err := r.e.Split(ctx, "s", open[i].ID, open[i].Range.Middle()); err != nil {
				t.Fatal(err)
			}
			more()
			if rng.IntN(2) == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Second)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		complete(t, s.snapshot(), next)
		r.must(r.consumer(s, nil), time.Second)
		complete(t, s.snapshot(), next)
	})
}

func TestLatestAppliesOnlyToTheShardsThatWereThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 100)
		time.Sleep(time.Second)
		s := &table{}
		latest := func(c *consumer.Consumer) { c.Settings.Start = "latest" }
		r.must(r.consumer(s, latest), time.Second)
		if n := len(s.snapshot()); n != 0 {
			t.Fatalf("%d rows of what was there before", n)
		}
		// While the consumer is away the shard is split: its children are read from their beginning.
		r.put(0, 50)
		if err := r.e.Split(t.Context(), "s", 0, streamtest.Shards(t, r.e, "s")[0].Range.Middle()); err != nil {
			t.Fatal(err)
		}
		r.put(50, 120)
		r.must(r.consumer(s, latest), time.Second)
		complete(t, s.snapshot(), 120)
	})
}

func TestADestinationThatIsAwayLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		s := &table{fail: func(leat.Batch) error { return errors.New("connection refused") }}
		c := r.consumer(s, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for i := range 60 {
			r.put(i*10, i*10+10)
			time.Sleep(time.Minute)
		}
		status := c.Status()
		for _, shard := range status.Shards {
			if shard.State != consumer.Retrying || shard.IteratorAge < 59*time.Minute || shard.LastError != "connection refused" {
				t.Errorf("after an hour: %+v", shard)
			}
		}
		if s.calls > 2*200 {
			t.Errorf("%d attempts in an hour", s.calls)
		}
		s.setFail(nil)
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		complete(t, s.snapshot(), 600)
		if letters := r.letters(); len(letters) != 0 {
			t.Errorf("%d dead letters", len(letters))
		}
	})
}

func TestPoisonIsIsolatedByBisection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1024
		r := newRig(t, 1)
		r.put(0, n)
		poison := "700"
		s := &table{fail: func(b leat.Batch) error {
			for i := range b.Records {
				if string(b.Records[i].Data) == poison {
					return fmt.Errorf("insert: %w", sink.Permanent(errors.New("value out of range")))
				}
			}
			return nil
		}}
		c := r.consumer(s, func(c *consumer.Consumer) { c.Settings.Batch.Records = n })
		r.must(c, time.Minute)
		rows := s.snapshot()
		letters := r.letters()
		if len(rows) != n-1 || len(letters) != 1 || string(letters[0].Data) != poison {
			t.Fatalf("%d rows, letters %+v", len(rows), letters)
		}
		if s.calls > 1+2*10 {
			t.Errorf("%d calls for one poison record among %d, want at most %d", s.calls, n, 1+2*10)
		}
		l := letters[0]
		if l.Condition != "Permanent" || l.Consumer != "c" || l.Origin.PartitionKey != "k0" || l.Error.Message != "insert: value out of range" || l.Attempts != 1 {
			t.Errorf("letter %+v", l)
		}
		rows = append(rows, "k0 700")
		slices.SortStableFunc(rows, func(a, b string) int { return number(a) - number(b) })
		complete(t, rows, n)
	})
}

func number(row string) (n int) {
	_, _ = fmt.Sscanf(row, "k%d %d", new(int), &n)
	return n
}

func TestRetriesEndWhereTheyAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 8)
		s := &table{fail: func(b leat.Batch) error {
			for i := range b.Records {
				if string(b.Records[i].Data) == "5" {
					return errors.New("timeout")
				}
			}
			return nil
		}}
		r.must(r.consumer(s, func(c *consumer.Consumer) { c.Settings.MaxAttempts = 3 }), time.Hour)
		letters := r.letters()
		if len(s.snapshot()) != 7 || len(letters) != 1 || letters[0].Condition != "RetryAttemptsExhausted" || letters[0].Attempts != 3 {
			t.Errorf("%d rows, letters %+v", len(s.snapshot()), letters)
		}
	})
}

func TestADestinationToBeMendedDeadLettersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 20)
		s := &table{fail: func(leat.Batch) error { return sink.Halt(errors.New("no such table")) }}
		c := r.consumer(s, func(c *consumer.Consumer) { c.Settings.MaxAttempts = 1 })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Hour)
		if st := c.Status().Shards[0]; st.State != consumer.Halted || st.LastError != "no such table" {
			t.Errorf("status %+v", st)
		}
		s.setFail(nil) // the operator has made the table
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		complete(t, s.snapshot(), 20)
		if n := len(r.letters()); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestDeadLettersWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 1)
		s := &table{fail: func(leat.Batch) error { return sink.Permanent(errors.New("no")) }}
		full := newFailing(r.e, 2, stream.ErrFull)
		c := r.consumer(s, func(c *consumer.Consumer) { c.Engine = full })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Hour)
		if n := len(r.letters()); n != 0 {
			t.Fatalf("%d letters on a full disk", n)
		}
		full.after.Store(1000)
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(r.letters()); n != 1 {
			t.Errorf("%d letters, want 1", n)
		}
	})
}

func TestAnOwnerThatLostItsShardMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 10)
		first := &table{}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan error, 1)
		old := r.consumer(first, nil)
		go func() { ended <- old.Run(ctx) }()
		time.Sleep(time.Second)
		second := &table{}
		go func() { _ = r.consumer(second, nil).Run(ctx) }()
		time.Sleep(time.Second)
		r.put(10, 20)
		if err := <-ended; !errors.Is(err, stream.ErrFenced) {
			t.Errorf("the former owner ended with %v", err)
		}
		synctest.Wait()
		if n := len(second.snapshot()); n != 10 {
			t.Errorf("the new owner delivered %d records, want the 10 that came after", n)
		}
		stop()
		synctest.Wait()
	})
}

func TestBatchesFollowThePolicy(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy consumer.Batch
		want   []int
	}{
		{"by count", consumer.Batch{Records: 4, Bytes: 1 << 20, Wait: time.Hour}, []int{4, 4}},
		{"by bytes", consumer.Batch{Records: 100, Bytes: 9, Wait: time.Hour}, []int{3, 3, 3}},
		{"by time", consumer.Batch{Records: 100, Bytes: 1 << 20, Wait: 30 * time.Second}, []int{3, 3, 3, 1}},
		{"as they come", consumer.Batch{Records: 100, Bytes: 1 << 20}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			s := &table{}
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.must(r.consumer(s, func(co *consumer.Consumer) { co.Settings.Batch = c.policy }), 3*time.Minute)
			}()
			for i := range 10 {
				r.put(i, i+1)
				time.Sleep(12 * time.Second)
			}
			<-done
			if s.sizes = s.sizes[:min(len(s.sizes), len(c.want))]; !slices.Equal(s.sizes, c.want) {
				t.Errorf("%s: batches of %v, want %v", c.name, s.sizes, c.want)
			}
		})
	}
}

func TestExpiredRecordsAreToldOf(t *testing.T) {
	for _, policy := range []string{"continue", "stop"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.put(0, 10)
			s := &table{}
			set := func(c *consumer.Consumer) { c.Settings.OnGap = policy }
			r.must(r.consumer(s, set), time.Second)
			r.put(10, 30)
			if err := r.e.SetRetention(t.Context(), "s", stream.Retention{Bytes: 1}); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			kept := make(chan error, 1)
			go func() { kept <- r.e.Run(ctx) }()
			time.Sleep(3 * time.Second)
			stop()
			<-kept
			if err := r.e.SetRetention(t.Context(), "s", stream.Retention{}); err != nil {
				t.Fatal(err)
			}
			r.put(30, 40)
			c := r.consumer(s, set)
			r.must(c, time.Minute)
			letters, shard := r.letters(), c.Status().Shards[0]
			if policy == "stop" {
				if shard.State != consumer.Halted || len(letters) != 0 || len(s.snapshot()) != 10 {
					t.Errorf("stop: %+v, %d letters, %d rows", shard, len(letters), len(s.snapshot()))
				}
				return
			}
			if len(letters) != 1 || letters[0].Condition != "Expired" || shard.Missing != 20 || len(s.snapshot()) != 20 {
				t.Errorf("continue: letters %+v, %+v, %d rows", letters, shard, len(s.snapshot()))
			}
		})
	}
}

func TestWorkInHandIsFinishedWithinTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 10)
		s := &slow{took: 5 * time.Second}
		if err := r.run(r.consumer(s, nil), time.Second); err != nil || s.delivered != 1 {
			t.Errorf("stopped in mid-delivery: %v, %d deliveries finished", err, s.delivered)
		}
		r.put(10, 20)
		hangs := &slow{took: time.Hour}
		start := time.Now()
		err := r.run(r.consumer(hangs, nil), time.Second)
		if took := time.Since(start); took > 12*time.Second || hangs.delivered != 0 {
			t.Errorf("a delivery that hangs held the stop up for %v: %v", took, err)
		}
		after := &table{}
		r.must(r.consumer(after, nil), time.Second)
		if n := len(after.snapshot()); n != 10 {
			t.Errorf("%d rows, want the 10 whose delivery was given up", n)
		}
	})
}

type slow struct {
	took      time.Duration
	delivered int
}

func (s *slow) Deliver(ctx context.Context, _ leat.Batch) error {
	select {
	case <-time.After(s.took):
		s.delivered++
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// files is a destination of named ranges.
type files struct {
	table
	names   []string
	crash   int  // fail so many times after writing
	durable bool // what was written is found again
}

func (f *files) Plan(b leat.Batch) ([]byte, error) {
	return json.Marshal(fmt.Sprintf("%d-%d", b.First().Index(), b.Last().Index()))
}

func (f *files) Execute(ctx context.Context, plan []byte, b leat.Batch) error {
	if want, _ := f.Plan(b); string(want) != string(plan) {
		return fmt.Errorf("plan %s for a batch of %s", plan, want)
	}
	f.mu.Lock()
	f.names = append(f.names, string(plan))
	f.mu.Unlock()
	if err := f.Deliver(ctx, b); err != nil {
		return err
	}
	if f.crash--; f.crash >= 0 {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (f *files) Done(_ context.Context, plan []byte) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable && slices.Contains(f.names, string(plan)), nil
}

func TestPlannedRangesAreRepeatedAsPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(0, 150)
		f := &files{}
		// The crash comes after the file is written and before the checkpoint is.
		broken := newFailing(r.e, 3, errCrash)
		if err := r.run(r.consumer(f, func(c *consumer.Consumer) { c.Engine = broken }), time.Second); !errors.Is(err, errCrash) {
			t.Fatalf("ended with %v", err)
		}
		r.put(150, 400)
		// Another policy now: without the plan the next file would have another range.
		r.must(r.consumer(f, func(c *consumer.Consumer) { c.Settings.Batch.Records = 150 }), time.Second)
		want := []string{`"1-100"`, `"1-100"`, `"101-250"`, `"251-400"`}
		if !slices.Equal(f.names, want) {
			t.Errorf("files %v, want %v", f.names, want)
		}
		if left, err := r.e.State(t.Context(), "plan/"); err != nil || len(left) != 0 {
			t.Errorf("plans are left: %v, %v", left, err)
		}
	})
}

package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// pattern is a filter as a setting.
func pattern(t testing.TB, text string) filter.Filter {
	t.Helper()
	f, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// finals lets events of the kind "final" pass.
func finals(t testing.TB, notJSON string) func(*consumer.Consumer) {
	return func(c *consumer.Consumer) {
		c.Settings.Filter, c.Settings.NotJSON = pattern(t, `{"data":{"event":["final"]}}`), notJSON
	}
}

func (r *rig) payloads(texts ...string) {
	r.t.Helper()
	var events []leat.Event
	for i, text := range texts {
		events = append(events, leat.Event{PartitionKey: fmt.Sprint("k", i%7), Data: []byte(text)})
	}
	streamtest.Put(r.t, r.e, "s", events...)
}

// checkpoint returns how far the consumer is in shard 0.
func (r *rig) checkpoint() (at leat.SequenceNumber) {
	r.t.Helper()
	m, err := r.e.Load(r.t.Context(), "consumer/c/s/shardId-000000000000")
	if err != nil {
		r.t.Fatal(err)
	}
	var stored struct{ Sequence leat.SequenceNumber }
	if err := json.Unmarshal(m.Value, &stored); err != nil {
		r.t.Fatal(err)
	}
	return stored.Sequence
}

const (
	final   = `{"event":"final"}`
	update  = `{"event":"update"}`
	without = `{"x":1}`
	text    = `no JSON`
)

func TestTheFilterDecidesWhatIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		c := r.consumer(s, finals(t, ""))
		r.payloads(update, final, without, text, final, update, update)
		r.must(c, 5*time.Second)
		if got := s.snapshot(); !slices.Equal(got, []string{"k1 " + final, "k4 " + final}) {
			t.Errorf("delivered %q", got)
		}
		st := c.Status().Shards[0]
		if st.Delivered != 2 || st.Filtered != (filter.Counts{filter.NoMatch: 3, filter.MissingField: 1}) || st.DeadLettered != 1 || st.IteratorAge != 0 {
			t.Errorf("status %+v", st)
		}
		if text, _ := json.Marshal(st); !strings.Contains(string(text), `"filtered":{"missing_field":1,"no_match":3}`) {
			t.Errorf("status %s", text)
		}
		letters := r.letters()
		if len(letters) != 1 || letters[0].Stage != "filter" || letters[0].Condition != "Undecodable" || letters[0].Attempts != 0 || string(letters[0].Data) != text {
			t.Errorf("letters %+v", letters)
		}
		last := streamtest.ReadStream(t, r.e, "s")[6].Sequence
		if got := r.checkpoint(); got != last {
			t.Errorf("the checkpoint is %s, want %s, behind what was dropped", got, last)
		}
		again := r.consumer(s, finals(t, ""))
		r.must(again, 5*time.Second)
		if st := again.Status().Shards[0]; st.Filtered.Total() != 0 || st.DeadLettered != 0 || len(r.letters()) != 1 {
			t.Errorf("it is dropped again: %+v", st)
		}
	})
}

func TestWhatIsNotJSONCanBeDroppedOrDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for notJSON, want := range map[string]int{"drop": 1, "pass": 3} {
			r := newRig(t, 1)
			s := &table{}
			c := r.consumer(s, finals(t, notJSON))
			r.payloads(text, final, update, strings.Repeat("[", 70)+strings.Repeat("]", 70))
			r.must(c, 5*time.Second)
			if got := s.snapshot(); len(got) != want || len(r.letters()) != 0 {
				t.Errorf("%s: delivered %q, letters %v", notJSON, got, r.letters())
			}
			if st := c.Status().Shards[0]; int(st.Filtered.Total()+st.Delivered) != 4 || notJSON == "drop" && (st.Filtered[filter.NotJSON] != 1 || st.Filtered[filter.TooDeep] != 1) {
				t.Errorf("%s: %+v", notJSON, st)
			}
		}
	})
}

// counting is an engine that counts commits.
type counting struct {
	stream.Engine
	commits int
}

func (c *counting) Commit(ctx context.Context, w stream.Commit) (stream.Receipt, error) {
	c.commits++
	return c.Engine.Commit(ctx, w)
}

func TestDroppingCostsACommitASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		e := &counting{Engine: r.e}
		c := r.consumer(&table{}, func(c *consumer.Consumer) {
			c.Engine = e
			finals(t, "")(c)
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for range 1000 {
			r.payloads(update)
			time.Sleep(10 * time.Millisecond)
		}
		if age := c.Status().Shards[0].IteratorAge; age > 2*time.Second {
			t.Errorf("the iterator age is %s", age)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if e.commits < 8 || e.commits > 20 {
			t.Errorf("%d commits in 10 s", e.commits)
		}
		if n := c.Status().Shards[0].Filtered[filter.NoMatch]; n != 1000 {
			t.Errorf("%d are counted after the end", n)
		}
	})
}

func TestWhatIsDroppedClosesNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		s := &table{}
		c := r.consumer(s, func(c *consumer.Consumer) {
			finals(t, "drop")(c)
			c.Settings.Batch.Wait = time.Minute
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for i := range 600 {
			r.payloads(update, text)
			if i%10 == 0 {
				r.payloads(final)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(s.sizes) > 2 || len(s.snapshot()) != 60 {
			t.Errorf("batches of %v", s.sizes)
		}
	})
}

// shelf is a destination of planned files that knows what it has; a file that is written again replaces the old one.
type shelf struct {
	files
	kept map[string][]string
}

func (s *shelf) Execute(ctx context.Context, plan []byte, b leat.Batch) error {
	s.rows = nil
	if err := s.files.Execute(ctx, plan, b); err != nil {
		return err
	}
	if s.kept == nil {
		s.kept = map[string][]string{}
	}
	s.kept[string(plan)] = slices.Clone(s.rows)
	return nil
}

func (s *shelf) Done(_ context.Context, plan []byte) (bool, error) {
	return s.durable && s.kept[string(plan)] != nil, nil
}

// TestEveryRecordEndsOnce crashes consumers with a filter at random commits, while the destination calls some records wrong: in the end every record is
// delivered, dropped or dead-lettered, each once.
func TestEveryRecordEndsOnce(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			r := newRig(t, 1)
			var payloads, good, bad []string
			for i := range 200 {
				p := fmt.Sprintf([]string{`{"event":"final","n":%d}`, `{"event":"final","n":%d}`, `{"event":"update","n":%d}`, `no JSON %d`, `{"event":"final","wrong":true,"n":%d}`}[rng.IntN(5-rng.IntN(2))], i)
				payloads = append(payloads, p)
				switch {
				case strings.Contains(p, "no JSON"), strings.Contains(p, "wrong"):
					bad = append(bad, p)
				case strings.Contains(p, "final"):
					good = append(good, p)
				}
			}
			r.payloads(payloads...)
			poison := func(b leat.Batch) error {
				if slices.ContainsFunc(b.Records, func(r leat.Record) bool { return strings.Contains(string(r.Data), "wrong") }) {
					return sink.Permanent(errors.New("it is wrong"))
				}
				return nil
			}
			files, planned := &shelf{}, rng.IntN(2) == 0
			plain := &positioned{}
			var to sink.Sink = plain
			if files.durable = rng.IntN(2) == 0; planned {
				to = files
			}
			files.fail, plain.fail = poison, poison
			done := false
			for range 1000 {
				broken := newFailing(r.e, int64(3+rng.IntN(20)), errCrash)
				err := r.run(r.consumer(to, func(c *consumer.Consumer) {
					finals(t, "")(c)
					c.Settings.Batch.Records = 1 + rng.IntN(40)
					c.Engine = broken
				}), 10*time.Second)
				if done = err == nil; done {
					break
				}
				if !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
			}
			if !done {
				t.Fatalf("seed %d does not come to an end", seed)
			}
			rows := plain.snapshot()
			if planned {
				rows = slices.Concat(slices.Collect(maps.Values(files.kept))...)
			}
			same(t, fmt.Sprint("delivered with seed ", seed), rows, good)
			var letters []string
			for _, l := range r.letters() {
				letters = append(letters, "k "+string(l.Data))
			}
			same(t, fmt.Sprint("letters with seed ", seed), letters, bad)
		})
	}
}

// same compares rows, without their keys, with payloads in any order.
func same(t *testing.T, what string, rows, want []string) {
	t.Helper()
	var got []string
	for _, row := range rows {
		_, payload, _ := strings.Cut(row, " ")
		got = append(got, payload)
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d, want %d:\n%q\n%q", what, len(got), len(want), got, want)
	}
}

func TestAPlanIsCarriedOutWithTheFilterItWasMadeWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.payloads(update, final, text, final, update, final)
		f := &files{}
		broken := newFailing(r.e, 3, errCrash) // behind the plan, before the checkpoint
		err := r.run(r.consumer(f, func(c *consumer.Consumer) {
			finals(t, "")(c)
			c.Engine = broken
			c.Settings.Batch.Records = 2
		}), time.Second)
		if !errors.Is(err, errCrash) {
			t.Fatalf("ended with %v", err)
		}
		f.rows = nil
		r.must(r.consumer(f, func(c *consumer.Consumer) { c.Settings.Filter = pattern(t, `{"data":{"event":["update"]}}`) }), 5*time.Second)
		want := []string{"k1 " + final, "k3 " + final, "k4 " + update}
		if got := f.snapshot(); !slices.Equal(got, want) || len(r.letters()) != 1 {
			t.Errorf("delivered %q, want %q; letters %v", got, want, r.letters())
		}
	})
}

package producer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

// rig is a stream and a producer to it that is stopped and begun again.
type rig struct {
	*testing.T
	engine   *local.Engine
	remember Remember
	p        *Producer
}

func newRig(t *testing.T, shards int, remember Remember) *rig {
	t.Helper()
	e, err := local.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Create(t.Context(), stream.Spec{Name: "s", Shards: shards}); err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, engine: e, remember: remember}
	r.begin()
	return r
}

func (r *rig) begin() {
	r.Helper()
	r.p = &Producer{Engine: r.engine, Stream: "s", Source: "feed", Remember: r.remember}
	if _, err := r.p.Begin(r.Context()); err != nil {
		r.Fatal(err)
	}
}

// put returns how many of the events with the identities from first up to next were new, and moves the mark as the Manager does.
func (r *rig) put(first, next int) int64 {
	r.Helper()
	var d source.Delivery
	for i := first; i < next; i++ {
		d.Events = append(d.Events, leat.Event{ID: fmt.Sprint(i), PartitionKey: fmt.Sprint("key", i), Data: []byte("x")})
	}
	now := time.Now()
	d.Move = func(m *source.Mark, _ bool) []stream.Put {
		m.Covered = now
		return nil
	}
	before := r.p.Stats().Records
	if err := r.p.Put(r.Context(), d); err != nil {
		r.Fatal(err)
	}
	return r.p.Stats().Records - before
}

// others puts n events of another source.
func (r *rig) others(n int) {
	r.Helper()
	put := stream.Put{Stream: "s", Source: "other"}
	for i := range n {
		put.Events = append(put.Events, leat.Event{ID: fmt.Sprint(i), PartitionKey: fmt.Sprint(i)})
	}
	if _, err := r.engine.Commit(r.Context(), stream.Commit{Puts: []stream.Put{put}}); err != nil {
		r.Fatal(err)
	}
}

func TestAStopOfAnyLengthForgetsNothing(t *testing.T) {
	for _, away := range []time.Duration{2 * time.Minute, 12 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3, Remember{time.Minute, 1000})
			r.put(0, 50)
			time.Sleep(10 * time.Second)
			r.put(50, 100)
			time.Sleep(away)
			r.begin()
			if n := r.put(0, 110); n != 10 {
				t.Errorf("stopped for %v: %d events are taken for new, want 10", away, n)
			}
		})
	}
}

func TestAnOutageOfTheProviderForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Remember{time.Minute, 1000})
		r.put(0, 1)
		time.Sleep(2 * time.Hour)
		first, second := r.put(0, 2), r.put(0, 2) // two connections resume
		if first != 1 || second != 0 {
			t.Errorf("%d and %d are taken for new, want 1 and 0", first, second)
		}
	})
}

func TestAnIdentityIsForgottenAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Remember{time.Minute, 1000})
		for hour := range 24 {
			if n := r.put(0, 1); n != 1 {
				t.Fatalf("hour %d: it is still known", hour)
			}
			for range 12 {
				time.Sleep(10 * time.Second)
				r.put(0, 0) // the pulse of a connection without events
			}
			time.Sleep(58 * time.Minute)
		}
	})
}

// Whatever the shards and pauses are: after a restart the window knows what a list of the newest ones knows.
func TestTheWindowIsRebuiltOverSeveralShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, Remember{10 * time.Minute, 1000})
		for i := 0; i < 4000; i += 10 {
			r.put(i, i+10)
			time.Sleep(10 * time.Millisecond)
		}
		r.begin()
		if n := r.put(3010, 4000); n != 0 {
			t.Errorf("of the last 990 that come again after a restart %d are taken for new", n)
		}
		if n := r.put(0, 100); n != 100 {
			t.Errorf("%d of 100 that are too many are taken for new", n)
		}
	})
}

func TestTheRebuiltClockIsThatOfTheArrivals(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			window := 10 * time.Minute
			r := newRig(t, 1+rng.IntN(5), Remember{window, 100_000})
			var at []time.Duration // on the clock of the window
			clock := time.Duration(0)
			for i := range 300 {
				r.put(i, i+1)
				at = append(at, clock)
				pause := time.Duration(rng.Int64N(int64(30 * time.Second)))
				if rng.IntN(20) == 0 {
					pause = time.Duration(rng.Int64N(int64(time.Hour)))
				}
				r.others(rng.IntN(30))
				time.Sleep(pause.Truncate(time.Millisecond))
				clock += min(pause.Truncate(time.Millisecond), heard)
			}
			r.begin()
			for i := range at {
				known := clock-at[i] <= window
				if n := r.put(i, i+1); (n == 0) != known {
					t.Errorf("seed %d: event %d of %v ago on the clock: known %v, want %v", seed, i, clock-at[i], n == 0, known)
				}
			}
		})
	}
}

func TestLookingBackIsBoundedByBusierSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, Remember{time.Minute, 1000})
		busy := func() {
			for range 600 {
				time.Sleep(time.Second)
				r.others(10)
			}
		}
		known := func(limit int) int {
			past := &past{Producer: r.p, limit: limit}
			w, err := past.window(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return w.len()
		}
		r.put(0, 10)
		busy()
		r.put(10, 20)
		if unbounded, bounded := known(lookBack), known(1000); unbounded != 20 || bounded != 10 {
			t.Errorf("%d are known without a bound, %d with, want 20 and 10", unbounded, bounded)
		}
		busy() // while this source is switched off
		if n := known(1000); n != 10 {
			t.Errorf("switched off for a while: %d are known, want the last 10", n)
		}
	})
}

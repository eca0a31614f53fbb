package producer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

func engine(t testing.TB, shards int) *local.Engine {
	t.Helper()
	e, err := local.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	streamtest.Create(t, e, "s", shards)
	return e
}

func begin(t testing.TB, e stream.Engine, change func(*producer.Producer)) *producer.Producer {
	t.Helper()
	p := &producer.Producer{Engine: e, Stream: "s", Source: "feed", Remember: producer.Remember{Window: time.Minute, Events: 1000}}
	if change != nil {
		change(p)
	}
	if _, err := p.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func events(from, to int) []leat.Event {
	var out []leat.Event
	for i := from; i < to; i++ {
		out = append(out, leat.Event{ID: fmt.Sprint(i), PartitionKey: fmt.Sprint("k", i%5), Data: fmt.Append(nil, i)})
	}
	return out
}

// to moves the mark to a cursor.
func to(cursor leat.Cursor, beside ...stream.Put) func(*source.Mark, bool) []stream.Put {
	return func(m *source.Mark, _ bool) []stream.Put {
		m.Cursor = cursor
		return beside
	}
}

func put(t testing.TB, p *producer.Producer, d source.Delivery) {
	t.Helper()
	if err := p.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// byKey returns the payloads of every key in the order of the stream.
func byKey(t testing.TB, e streamtest.Engine) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, r := range streamtest.ReadStream(t, e, "s") {
		got[r.PartitionKey] += string(r.Data) + " "
	}
	return got
}

func TestDuplicatesAreDroppedAlsoAfterARestart(t *testing.T) {
	e := engine(t, 3)
	p := begin(t, e, nil)
	put(t, p, source.Delivery{Events: events(0, 100)})
	put(t, p, source.Delivery{Events: events(50, 150)})
	put(t, p, source.Delivery{Events: []leat.Event{{Data: []byte("no id")}, {Data: []byte("no id")}}})
	p = begin(t, e, nil)
	put(t, p, source.Delivery{Events: events(0, 160)})
	if n := len(streamtest.ReadStream(t, e, "s")); n != 162 {
		t.Errorf("the stream has %d records, want 160 and the two without identity", n)
	}
	if s := p.Stats(); s.Duplicates != 150 || s.Records != 10 {
		t.Errorf("stats: %+v", s)
	}
}

func TestIdentitiesBelongToTheirSource(t *testing.T) {
	e := engine(t, 1)
	put(t, begin(t, e, nil), source.Delivery{Events: events(0, 10)})
	other := begin(t, e, func(p *producer.Producer) { p.Source = "other" })
	put(t, other, source.Delivery{Events: events(0, 10)})
	if n := len(streamtest.ReadStream(t, e, "s")); n != 20 {
		t.Errorf("the stream has %d records, want those of both sources", n)
	}
}

func TestTheWindowIsBounded(t *testing.T) {
	e := engine(t, 1)
	p := begin(t, e, func(p *producer.Producer) { p.Remember.Events = 10 })
	put(t, p, source.Delivery{Events: events(0, 30)})
	put(t, p, source.Delivery{Events: events(0, 30)}) // 0 to 19 are forgotten, and so is each of the others before its turn comes
	if n := len(streamtest.ReadStream(t, e, "s")); n != 60 {
		t.Errorf("the stream has %d records, want 60", n)
	}
	put(t, p, source.Delivery{Events: events(20, 30)})
	if s := p.Stats(); s.Duplicates != 10 {
		t.Errorf("the last ten were to be known: %+v", s)
	}
}

// gate is an engine whose commits wait for leave.
type gate struct {
	stream.Engine
	mu      sync.Mutex
	commits []stream.Commit
	arrived chan struct{}
	leave   chan error
}

func newGate(e stream.Engine) *gate {
	return &gate{Engine: e, arrived: make(chan struct{}, 100), leave: make(chan error, 100)}
}

func (g *gate) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if len(c.Puts) == 0 {
		return g.Engine.Commit(ctx, c)
	}
	g.mu.Lock()
	g.commits = append(g.commits, c)
	g.mu.Unlock()
	g.arrived <- struct{}{}
	if err := <-g.leave; err != nil {
		return stream.Receipt{}, err
	}
	return g.Engine.Commit(ctx, c)
}

func TestConcurrentPutsShareACommit(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	p := begin(t, g, nil)
	var group sync.WaitGroup
	group.Go(func() { put(t, p, source.Delivery{Events: events(0, 1)}) })
	<-g.arrived
	for i := range 20 {
		group.Go(func() { put(t, p, source.Delivery{Events: events(i+1, i+2), Move: to("m")}) })
	}
	for p.Waiting() < 20 { // they wait together while the first commit is under way
		select {
		case <-t.Context().Done():
			t.Fatal("they do not gather")
		default:
		}
	}
	g.leave <- nil
	g.leave <- nil
	group.Wait()
	if len(g.commits) != 2 || len(g.commits[1].Puts[0].Events) != 20 || len(g.commits[1].Marks) != 1 {
		t.Errorf("got %d commits", len(g.commits))
	}
	if n := len(streamtest.ReadStream(t, e, "s")); n != 21 {
		t.Errorf("the stream has %d records, want 21", n)
	}
}

func TestPutsOfDuplicatesWaitForWhatTheyRepeat(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	p := begin(t, g, nil)
	var group sync.WaitGroup
	group.Go(func() { put(t, p, source.Delivery{Events: events(0, 5)}) })
	<-g.arrived
	returned := make(chan struct{}, 3)
	for range 3 {
		group.Go(func() {
			put(t, p, source.Delivery{Events: events(0, 5)})
			if n := len(streamtest.ReadStream(t, e, "s")); n != 5 {
				t.Errorf("a put of duplicates returned while %d of 5 are durable", n)
			}
			returned <- struct{}{}
		})
	}
	select {
	case <-returned:
		t.Error("a put of duplicates returned before what it repeats was durable")
	default:
	}
	g.leave <- nil
	group.Wait()
}

func TestCommitsAreBounded(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	p := begin(t, g, func(p *producer.Producer) { p.Settings.Records = 10 })
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { put(t, p, source.Delivery{Events: events(i*4, i*4+4)}) })
		g.leave <- nil
	}
	group.Wait()
	for _, c := range g.commits {
		if n := len(c.Puts[0].Events); n > 10 {
			t.Errorf("a commit has %d events, the limit is 10", n)
		}
	}
}

func TestTheMarkMovesWithTheRecords(t *testing.T) {
	e := engine(t, 1)
	p := &producer.Producer{Engine: e, Stream: "s", Source: "feed"}
	if mark, err := p.Begin(t.Context()); err != nil || mark.Cursor != "" || !mark.Covered.IsZero() {
		t.Fatalf("the first mark is %v, %v", mark, err)
	}
	put(t, p, source.Delivery{Events: events(0, 3), Move: to("three")})
	put(t, p, source.Delivery{Events: events(3, 4)})
	put(t, p, source.Delivery{Move: to("alone", stream.Put{Stream: "s", Events: events(9, 10)})})
	next := &producer.Producer{Engine: e, Stream: "s", Source: "feed"}
	if mark, err := next.Begin(t.Context()); err != nil || mark.Cursor != "alone" {
		t.Errorf("the mark is %v, %v", mark, err)
	}
	if err := p.Put(t.Context(), source.Delivery{Events: events(5, 6), Move: to("late")}); !errors.Is(err, stream.ErrFenced) {
		t.Errorf("the former owner got %v", err)
	}
	if n := len(streamtest.ReadStream(t, e, "s")); n != 5 {
		t.Errorf("the stream has %d records, want 5", n)
	}
}

func TestFullStreamsAreTriedAgain(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	p := begin(t, g, nil)
	for range 3 {
		g.leave <- fmt.Errorf("put: %w", stream.ErrFull)
	}
	g.leave <- nil
	put(t, p, source.Delivery{Events: events(0, 5)})
	if s := p.Stats(); s.Refused != 3 || s.Records != 5 {
		t.Errorf("stats: %+v", s)
	}
}

func TestNothingIsStoredAfterAFailure(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	p := begin(t, g, nil)
	broken := errors.New("broken")
	g.leave <- broken
	if err := p.Put(t.Context(), source.Delivery{Events: events(0, 5)}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := p.Put(t.Context(), source.Delivery{Events: events(0, 9), Move: to("nine")}); !errors.Is(err, broken) {
		t.Errorf("after the failure: got %v; its first five would be dropped as duplicates of what was lost", err)
	}
	p = begin(t, e, nil)
	put(t, p, source.Delivery{Events: events(0, 9)})
	if n := len(streamtest.ReadStream(t, e, "s")); n != 9 {
		t.Errorf("the stream has %d records, want 9", n)
	}
}

// partial is an engine that refuses some events of a commit, as Kinesis does.
type partial struct {
	stream.Engine
	rng *rand.Rand
	t   testing.TB
}

func (p *partial) Partial() bool { return true }

func (p *partial) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	stored := stream.Commit{Marks: c.Marks}
	refused := &stream.PartialError{Err: errors.New("throughput exceeded")}
	for _, put := range c.Puts {
		kept := stream.Put{Stream: put.Stream, Source: put.Source}
		var left []int
		seen := map[string]bool{}
		for i, e := range put.Events {
			if seen[e.PartitionKey] && put.Stream == "s" {
				p.t.Errorf("two events of key %s in one commit", e.PartitionKey)
			}
			seen[e.PartitionKey] = true
			if p.rng.IntN(3) == 0 {
				left = append(left, i)
				continue
			}
			kept.Events = append(kept.Events, e)
		}
		stored.Puts = append(stored.Puts, kept)
		refused.Refused = append(refused.Refused, left)
	}
	some := false
	for _, left := range refused.Refused {
		some = some || len(left) > 0
	}
	if some {
		stored.Marks = nil
	}
	receipt, err := p.Engine.Commit(ctx, stored)
	if err == nil && some {
		err = fmt.Errorf("put records: %w", refused)
	}
	return receipt, err
}

func TestKeyOrderSurvivesPartialRefusal(t *testing.T) {
	e := engine(t, 4)
	p := begin(t, &partial{e, rand.New(rand.NewPCG(1, 2)), t}, nil)
	put(t, p, source.Delivery{Events: events(0, 20), Move: to("m")})
	put(t, p, source.Delivery{Events: events(20, 40), Move: to("n")})
	got := byKey(t, e)
	for k := range 5 {
		var want strings.Builder
		for i := k; i < 40; i += 5 {
			fmt.Fprint(&want, i, " ")
		}
		if key := fmt.Sprint("k", k); got[key] != want.String() {
			t.Errorf("key %s: got %s, want %s", key, got[key], want.String())
		}
	}
	stored, err := e.Load(t.Context(), producer.MarkKey("feed"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := source.DecodeMark(stored.Value); err != nil || m.Cursor != "n" {
		t.Errorf("the mark is %q, %v", stored.Value, err)
	}
}

func BenchmarkPut(b *testing.B) {
	e := engine(b, 4)
	p := begin(b, e, func(p *producer.Producer) { p.Remember.Events = 1_000_000 })
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch := make([]leat.Event, 500)
		for i := range batch {
			n++
			batch[i] = leat.Event{ID: fmt.Sprint(n), PartitionKey: "k", Data: make([]byte, 200)}
		}
		put(b, p, source.Delivery{Events: batch})
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// of is a delivery of one event for each identity, all of one key.
func of(ids ...string) source.Delivery {
	var d source.Delivery
	for _, id := range ids {
		d.Events = append(d.Events, leat.Event{ID: id, PartitionKey: "k", Data: []byte(id)})
	}
	return d
}

// stored returns the payloads of the stream in its order.
func stored(t testing.TB, e streamtest.Engine) string {
	t.Helper()
	var all []string
	for _, r := range streamtest.ReadStream(t, e, "s") {
		all = append(all, string(r.Data))
	}
	return strings.Join(all, " ")
}

func TestPutsAreStoredInTheOrderOfTheirCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, 1)
		g := newGate(e)
		p := begin(t, g, func(p *producer.Producer) { p.Settings.Records = 1 })
		var want []string
		var group sync.WaitGroup
		start := func(ids ...string) {
			group.Go(func() { put(t, p, of(ids...)) })
			synctest.Wait()
			want = append(want, ids...)
		}
		for i := range 20 {
			start(fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
			start(fmt.Sprint(i, "c"))
			g.leave <- nil
			synctest.Wait()
		}
		close(g.leave)
		group.Wait()
		if got := stored(t, e); got != strings.Join(want, " ") {
			t.Errorf("called in the order %s, stored %s", want, got)
		}
	})
}

func TestTheMarkOfADividedDeliveryMovesLast(t *testing.T) {
	e := engine(t, 1)
	g := newGate(e)
	p := begin(t, g, func(p *producer.Producer) { p.Settings.Records = 10 })
	close(g.leave)
	put(t, p, source.Delivery{Events: events(0, 35), Move: to("35")})
	if len(g.commits) != 4 {
		t.Fatalf("%d commits, want 4", len(g.commits))
	}
	for i, c := range g.commits {
		if n := len(c.Puts[0].Events); n != min(10, 35-10*i) || len(c.Marks) != i/3 {
			t.Errorf("commit %d has %d events and %d marks", i, n, len(c.Marks))
		}
	}
}

func TestWhoGivesUpDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, 1)
		p := begin(t, e, func(p *producer.Producer) { p.Settings.Wait = time.Second })
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- p.Put(ctx, of("a")) }()
		synctest.Wait()
		go func() { second <- p.Put(t.Context(), of("b")) }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("who waits got %v", err)
		}
		put(t, p, of("c"))
		alone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := p.Put(alone, of("d")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who gave up alone got %v", err)
		}
		put(t, p, of("d", "e"))
		if got := stored(t, e); got != "a b c d e" {
			t.Errorf("stored %s", got)
		}
	})
}

// hanging is an engine whose commits with records end only with their context.
type hanging struct {
	stream.Engine
	calls chan struct{}
}

func (h *hanging) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if len(c.Puts) == 0 {
		return h.Engine.Commit(ctx, c)
	}
	h.calls <- struct{}{}
	<-ctx.Done()
	return stream.Receipt{}, ctx.Err()
}

func TestACommitIsInterruptedWhenNobodyWaitsForItAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, &hanging{engine(t, 1), make(chan struct{}, 10)}, nil)
		var cancels []context.CancelFunc
		ends := make(chan error, 3)
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			go func() { ends <- p.Put(ctx, of(fmt.Sprint(i))) }()
			synctest.Wait()
		}
		cancels[0]() // it drives the commit, and stays for the others
		cancels[1]()
		synctest.Wait()
		if n := len(ends); n != 1 {
			t.Errorf("%d puts have ended, want the one that only waited", n)
		}
		cancels[2]()
		for range 3 {
			if err := <-ends; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if err := p.Put(t.Context(), of("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody knows what became of the commit, and a later put got %v", err)
		}
	})
}

func TestRefusedCommitsGoOnWithWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, 1)
		g := newGate(e)
		p := begin(t, g, nil)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- p.Put(ctx, of("a")) }()
		synctest.Wait()
		go func() { second <- p.Put(t.Context(), of("b")) }()
		synctest.Wait()
		cancel()
		g.leave <- stream.ErrFull
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		close(g.leave)
		if err := <-second; err != nil {
			t.Errorf("who waits got %v", err)
		}
		if got := stored(t, e); got != "a b" {
			t.Errorf("stored %s", got)
		}
	})
}

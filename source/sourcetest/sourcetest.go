// Package sourcetest is what every transport must do: a transport passes Run with a provider that speaks its language.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/source"
)

// Address is where the provider of a Kit is.
const Address = "provider:80"

// Limit is how large a message a Source of a Kit takes.
const Limit = 64 << 10

// Player sends to one connection. Its functions return an error once the connection is gone.
type Player struct {
	// Event sends one event with a text that is a JSON value, all at once.
	Event func(text string) error

	// Alive sends a keep-alive. Nil: the language has none.
	Alive func() error

	// End says goodbye. Nil: the language has no goodbye.
	End func()

	// Break breaks the connection off.
	Break func()

	// Gone is closed when the connection has ended.
	Gone <-chan struct{}

	// Cursor is what the client asked for.
	Cursor string
}

// Play is what a provider does on a connection. When it returns the connection stays as it is.
type Play func(p *Player)

// Kit is a transport and a provider for it.
type Kit struct {
	// Serve serves connections at Address until the end of ctx, and returns when all are over.
	Serve func(ctx context.Context, n *pipenet.Network, play Play) error

	// Source returns a Source for Address that takes messages up to Limit and sends the cursor.
	Source func(n *pipenet.Network) source.Source

	// Cursor is one that the provider understands.
	Cursor leat.Cursor

	// Text returns the text of an event. Nil: it is the data.
	Text func(e leat.Event) string

	// NoLimit: the library of the language refuses what is too large by itself.
	NoLimit bool

	// Asks: the client asks again and again, so that nothing is stalled between two answers.
	Asks bool

	// Held is how many bytes at most are on the way between a provider and a caller that does not call Next. 0: 4 MiB.
	Held int
}

// Run runs all tests of a Kit.
func Run(t *testing.T, kit Kit) {
	for name, test := range map[string]func(*testing.T, *rig){
		"EventsComeInTheirOrder":              testOrder,
		"TheEndComesBehindTheEvents":          testGoodbye,
		"BrokenOffIsNoGoodbye":                testBroken,
		"WhatIsTooLargeIsToldInItsPlace":      testTooLarge,
		"NextEndsWithItsContext":              testContext,
		"CloseEndsNext":                       testClose,
		"WhatWasReceivedOutlivesClose":        testCloseLater,
		"ResumeAsksForTheCursor":              testResume,
		"TheProviderWaitsForTheCaller":        testBounded,
		"KeepAlivesAreSignsOfLifeAndNoEvents": testAlive,
		"HeartbeatsAloneAreAStall":            testStall,
		"NobodyThereIsToldAsDial":             testNobody,
		"OpenEndsWithItsContext":              testOpenContext,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &rig{Kit: kit, n: pipenet.New()}) })
		})
	}
}

// rig is one test.
type rig struct {
	Kit
	n *pipenet.Network
}

// serve serves until the returned function is called.
func (r *rig) serve(t *testing.T, play Play) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		close(ready)
		served <- r.Serve(ctx, r.n, play)
	}()
	<-ready
	synctest.Wait()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// open serves and opens a connection, which ends with the test.
func (r *rig) open(t *testing.T, play Play) source.Conn {
	t.Helper()
	t.Cleanup(r.serve(t, play))
	c, err := r.Source(r.n).Open(t.Context(), "")
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *rig) text(e leat.Event) string {
	if r.Text != nil {
		return r.Text(e)
	}
	return string(e.Data)
}

// collect reads until there are so many events.
func (r *rig) collect(t *testing.T, c source.Conn, want int) (texts []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for len(texts) < want {
		events, err := c.Next(ctx)
		if err != nil {
			t.Fatalf("after %d events of %d: %v", len(texts), want, err)
		}
		if len(events) == 0 {
			t.Fatal("Next returned neither events nor an error")
		}
		for _, e := range events {
			texts = append(texts, r.text(e))
		}
	}
	return texts
}

// ending reads until the connection ends, and returns why.
func (r *rig) ending(t *testing.T, c source.Conn) (texts []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for {
		events, err := c.Next(ctx)
		if err != nil {
			return texts, err
		}
		for _, e := range events {
			texts = append(texts, r.text(e))
		}
	}
}

func numbered(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

func send(p *Player, n int) {
	for i := range n {
		if p.Event(numbered(i)) != nil {
			return
		}
	}
}

func wantNumbered(t *testing.T, texts []string, n int) {
	t.Helper()
	if len(texts) != n {
		t.Errorf("got %d events, want %d", len(texts), n)
		return
	}
	for i, text := range texts {
		if text != numbered(i) {
			t.Errorf("event %d is %q", i, text)
			return
		}
	}
}

func testOrder(t *testing.T, r *rig) {
	const n = 2000
	c := r.open(t, func(p *Player) { send(p, n) })
	wantNumbered(t, r.collect(t, c, n), n)
}

func testGoodbye(t *testing.T, r *rig) {
	probe := make(chan bool, 1)
	c := r.open(t, func(p *Player) {
		probe <- p.End != nil
		send(p, 3)
		if p.End != nil {
			p.End()
		}
	})
	if !<-probe {
		t.Skip("the language has no goodbye")
	}
	texts, err := r.ending(t, c)
	wantNumbered(t, texts, 3)
	var end *source.EndError
	if !errors.As(err, &end) || end.Kind != source.EndClose {
		t.Errorf("got %v", err)
	}
	if w, ok := c.(source.Watched); !ok {
		t.Error("the connection does not watch its provider")
	} else if again := w.Wait(t.Context()); !errors.As(again, &end) {
		t.Errorf("Wait returned %v", again)
	}
}

func testBroken(t *testing.T, r *rig) {
	c := r.open(t, func(p *Player) {
		send(p, 3)
		time.Sleep(30 * time.Second) // breaking off loses what is on its way
		p.Break()
	})
	texts, err := r.ending(t, c)
	wantNumbered(t, texts, 3)
	var end *source.EndError
	if !errors.As(err, &end) || end.Kind == source.EndClose {
		t.Errorf("got %v", err)
	}
}

func testTooLarge(t *testing.T, r *rig) {
	if r.NoLimit {
		t.Skip("the library of the language refuses what is too large by itself")
	}
	c := r.open(t, func(p *Player) {
		_ = p.Event(numbered(0))
		_ = p.Event(strconv.Quote(strings.Repeat("x", 3*Limit)))
		_ = p.Event(numbered(1))
	})
	wantNumbered(t, r.collect(t, c, 1), 1)
	var skip *source.SkipError
	if _, err := c.Next(t.Context()); !errors.As(err, &skip) || skip.Reason != "too_large" || skip.Bytes < 3*Limit {
		t.Errorf("got %v", err)
	}
	if texts := r.collect(t, c, 1); texts[0] != numbered(1) {
		t.Errorf("got %q", texts)
	}
}

func testContext(t *testing.T, r *rig) {
	c := r.open(t, func(p *Player) {
		time.Sleep(2 * time.Minute)
		send(p, 2)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	wantNumbered(t, r.collect(t, c, 2), 2)
}

func testClose(t *testing.T, r *rig) {
	c := r.open(t, func(*Player) {})
	time.AfterFunc(time.Minute, func() { _ = c.Close() })
	if _, err := c.Next(t.Context()); err == nil {
		t.Error("Next returned nil")
	}
	_ = c.Close()
	if _, err := c.Next(t.Context()); err == nil {
		t.Error("Next returned nil")
	}
}

func testCloseLater(t *testing.T, r *rig) {
	c := r.open(t, func(p *Player) { send(p, 5) })
	time.Sleep(time.Minute)
	_ = c.Close()
	texts, err := r.ending(t, c)
	wantNumbered(t, texts, 5)
	if err == nil {
		t.Error("no reason for the end")
	}
}

func testResume(t *testing.T, r *rig) {
	asked := make(chan string, 4)
	stop := r.serve(t, func(p *Player) { asked <- p.Cursor })
	defer stop()
	s := r.Source(r.n)
	for _, after := range []leat.Cursor{"", r.Cursor, ""} {
		c, err := s.Open(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != string(after) {
			t.Errorf("asked for %q, want %q", got, after)
		}
		_ = c.Close()
	}
}

func testBounded(t *testing.T, r *rig) {
	const size, most = 1 << 10, 64 << 10
	held := r.Held
	if held == 0 {
		held = 4 << 20
	}
	var mu sync.Mutex
	sent := 0
	text := func(n int) string { return fmt.Sprintf(`{"n":%d,"pad":%q}`, n, strings.Repeat("x", size)) }
	c := r.open(t, func(p *Player) {
		for n := range most {
			if p.Event(text(n)) != nil {
				return
			}
			mu.Lock()
			sent = n + 1
			mu.Unlock()
		}
	})
	time.Sleep(10 * time.Minute)
	mu.Lock()
	before := sent
	mu.Unlock()
	if before*size > held {
		t.Errorf("%d bytes were taken though nobody wanted them", before*size)
	}
	for i, got := range r.collect(t, c, before+100)[:before] {
		if got != text(i) {
			t.Fatalf("event %d is %.20s", i, got)
		}
	}
}

func testAlive(t *testing.T, r *rig) {
	alive := make(chan bool, 1)
	c := r.open(t, func(p *Player) {
		alive <- p.Alive != nil
		send(p, 1)
		for p.Alive != nil && p.Alive() == nil {
			time.Sleep(10 * time.Second)
		}
	})
	if !<-alive {
		t.Skip("the language has no keep-alive")
	}
	r.collect(t, c, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if events, err := c.Next(ctx); err == nil {
		t.Errorf("got %q", events)
	}
	signs := c.(source.Watched).Signs()
	if ago := time.Since(signs.Answer); signs.First.IsZero() || signs.Answer.IsZero() || ago > time.Minute {
		t.Errorf("the last sign of life was %v ago: %+v", ago, signs)
	}
	if time.Since(signs.Data) < 4*time.Minute {
		t.Errorf("a keep-alive counts as data: %+v", signs)
	}
}

// testStall: a provider that says that it lives, and sends no data, is left after the stall time.
func testStall(t *testing.T, r *rig) {
	stop := r.serve(t, func(p *Player) {
		send(p, 1)
		for p.Alive != nil && p.Alive() == nil {
			time.Sleep(10 * time.Second)
		}
	})
	defer stop()
	m := &source.Manager{
		Name: "feed", Source: r.Source(r.n), Producer: &source.Nowhere{}, Log: slog.New(slog.DiscardHandler),
		Settings: source.Settings{Stall: time.Minute, EventID: expression.MustParse("n")},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	stalls := m.Status().Ends[source.End{Kind: source.EndStall}]
	if r.Asks != (stalls == 0) || stalls > 5 {
		t.Errorf("%d connections ended as stalled: %v", stalls, m.Status().Ends)
	}
	time.Sleep(time.Minute)
}

func testNobody(t *testing.T, r *rig) {
	c, err := r.Source(r.n).Open(t.Context(), "")
	var end *source.EndError
	if err == nil {
		_ = c.Close()
	}
	if !errors.As(err, &end) || end.Kind != source.EndDial {
		t.Errorf("got %v", err)
	}
	time.Sleep(time.Minute)
}

func testOpenContext(t *testing.T, r *rig) {
	l := r.n.Listen(Address)
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	c, err := r.Source(r.n).Open(ctx, "")
	if err == nil {
		_ = c.Close() // a language without an answer
	} else if time.Since(begun) > 30*time.Second {
		t.Errorf("Open took %v after the end of its context: %v", time.Since(begun), err)
	}
	time.Sleep(time.Minute)
}

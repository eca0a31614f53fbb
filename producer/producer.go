package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
)

// Producer takes the events of one source to one stream. It drops events that the stream already has, gathers
// concurrent puts into one commit, and moves the source's mark in the same commit. Fill the exported
// fields, call Begin once, then Put from any number of goroutines.
type Producer struct {
	Engine stream.Engine
	Stream string // where the events go
	Source string // who delivers them; the mark and the identities of the events belong to it

	Settings Settings

	// Remember says how long and how many identities are remembered. Zero Events: none are, and nothing is dropped.
	Remember Remember

	Log *slog.Logger // nil: slog.Default

	stats counters
	slot  chan struct{} // holds the right to commit

	mu      sync.Mutex
	window  *window
	pending *gathering
	mark    source.Mark // as the last delivery has left it
	epoch   uint64
	broken  error // the first failure: what came after it is not stored either
}

// Remember bounds the de-duplication window.
type Remember struct {
	Window time.Duration
	Events int
}

// Stats counts what a Producer has done since it was made.
type Stats struct {
	Records    int64 // events stored
	Bytes      int64 // their keys and payloads
	Duplicates int64 // events that were dropped because the stream has them
	Commits    int64
	Refused    int64 // commits or events that were refused and put again
}

type counters struct{ records, bytes, duplicates, commits, refused atomic.Int64 }

// Stats returns the counts so far.
func (p *Producer) Stats() Stats {
	return Stats{
		p.stats.records.Load(), p.stats.bytes.Load(), p.stats.duplicates.Load(),
		p.stats.commits.Load(), p.stats.refused.Load(),
	}
}

// Waiting returns the number of events that wait to be committed.
func (p *Producer) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending.events)
}

// MarkKey is the key of the mark of a source.
func MarkKey(source string) string { return "source/" + source }

// Begin takes over the source's mark in a new epoch, from which moment a former owner can store nothing any
// more, and rebuilds the de-duplication window from the tail of the stream. It implements source.Producer.
func (p *Producer) Begin(ctx context.Context) (source.Mark, error) {
	setting.Default(&p.Settings)
	p.slot = make(chan struct{}, 1)
	p.pending = newGathering()
	stored, err := p.Engine.Load(ctx, MarkKey(p.Source))
	if err != nil {
		return source.Mark{}, fmt.Errorf("load the mark of source %q: %w", p.Source, err)
	}
	if p.mark, err = source.DecodeMark(stored.Value); err != nil {
		return source.Mark{}, fmt.Errorf("source %q: %w", p.Source, err)
	}
	p.epoch = stored.Epoch + 1
	swap := stream.Swap{Mark: stream.Mark{Key: MarkKey(p.Source), Epoch: p.epoch, Value: p.mark.Encode()}, Was: stored.Epoch}
	if _, err := p.Engine.Commit(ctx, stream.Commit{Marks: []stream.Swap{swap}}); err != nil {
		return source.Mark{}, fmt.Errorf("take over source %q: %w", p.Source, err)
	}
	if p.Remember.Events > 0 {
		p.window, err = rebuild(ctx, p)
	}
	return p.mark, err
}

// Put returns nil once the delivery is durable. It blocks while the stream takes no more, and tries again as long as ctx lives where the
// stream refuses for now. Puts that run at the same time become durable in the order in which they were called,
// and mostly together. After an error nothing further is stored until Begin is called again:
// what has been dropped as a duplicate may have been a duplicate of what was lost.
func (p *Producer) Put(ctx context.Context, d source.Delivery) error {
	g, first, err := p.gather(ctx, d)
	if err != nil {
		return err
	}
	if first {
		p.lead(ctx, g)
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gathering is what becomes one commit.
type gathering struct {
	events []leat.Event
	beside []stream.Put
	moved  bool   // the mark
	mark   []byte // set when closed
	bytes  int
	led    bool          // somebody commits it
	full   chan struct{} // closed when it takes no more
	closed bool
	done   chan struct{} // closed when it is durable, or err is set
	err    error
}

func newGathering() *gathering {
	return &gathering{full: make(chan struct{}), done: make(chan struct{})}
}

// gather adds d to the pending gathering, waiting for room, and reports whether d is the first in it.
func (p *Producer) gather(ctx context.Context, d source.Delivery) (g *gathering, first bool, err error) {
	for {
		p.mu.Lock()
		if p.broken != nil {
			defer p.mu.Unlock()
			return nil, false, p.broken
		}
		g = p.pending
		if !g.closed {
			first, g.led = !g.led, true
			p.add(g, d)
			p.mu.Unlock()
			return g, first, nil
		}
		p.mu.Unlock()
		select { // the next one begins when this one is on its way
		case <-g.done:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

func (p *Producer) add(g *gathering, d source.Delivery) {
	now := time.Now().UnixMilli()
	for i := range d.Events {
		e := &d.Events[i]
		if p.window != nil && e.ID != "" && !p.window.add(e.ID, now) {
			p.stats.duplicates.Add(1)
			continue
		}
		g.events = append(g.events, *e)
		g.bytes += e.Size()
	}
	g.beside = append(g.beside, d.Beside...)
	if d.Move != nil {
		d.Move(&p.mark)
		g.moved = true
	}
	if len(g.events) >= p.Settings.Records || g.bytes >= int(p.Settings.Bytes) {
		p.shut(g)
	}
}

func (p *Producer) shut(g *gathering) {
	if !g.closed {
		g.closed = true
		if g.moved {
			g.mark = p.mark.Encode()
		}
		close(g.full)
	}
}

// lead commits g for everybody in it: when its turn comes, and when it is full or has waited long enough.
func (p *Producer) lead(ctx context.Context, g *gathering) {
	if p.Settings.Wait > 0 {
		t := time.NewTimer(p.Settings.Wait)
		defer t.Stop()
		select {
		case <-g.full:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	p.slot <- struct{}{} // the one before it always comes back: its commit ends, or the engine does
	p.mu.Lock()
	p.shut(g)
	if p.pending == g {
		p.pending = newGathering()
	}
	err := p.broken
	p.mu.Unlock()
	if err == nil {
		err = p.commit(ctx, g)
	}
	if err != nil {
		p.mu.Lock()
		p.broken = err
		p.mu.Unlock()
	}
	<-p.slot
	g.err = err
	close(g.done)
}

// commit stores g, again and again while it is only refused for now.
func (p *Producer) commit(ctx context.Context, g *gathering) error {
	steps := p.steps(g)
	for len(steps) > 0 {
		err := p.store(ctx, &steps[0])
		if err != nil {
			return fmt.Errorf("put to stream %q: %w", p.Stream, err)
		}
		steps = steps[1:]
	}
	p.stats.records.Add(int64(len(g.events)))
	p.stats.bytes.Add(int64(g.bytes))
	return nil
}

// steps divides g into commits. To an engine that stores a commit whole it is one; to any other at most one event of
// each key goes in a commit, because a refused event must not be overtaken by a later one of its key.
func (p *Producer) steps(g *gathering) []stream.Commit {
	var steps []stream.Commit
	for _, wave := range p.waves(g.events) {
		steps = append(steps, stream.Commit{Puts: []stream.Put{{Stream: p.Stream, Source: p.Source, Events: wave}}})
	}
	if len(steps) == 0 && len(g.beside) == 0 && g.mark == nil {
		return nil // all were duplicates, and what they repeat is durable by now
	}
	if len(steps) == 0 {
		steps = append(steps, stream.Commit{})
	}
	last := &steps[len(steps)-1]
	last.Puts = append(last.Puts, g.beside...)
	if g.mark != nil {
		last.Marks = []stream.Swap{{Mark: stream.Mark{Key: MarkKey(p.Source), Epoch: p.epoch, Value: g.mark}, Was: p.epoch}}
	}
	return steps
}

func (p *Producer) waves(events []leat.Event) [][]leat.Event {
	if len(events) == 0 {
		return nil
	}
	if partial, ok := p.Engine.(stream.Partial); !ok || !partial.Partial() {
		return [][]leat.Event{events}
	}
	var waves [][]leat.Event
	nth := map[string]int{} // how many events of a key there were
	for _, e := range events {
		key := e.PartitionKey
		if e.HashKey != nil {
			key = e.HashKey.String() + " " + key
		}
		n := nth[key]
		nth[key]++
		if n == len(waves) {
			waves = append(waves, nil)
		}
		waves[n] = append(waves[n], e)
	}
	return waves
}

// store commits c, and again what was refused of it, until nothing is left of it or ctx ends.
func (p *Producer) store(ctx context.Context, c *stream.Commit) error {
	for attempt := 0; ; attempt++ {
		_, err := p.Engine.Commit(ctx, *c)
		p.stats.commits.Add(1)
		var partial *stream.PartialError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &partial):
			c.Puts = refused(c.Puts, partial.Refused)
		case !errors.Is(err, stream.ErrFull):
			return err
		}
		p.stats.refused.Add(1)
		if attempt == 0 {
			p.log().Warn("the stream refuses events for now; they are kept and put again", "source", p.Source, "stream", p.Stream, "error", err)
		}
		if err := wait.For(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

// refused returns the events that are still to be stored.
func refused(puts []stream.Put, indexes [][]int) []stream.Put {
	var rest []stream.Put
	for i, put := range puts {
		if i >= len(indexes) || len(indexes[i]) == 0 {
			continue
		}
		left := stream.Put{Stream: put.Stream, Source: put.Source}
		for _, j := range indexes[i] {
			left.Events = append(left.Events, put.Events[j])
		}
		rest = append(rest, left)
	}
	return rest
}

// backoff is between nothing and 50 ms at first, doubling to 5 s.
func backoff(attempt int) time.Duration {
	return rand.N(min(5*time.Second, 50*time.Millisecond<<min(attempt, 10)))
}

func (p *Producer) log() *slog.Logger {
	if p.Log == nil {
		return slog.Default()
	}
	return p.Log
}

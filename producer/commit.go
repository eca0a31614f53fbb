package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// gathering is what is committed together. The Producer's mutex guards it until it is taken; then it belongs to whoever holds the slot.
type gathering struct {
	events []leat.Event
	beside []stream.Put
	moved  bool           // the mark
	mark   []byte         // set when closed
	state  []stream.Entry // the same
	bytes  int            // keys and payloads
	size   int            // of all events, as stored
	out    int            // events that were left out, and are none of bytes
	since  time.Time      // when it began; zero unless Settings.Wait is set
	full   chan struct{}  // closed when it takes no more; nil unless Settings.Wait is set
	closed bool
	taken  bool            // its commit has begun
	steps  []stream.Commit // what is left to be committed, once taken
	tries  int             // how often the first step was refused
	done   chan struct{}   // closed when it is durable, or err is set
	err    error
}

// over reports whether g is durable or has failed.
func (g *gathering) over() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// open returns the gathering that takes more. The caller holds mu, as for shut and fits.
func (p *Producer) open() *gathering {
	if n := len(p.queue); n > 0 && !p.queue[n-1].closed {
		return p.queue[n-1]
	}
	g := &gathering{done: make(chan struct{})}
	if p.Settings.Wait > 0 {
		g.since, g.full = time.Now(), make(chan struct{})
	}
	p.queue = append(p.queue, g)
	return g
}

func (p *Producer) shut(g *gathering) {
	if g.closed {
		return
	}
	g.closed = true
	if g.moved {
		g.mark = p.mark.Encode()
		if p.state != nil {
			g.state = p.state()
		}
	}
	if g.full != nil {
		close(g.full)
	}
}

func (p *Producer) fits(g *gathering, size int) bool {
	n := len(g.events)
	return n == 0 || n < p.Settings.Records && g.size+size <= int(p.Settings.Bytes)
}

// drive commits the oldest gathering for everybody in it. If ctx ends meanwhile it leaves the rest to the next one who waits. The
// caller holds the slot.
func (p *Producer) drive(ctx context.Context) {
	g := p.take(ctx)
	if g == nil {
		return
	}
	for len(g.steps) > 0 {
		if ctx.Err() != nil {
			return
		}
		again, err := p.step(ctx, g)
		if err != nil {
			p.fail(fmt.Errorf("put to stream %q: %w", p.Stream, err))
			return
		}
		if again && wait.For(ctx, backoff(g.tries-1)) != nil {
			return
		}
	}
	p.stats.records.Add(int64(len(g.events) - g.out))
	p.stats.bytes.Add(int64(g.bytes))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = slices.Delete(p.queue, 0, 1)
	close(g.done)
}

// take returns the oldest gathering, once it is full or has waited long enough; nil if there is none or ctx has ended.
func (p *Producer) take(ctx context.Context) *gathering {
	p.mu.Lock()
	if len(p.queue) == 0 {
		p.mu.Unlock()
		return nil
	}
	g := p.queue[0]
	p.mu.Unlock()
	if g.full != nil && !g.taken {
		t := time.NewTimer(time.Until(g.since.Add(p.Settings.Wait)))
		defer t.Stop()
		select {
		case <-g.full:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if g.taken {
		return g
	}
	p.mu.Lock()
	p.shut(g)
	g.taken = true
	p.mu.Unlock()
	g.steps = p.steps(g)
	return g
}

// fail ends everything that waits, and all that comes later, with err.
func (p *Producer) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
	for _, g := range p.queue {
		g.err = err
		close(g.done)
	}
	p.queue = nil
}

// step commits the first step of g and reports whether it was refused for now.
func (p *Producer) step(ctx context.Context, g *gathering) (again bool, err error) {
	err = p.commit(ctx, g.steps[0])
	var partial *stream.PartialError
	switch {
	case err == nil:
		g.steps, g.tries = g.steps[1:], 0
		return false, nil
	case errors.As(err, &partial):
		g.steps[0].Puts = refused(g.steps[0].Puts, partial.Refused)
	case errors.Is(err, stream.ErrTooLarge):
		return false, p.divide(g, err)
	case !errors.Is(err, stream.ErrFull):
		return false, err
	}
	p.stats.refused.Add(1)
	if g.tries == 0 {
		p.log().Warn("the stream refuses events for now; they are kept and put again", "source", p.Source, "stream", p.Stream, "error", err)
	}
	g.tries++
	return true, nil
}

// call is a commit under way. The Producer's mutex guards it.
type call struct {
	cancel context.CancelFunc
	left   bool // the context of the Put that drives it has ended
}

// commit stores c. The end of ctx interrupts it, with an outcome that nobody knows, only when no other Put waits either.
func (p *Producer) commit(ctx context.Context, c stream.Commit) error {
	during, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	now := &call{cancel: cancel}
	p.mu.Lock()
	p.call = now
	p.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		now.left = true
		p.interrupt()
	})
	defer stop()
	_, err := p.Engine.Commit(during, c)
	p.stats.commits.Add(1)
	p.mu.Lock()
	p.call = nil
	p.mu.Unlock()
	return err
}

// interrupt ends the commit under way if nobody waits for it any more. The caller holds mu.
func (p *Producer) interrupt() {
	if p.call != nil && p.call.left && p.waiting <= 1 {
		p.call.cancel()
	}
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
		last.State = g.state
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

package process

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat/internal/wait"
)

// A process that ends by itself once may have had a bad day. If the next does, too, the one after it is started only
// after a random pause, whose bound doubles from firstPause to longestPause.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
)

// stopping is how long a process may take to end after Stop, before Pool.Close kills it.
const stopping = time.Second

// ErrClosed is returned by Pool.Take after Pool.Close.
var ErrClosed = errors.New("the function is closed")

// Worker is one process of a Pool and what belongs to it. Alive is false, and Wait returns, when nothing of it is left; Stop and Kill do not wait.
type Worker interface {
	Alive() bool
	Stop()
	Kill()
	Wait()
}

// Pool shares the processes of one function among its calls. Make it with NewPool.
type Pool[W Worker] struct {
	// What became of the processes and calls. Calls and Failures are the caller's to count.
	Running, Starts, Calls, Failures, Crashes, Timeouts, Memory atomic.Int64

	tokens chan struct{} // one for each call that may run

	mu       sync.Mutex
	idle     []W // the one that worked last is the next to work
	closed   bool
	failures int       // processes that ended by themselves since the last answer
	pause    time.Time // until then none is started
}

// NewPool returns a pool of at most size processes.
func NewPool[W Worker](size int) *Pool[W] { return &Pool[W]{tokens: make(chan struct{}, size)} }

// Enter waits until there is room for one more call, and Leave makes room.
func (p *Pool[W]) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave is called once after each Enter that returned nil.
func (p *Pool[W]) Leave() { <-p.tokens }

// Take returns a process that is free, or starts one, perhaps after a pause. What was taken is given back with Give.
func (p *Pool[W]) Take(ctx context.Context, start func() (W, error)) (w W, err error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
		p.mu.Unlock()
		return w, nil
	}
	closed, pause := p.closed, p.pause
	p.mu.Unlock()
	if closed {
		return w, ErrClosed
	}
	if err := wait.For(ctx, time.Until(pause)); err != nil {
		return w, err
	}
	if w, err = start(); err != nil {
		p.stumbled()
		return w, err
	}
	p.Starts.Add(1)
	return w, nil
}

// Give takes a process back. Answered says that it has done what it was asked: it is no crash loop.
func (p *Pool[W]) Give(w W, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answered {
		p.failures, p.pause = 0, time.Time{}
	}
	if w.Alive() && !p.closed {
		p.idle = append(p.idle, w)
		return
	}
	w.Kill()
}

// Start starts a process whose end the pool counts, and log tells of if nobody asked for it. It is for the function that Take calls.
func (p *Pool[W]) Start(c Command, log *slog.Logger) (*Process, error) {
	before := c.Ended
	c.Ended = func(exit Exit) {
		if before != nil {
			before(exit)
		}
		p.Ended(exit)
		if !exit.Killed {
			log.Warn("a process of the function ended", "exit", exit.Text, "too_much_memory", exit.Memory)
		}
	}
	p.Running.Add(1)
	started, err := Start(c)
	if err != nil {
		p.Running.Add(-1)
	}
	return started, err
}

// Ended counts a process of which nothing is left. Start calls it; who starts processes in another way calls it once for each.
func (p *Pool[W]) Ended(exit Exit) {
	p.Running.Add(-1)
	switch {
	case exit.Memory:
		p.Memory.Add(1)
	case exit.Late:
		p.Timeouts.Add(1)
	case !exit.Killed:
		p.Crashes.Add(1)
		p.stumbled()
	}
}

// stumbled notes that a process ended by itself, or could not be started.
func (p *Pool[W]) stumbled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures++
	if p.failures > 1 {
		bound := min(longestPause, firstPause<<min(p.failures-2, 20))
		p.pause = time.Now().Add(rand.N(bound))
	}
}

// Close stops all processes that are idle, kills those that are still there after a second, and returns when none is left.
// Nobody may be between Enter and Leave.
func (p *Pool[W]) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, w := range idle {
		w.Stop()
	}
	late := time.AfterFunc(stopping, func() {
		for _, w := range idle {
			w.Kill()
		}
	})
	defer late.Stop()
	for _, w := range idle {
		w.Wait()
	}
}

// Package lambda is a function.Function that runs AWS Lambda functions unmodified on this machine: programs made with aws-lambda-go or any other
// runtime that speaks the Runtime API, files of Node.js and files of Python. Every process has a Runtime API of its own on the loopback interface.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/process"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
)

// A process that ends by itself once may have had a bad day. If the next does, too, the one after it is started only
// after a random pause, whose bound doubles from firstPause to longestPause.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
)

// maxUnseen is how many processes a call is offered to. One that ended while it was idle has not seen the call.
const maxUnseen = 3

// Function is one Lambda function. Its zero value with a Config is ready; it must not be copied after the first call.
type Function struct {
	// Config says which function it is.
	Config Config

	// Name is the name of the function where Config has none. Empty: function.
	Name string

	// Log takes what the processes write, at most 1 MiB a second, and what becomes of them. nil: nowhere.
	Log *slog.Logger

	once    sync.Once
	output  *process.Output
	tokens  chan struct{} // one for each process that there may be
	buffers sync.Pool     // of *buffer

	starts, calls, failed, crashes, timeouts, memory atomic.Int64
	running                                          atomic.Int64

	mu       sync.Mutex
	idle     []*worker // the one that worked last is the next to work
	closed   bool
	failures int       // processes that ended by themselves since the last answer
	pause    time.Time // until then none is started
}

var _ function.Observed = (*Function)(nil)

// buffer is what one call is written with.
type buffer struct {
	event event
	bytes []byte
}

func (f *Function) setup() {
	setting.Default(&f.Config)
	if f.Config.Name == "" {
		f.Config.Name = f.Name
	}
	if f.Config.Name == "" {
		f.Config.Name = "function"
	}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	f.output = &process.Output{Log: f.Log}
	f.tokens = make(chan struct{}, f.Config.Processes)
	f.buffers.New = func() any { return new(buffer) }
}

// Invoke implements function.Function. It waits for a process that is free, starts one if there may be one more, and ends the process
// of a call that takes too long or is cut off by ctx.
func (f *Function) Invoke(ctx context.Context, in function.Input) (function.Result, error) {
	f.once.Do(f.setup)
	b := f.buffers.Get().(*buffer)
	var err error
	if b.bytes, err = f.event(b, in.Batch.Stream).append(b.bytes[:0], &in); err != nil {
		f.buffers.Put(b)
		return function.Result{}, fmt.Errorf("call %s: %w", f.Config.Name, err)
	}
	c := newCall(b.bytes)
	body, err := f.call(ctx, c)
	if c.returned() {
		f.buffers.Put(b) // else the server may still be writing it
	}
	var r function.Result
	if err == nil {
		if r, err = f.Config.result(&in, body); err == nil {
			return r, nil
		}
		err = &function.Error{Type: "InvalidAnswer", Message: err.Error()}
	}
	if !function.IsGone(err) {
		f.failed.Add(1)
	}
	return function.Result{}, fmt.Errorf("call %s: %w", f.Config.Name, err)
}

func (f *Function) event(b *buffer, stream string) *event {
	c := &f.Config
	e := &b.event
	e.identity, e.region, e.streamARN, e.limit = "arn:aws:iam::"+c.Account+":role/leat", c.Region, c.StreamARN, maxPayload
	if e.streamARN == "" {
		e.streamARN = "arn:aws:kinesis:" + c.Region + ":" + c.Account + ":stream/" + stream
	}
	return e
}

// call hands c to a process and returns what that answered.
func (f *Function) call(ctx context.Context, c *call) ([]byte, error) {
	select {
	case f.tokens <- struct{}{}:
		defer func() { <-f.tokens }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for range maxUnseen {
		w, err := f.worker(ctx)
		if err != nil {
			return nil, err
		}
		fresh := w.fresh
		seen, err := w.offer(ctx, c)
		if seen {
			f.calls.Add(1)
			body, err := w.await(ctx, c)
			f.release(w, c.answered)
			return body, err
		}
		f.release(w, false)
		if fresh || ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, function.Gone(errors.New("every process ended before it asked for an event"))
}

// worker returns a process that is free, or a new one.
func (f *Function) worker(ctx context.Context) (*worker, error) {
	f.mu.Lock()
	if n := len(f.idle); n > 0 {
		w := f.idle[n-1]
		f.idle = f.idle[:n-1]
		f.mu.Unlock()
		return w, nil
	}
	closed, pause := f.closed, f.pause
	f.mu.Unlock()
	if closed {
		return nil, function.Gone(errors.New("the function is closed"))
	}
	if err := wait.For(ctx, time.Until(pause)); err != nil {
		return nil, err
	}
	w, err := f.start()
	if err != nil {
		f.stumbled()
		return nil, function.Gone(err)
	}
	return w, nil
}

// release gives a process back, if it lives.
func (f *Function) release(w *worker, answered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if answered {
		f.failures, f.pause = 0, time.Time{}
	}
	if w.alive() && !f.closed {
		f.idle = append(f.idle, w)
		return
	}
	w.process.Kill()
}

// stumbled notes that a process ended by itself, or could not be started.
func (f *Function) stumbled() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures++
	if f.failures > 1 {
		bound := min(longestPause, firstPause<<min(f.failures-2, 20))
		f.pause = time.Now().Add(rand.N(bound))
	}
}

// Status implements function.Observed.
func (f *Function) Status() function.Status {
	f.once.Do(f.setup)
	return function.Status{
		Processes: int(f.running.Load()), Starts: f.starts.Load(), Calls: f.calls.Load(), Failures: f.failed.Load(),
		Crashes: f.crashes.Load(), Timeouts: f.timeouts.Load(), Memory: f.memory.Load(), LogDropped: f.output.Dropped(),
	}
}

// Close ends all processes: each is sent SIGTERM, and killed if it is still there after a second. It returns when none is left.
func (f *Function) Close() error {
	f.once.Do(f.setup)
	f.mu.Lock()
	f.closed = true
	idle := f.idle
	f.idle = nil
	f.mu.Unlock()
	for _, w := range idle {
		w.process.Stop()
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	for _, w := range idle {
		select {
		case <-w.ended:
			continue
		case <-late.C:
			for _, w := range idle {
				w.process.Kill()
			}
		}
		<-w.ended
	}
	return nil
}

// Package lambda is a function.Function that runs AWS Lambda functions unmodified on this machine: programs made with aws-lambda-go or any other
// runtime that speaks the Runtime API, files of Node.js and files of Python. Every process has a Runtime API of its own on the loopback interface.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/process"
	"github.com/leatstream/leat/internal/setting"
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
	pool    *process.Pool[*worker]
	buffers sync.Pool // of *buffer
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
	f.pool = process.NewPool[*worker](f.Config.Processes)
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
		f.pool.Failures.Add(1)
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
	if err := f.pool.Enter(ctx); err != nil {
		return nil, err
	}
	defer f.pool.Leave()
	for range maxUnseen {
		w, err := f.pool.Take(ctx, f.start)
		if err != nil && ctx.Err() == nil {
			err = function.Gone(err)
		}
		if err != nil {
			return nil, err
		}
		fresh := w.fresh
		seen, err := w.offer(ctx, c)
		if seen {
			f.pool.Calls.Add(1)
			body, err := w.await(ctx, c)
			f.pool.Give(w, c.answered)
			return body, err
		}
		f.pool.Give(w, false)
		if fresh || ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, function.Gone(errors.New("every process ended before it asked for an event"))
}

// Status implements function.Observed.
func (f *Function) Status() function.Status {
	f.once.Do(f.setup)
	p := f.pool
	return function.Status{
		Processes: int(p.Running.Load()), Starts: p.Starts.Load(), Calls: p.Calls.Load(), Failures: p.Failures.Load(),
		Crashes: p.Crashes.Load(), Timeouts: p.Timeouts.Load(), Memory: p.Memory.Load(), LogDropped: f.output.Dropped(),
	}
}

// Close implements io.Closer: it ends all processes. Each is sent SIGTERM, and killed if it is still there after a second.
func (f *Function) Close() error {
	f.once.Do(f.setup)
	f.pool.Close()
	return nil
}

// Package command is a function.Function that runs a program and speaks with it in lines of JSON, over its standard input and output.
//
// A process lives as long as the function and is handed batch after batch. For every record it reads a line and writes one, in the same order:
//
//	{"sequence":"4959…","key":"race-7","arrived":"2026-01-02T03:04:05.678Z","data":{…}}    or "data_base64":"…"
//
//	(an empty line), null, {}                              done
//	{"error":"why"}                                        the record failed
//	{"put":[{"stream":"s","key":"k","data":{…}}, …]}       done, and these go into other streams; "data_base64" instead of "data" is bytes; without
//	                                                       "key" it is that of the record
//
// It may read ahead and answer later, but a batch is done only when all its lines are answered. With a window a line comes before the records,
// and the program answers it with a line after those of the records:
//
//	{"window":{"start":"2026-01-02T03:04:00Z","end":"…","final":false,"early":false},"state":{…},"records":3}
//
//	{"state":{…}}
//
// A line that is none of these, or that nobody has asked for, ends the process and fails the call. What the program writes to its standard error goes into the log.
package command

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/process"
	"github.com/leatstream/leat/internal/setting"
)

// Function is one program. Its zero value with a Config is ready; it must not be copied after the first call.
type Function struct {
	// Config says which program it is.
	Config Config

	// Log takes what the processes write to their standard error, at most 1 MiB a second, and what becomes of them. nil: nowhere.
	Log *slog.Logger

	once    sync.Once
	output  *process.Output
	pool    *process.Pool[*worker]
	buffers sync.Pool // of *[]byte
}

var _ function.Observed = (*Function)(nil)

func (f *Function) setup() {
	setting.Default(&f.Config)
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	f.output = &process.Output{Log: f.Log}
	f.pool = process.NewPool[*worker](f.Config.Processes)
	f.buffers.New = func() any { return new([]byte) }
}

// Invoke implements function.Function. It waits for a process that is free, starts one if there may be one more, and ends the process
// of a call that takes too long, is cut off by ctx, or does not answer as it must.
func (f *Function) Invoke(ctx context.Context, in function.Input) (function.Result, error) {
	f.once.Do(f.setup)
	r, err := f.invoke(ctx, &in)
	if err == nil {
		return r, nil
	}
	if !function.IsGone(err) {
		f.pool.Failures.Add(1)
	}
	name := ""
	if len(f.Config.Command) > 0 {
		name = f.Config.Command[0]
	}
	return function.Result{}, fmt.Errorf("call %s: %w", name, err)
}

func (f *Function) invoke(ctx context.Context, in *function.Input) (function.Result, error) {
	if err := f.pool.Enter(ctx); err != nil {
		return function.Result{}, err
	}
	defer f.pool.Leave()
	w, err := f.pool.Take(ctx, f.start)
	if err != nil {
		if ctx.Err() == nil {
			err = function.Gone(err)
		}
		return function.Result{}, err
	}
	f.pool.Calls.Add(1)
	buf := f.buffers.Get().(*[]byte)
	*buf = f.Config.input((*buf)[:0], in)
	lines, err := w.call(ctx, *buf, answers(in))
	f.buffers.Put(buf) // nobody writes it any more
	var r function.Result
	if err == nil {
		if r, err = f.Config.result(in, lines); err != nil {
			w.End(false) // it may be out of step
			err = &function.Error{Type: "InvalidAnswer", Message: err.Error(), LogTail: w.Tail()}
		}
	}
	f.pool.Give(w, err == nil)
	return r, err
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

// Close implements io.Closer: it ends all processes. Each finds the end of its input and is sent SIGTERM, and is killed if it is still there after a second.
func (f *Function) Close() error {
	f.once.Do(f.setup)
	f.pool.Close()
	return nil
}

// timedOut says that a call took too long, in the words of AWS.
func timedOut(limit time.Duration) *function.Error {
	return &function.Error{Type: "Timeout", Message: fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())}
}

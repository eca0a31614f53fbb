package lambda

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/process"
)

// leastPatience is how long a process that has answered may take to ask for the next event, however late its answer was.
const leastPatience = time.Second

// worker is one process and its Runtime API. One call at a time is offered to it.
type worker struct {
	*process.Process
	f       *Function
	address string // of the Runtime API
	server  *http.Server
	calls   chan *call // handed to the runtime when it asks for the next event

	// Of the goroutine that has the worker:
	fresh  bool      // it has not asked for an event yet
	expect time.Time // when it must have asked for the next one

	mu      sync.Mutex
	current *call           // the last one that was handed out
	initial *function.Error // that the runtime reported while it started
}

// start starts a process with a Runtime API of its own.
func (f *Function) start() (*worker, error) {
	plan, err := f.Config.plan()
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a Runtime API: %w", err)
	}
	w := &worker{
		f: f, address: listener.Addr().String(), calls: make(chan *call),
		fresh: true, expect: time.Now().Add(f.Config.Start),
	}
	w.server = &http.Server{Handler: w, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 2 << 20} // an X-Ray cause may have 1 MiB
	go func() { _ = w.server.Serve(listener) }()
	w.Process, err = f.pool.Start(process.Command{
		Path: plan.path, Args: plan.args, Dir: plan.dir, Env: f.Config.environment(w.address, plan),
		Memory: int64(f.Config.Memory), Output: f.output, Ended: func(process.Exit) { _ = w.server.Close() },
	}, f.Log)
	if err != nil {
		_ = w.server.Close()
		return nil, err
	}
	return w, nil
}

// offer waits until the process takes c. If it does not, or ends before, it has not seen c.
func (w *worker) offer(ctx context.Context, c *call) (seen bool, err error) {
	late := time.NewTimer(max(time.Until(w.expect), leastPatience))
	defer late.Stop()
	select {
	case w.calls <- c:
		w.fresh = false
		w.expect = time.Now().Add(w.f.Config.Timeout)
		return true, nil
	case <-ctx.Done():
		if w.fresh { // the next call has more patience
			return false, ctx.Err()
		}
		w.End(false)
		return false, ctx.Err()
	case <-late.C:
		w.End(true)
		return false, function.Gone(w.described(&function.Error{
			Type: "Sandbox.Timedout", Message: fmt.Sprintf("the function did not ask for an event within %s", w.f.Config.Start),
		}))
	case <-w.Over():
		w.mu.Lock()
		e := w.initial
		w.mu.Unlock()
		if e == nil {
			e = w.exited()
		}
		return false, function.Gone(w.described(e))
	}
}

// await waits for the answer to c, and ends the process if it takes too long.
func (w *worker) await(ctx context.Context, c *call) ([]byte, error) {
	late := time.NewTimer(time.Until(w.expect))
	defer late.Stop()
	var err error
	select {
	case <-c.done:
		return c.body, w.outcome(c)
	case <-w.Over():
		err = w.described(w.exited())
	case <-late.C:
		w.End(true)
		err = w.described(&function.Error{
			Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", w.f.Config.Timeout.Seconds()),
		})
	case <-ctx.Done():
		w.End(false)
		err = ctx.Err()
	}
	if !c.finish(func() {}) { // the answer came first after all
		return c.body, w.outcome(c)
	}
	return nil, err
}

// outcome returns the error of a call that has finished.
func (w *worker) outcome(c *call) error {
	if c.lost {
		w.End(false)
		return w.described(&function.Error{Type: "Runtime.ExitError", Message: "the runtime hung up while it was given the event"})
	}
	if c.err == nil {
		return nil
	}
	return w.described(c.err)
}

// exited says how a process ended that should have answered.
func (w *worker) exited() *function.Error {
	if w.Exit().Memory {
		return &function.Error{
			Type:    "Runtime.OutOfMemory",
			Message: fmt.Sprintf("Runtime exited with error: %s; it used more than %s of memory", w.Exit().Text, w.f.Config.Memory),
		}
	}
	return &function.Error{Type: "Runtime.ExitError", Message: "Runtime exited with error: " + w.Exit().Text}
}

// described adds what the process wrote last.
func (w *worker) described(e *function.Error) error {
	e.LogTail = w.Tail()
	return e.Trim()
}

// local reports whether a request may come from the process: one that a page in a browser has made does not.
func (w *worker) local(r *http.Request) bool {
	return r.Header.Get("Origin") == "" && (r.Host == w.address || r.Host == strings.Replace(w.address, "127.0.0.1", "localhost", 1))
}

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
	f       *Function
	address string // of the Runtime API
	server  *http.Server
	process *process.Process
	calls   chan *call    // handed to the runtime when it asks for the next event
	ended   chan struct{} // closed when nothing of the process is left
	exit    process.Exit  // set before ended is closed

	// Of the goroutine that has the worker:
	fresh  bool      // it has not asked for an event yet
	expect time.Time // when it must have asked for the next one

	mu       sync.Mutex
	current  *call           // the last one that was handed out
	initial  *function.Error // that the runtime reported while it started
	deadline bool            // it was ended because it was late
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
		f: f, address: listener.Addr().String(), calls: make(chan *call), ended: make(chan struct{}),
		fresh: true, expect: time.Now().Add(f.Config.Start),
	}
	w.server = &http.Server{Handler: w, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 2 << 20} // an X-Ray cause may have 1 MiB
	go func() { _ = w.server.Serve(listener) }()
	f.pool.Running.Add(1)
	w.process, err = process.Start(process.Command{
		Path: plan.path, Args: plan.args, Dir: plan.dir, Env: f.Config.environment(w.address, plan),
		Memory: int64(f.Config.Memory), Output: f.output, Ended: w.end,
	})
	if err != nil {
		f.pool.Running.Add(-1)
		_ = w.server.Close()
		return nil, err
	}
	return w, nil
}

// end is called when nothing of the process is left.
func (w *worker) end(exit process.Exit) {
	_ = w.server.Close()
	w.mu.Lock()
	late := w.deadline
	w.mu.Unlock()
	w.f.pool.Ended(exit, late)
	if !exit.Killed {
		w.f.Log.Warn("a process of the function ended", "exit", exit.Text, "too_much_memory", exit.Memory)
	}
	w.exit = exit
	close(w.ended)
}

// Alive reports whether something of the process is left; it implements process.Worker, as do the next three.
func (w *worker) Alive() bool {
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// Stop asks the process to end.
func (w *worker) Stop() { w.process.Stop() }

// Kill ends the process.
func (w *worker) Kill() { w.process.Kill() }

// Wait waits until nothing of the process is left.
func (w *worker) Wait() { <-w.ended }

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
		w.kill(false)
		return false, ctx.Err()
	case <-late.C:
		w.kill(true)
		return false, function.Gone(w.described(&function.Error{
			Type: "Sandbox.Timedout", Message: fmt.Sprintf("the function did not ask for an event within %s", w.f.Config.Start),
		}))
	case <-w.ended:
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
	case <-w.ended:
		err = w.described(w.exited())
	case <-late.C:
		w.kill(true)
		err = w.described(&function.Error{
			Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", w.f.Config.Timeout.Seconds()),
		})
	case <-ctx.Done():
		w.kill(false)
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
		w.kill(false)
		return w.described(&function.Error{Type: "Runtime.ExitError", Message: "the runtime hung up while it was given the event"})
	}
	if c.err == nil {
		return nil
	}
	return w.described(c.err)
}

// kill ends the process, perhaps because it was late, and waits until nothing of it is left.
func (w *worker) kill(late bool) {
	w.mu.Lock()
	w.deadline = late
	w.mu.Unlock()
	w.process.Kill()
	<-w.ended
}

// exited says how a process ended that should have answered.
func (w *worker) exited() *function.Error {
	if w.exit.Memory {
		return &function.Error{
			Type:    "Runtime.OutOfMemory",
			Message: fmt.Sprintf("Runtime exited with error: %s; it used more than %s of memory", w.exit.Text, w.f.Config.Memory),
		}
	}
	return &function.Error{Type: "Runtime.ExitError", Message: "Runtime exited with error: " + w.exit.Text}
}

// described adds what the process wrote last.
func (w *worker) described(e *function.Error) error {
	e.LogTail = w.process.Tail()
	return e.Trim()
}

// local reports whether a request may come from the process: one that a page in a browser has made does not.
func (w *worker) local(r *http.Request) bool {
	return r.Header.Get("Origin") == "" && (r.Host == w.address || r.Host == strings.Replace(w.address, "127.0.0.1", "localhost", 1))
}

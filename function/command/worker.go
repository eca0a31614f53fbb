package command

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/process"
)

// maxAnswers bounds all lines for one batch together.
const maxAnswers = 64 << 20

// worker is one process. One call at a time uses it.
type worker struct {
	*process.Process
	f *Function

	mu   sync.Mutex
	part []byte // of a line that has not ended
	got  [][]byte
	size int           // bytes of got
	want int           // lines that the call still waits for; 0: nobody waits
	done chan struct{} // closed when want has become 0 or wrong is set
	err  error         // what was wrong with its lines; nobody reads any more
}

func (f *Function) start() (*worker, error) {
	if err := f.Config.Check(); err != nil {
		return nil, err
	}
	path, err := exec.LookPath(f.Config.Command[0])
	if err != nil {
		return nil, fmt.Errorf("find program: %w", err)
	}
	env := map[string]string{}
	for name, value := range f.Config.Environment {
		env[name] = value.Reveal()
	}
	w := &worker{f: f}
	w.Process, err = f.pool.Start(process.Command{
		Path: path, Args: f.Config.Command[1:], Dir: f.Config.Directory, Env: process.Environment(env),
		Memory: int64(f.Config.Memory), Output: f.output, Stdin: true, Stdout: w,
	}, f.Log)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Write takes the standard output of the process. It never blocks, and keeps nothing that no call has asked for.
func (w *worker) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(b)
	for w.err == nil && len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		switch {
		case w.want == 0:
			w.spoil(fmt.Errorf("the program wrote a line that nobody has asked for: %.100q", line))
		case len(w.part)+len(line) > int(w.f.Config.MaxLine):
			w.spoil(fmt.Errorf("the program wrote a line of more than %s", w.f.Config.MaxLine))
		case w.size+len(w.part)+len(line) > maxAnswers:
			w.spoil(fmt.Errorf("the program wrote more than %d bytes for one batch", maxAnswers))
		default:
			w.part = append(w.part, line...)
			if whole {
				w.take()
			}
		}
		b = rest
	}
	return n, nil
}

// take takes a whole line. Called with mu held.
func (w *worker) take() {
	w.got = append(w.got, w.part)
	w.size += len(w.part)
	w.part = nil
	if w.want--; w.want == 0 {
		close(w.done)
	}
}

// spoil makes the process unfit for its call and any other: whoever has it next kills it. Called with mu held.
func (w *worker) spoil(err error) {
	w.err = err
	if w.want > 0 {
		close(w.done)
	}
	w.want, w.got, w.part = 0, nil, nil
}

// call writes the input and returns n lines of answers. When it returns nobody reads the input any more.
func (w *worker) call(ctx context.Context, input []byte, n int) ([][]byte, error) {
	if n == 0 {
		return nil, nil
	}
	done := make(chan struct{})
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return w.lines()
	}
	w.got, w.size, w.want, w.done = make([][]byte, 0, n), 0, n, done
	w.mu.Unlock()
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = w.Stdin().Write(input) }) // a process that does not read has ended, or will
	defer writing.Wait()
	late := time.NewTimer(w.f.Config.Timeout)
	defer late.Stop()
	select {
	case <-done:
	case <-w.Over():
	case <-late.C:
		w.End(true)
		return nil, w.described(timedOut(w.f.Config.Timeout))
	case <-ctx.Done():
		w.End(false)
		return nil, ctx.Err()
	}
	return w.lines()
}

// lines returns what the program answered, or why it did not.
func (w *worker) lines() ([][]byte, error) {
	w.mu.Lock()
	got, missing, err := w.got, w.want, w.err
	w.want, w.got = 0, nil
	w.mu.Unlock()
	switch {
	case err != nil:
		w.End(false)
		return nil, w.failed(err)
	case missing == 0:
		return got, nil
	case w.Exit().Memory:
		return nil, w.failed(fmt.Errorf("the program ended with %s: it used more than %s of memory", w.Exit().Text, w.f.Config.Memory))
	}
	return nil, w.described(&function.Error{Type: "ExitError", Message: fmt.Sprintf("the program ended with %s, and %d lines are not answered", w.Exit().Text, missing)})
}

func (w *worker) failed(err error) error {
	return w.described(&function.Error{Type: "InvalidAnswer", Message: err.Error()})
}

// described adds what the process wrote last to its standard error.
func (w *worker) described(e *function.Error) error {
	e.LogTail = w.Tail()
	return e.Trim()
}

// Alive reports whether the process can be used.
func (w *worker) Alive() bool {
	if !w.Process.Alive() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err == nil
}

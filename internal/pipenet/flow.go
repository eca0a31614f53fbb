package pipenet

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// flow is one direction of a connection. All waits are on its condition variable, which is
// durably blocking in a bubble; the mutex is never held across one.
type flow struct {
	size int

	mu       sync.Mutex
	changed  sync.Cond // of anything below
	data     bytes.Buffer
	writing  bool // a Write is under way: others wait, so that none interleave
	finished bool // the writing end is closed: io.EOF behind data
	left     bool // the reading end is closed
	broken   bool
	silent   bool
	readBy   deadline
	writeBy  deadline
}

func newFlow(size int) *flow {
	f := &flow{size: size}
	f.changed.L = &f.mu
	return f
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.left:
			return 0, net.ErrClosed
		case f.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case f.broken:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case len(p) == 0:
			return 0, nil
		case f.silent: // neither data nor its end comes through
		case f.data.Len() > 0:
			f.changed.Broadcast()
			return f.data.Read(p)
		case f.finished:
			return 0, io.EOF
		}
		f.changed.Wait()
	}
}

func (f *flow) write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.writing && f.writeError() == nil {
		f.changed.Wait()
	}
	if err := f.writeError(); err != nil {
		return 0, err
	}
	f.writing = true
	defer func() {
		f.writing = false
		f.changed.Broadcast()
	}()
	for n < len(p) {
		if err := f.writeError(); err != nil {
			return n, err
		}
		room := min(f.size-f.data.Len(), len(p)-n)
		if room == 0 {
			f.changed.Wait()
			continue
		}
		f.data.Write(p[n : n+room])
		n += room
		f.changed.Broadcast()
	}
	return n, nil
}

func (f *flow) writeError() error {
	switch {
	case f.finished:
		return net.ErrClosed
	case f.writeBy.passed:
		return os.ErrDeadlineExceeded
	case f.broken, f.left && !f.silent:
		return os.NewSyscallError("write", syscall.EPIPE)
	}
	return nil
}

func (f *flow) finish()  { f.change(func() { f.finished = true }) }
func (f *flow) abandon() { f.change(func() { f.left = true }) }
func (f *flow) silence() { f.change(func() { f.silent = true }) }

func (f *flow) cut() {
	f.change(func() {
		f.broken = true
		f.data.Reset()
	})
}

func (f *flow) change(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.changed.Broadcast()
}

// deadline is guarded by the mutex of its flow.
type deadline struct {
	passed bool
	timer  *time.Timer
	set    int // counts the calls of setDeadline, so that a timer that fires late does nothing
}

func (f *flow) setDeadline(d *deadline, t time.Time) {
	f.change(func() {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		d.set++
		d.passed = !t.IsZero() && time.Until(t) <= 0
		if t.IsZero() || d.passed {
			return
		}
		set := d.set
		d.timer = time.AfterFunc(time.Until(t), func() {
			f.change(func() { d.passed = d.passed || d.set == set })
		})
	})
}

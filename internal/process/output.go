package process

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of output.
const (
	LineBytes = 16 << 10 // of a line in the log; the rest of it is left out
	LogBytes  = 1 << 20  // a second that go into the log, of all processes of an Output together
	TailBytes = 4 << 10  // that Process.Tail returns
	lineCost  = 128      // bytes that a line counts for beside its own, so that empty lines are bounded, too
)

// Output takes what the processes of one function write and logs it, line by line. It never blocks for long, so no process does because of
// what it writes. Any number of processes may share it.
type Output struct {
	// Log takes the lines, at level Info with an attribute "output" that is stdout or stderr. nil: nowhere.
	Log *slog.Logger

	dropped atomic.Int64

	mu    sync.Mutex
	until time.Time // the end of the second that left belongs to
	left  int       // bytes that may still be logged in it
	quiet int64     // bytes left out in it
}

// Dropped returns how many bytes were not logged because of the bounds.
func (o *Output) Dropped() int64 { return o.dropped.Load() }

// admit reports whether a line of n bytes may be logged now, and how many bytes were left out in the second before.
func (o *Output) admit(n int) (ok bool, before int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left < n+lineCost {
		now := time.Now()
		if now.Before(o.until) {
			o.quiet, o.left = o.quiet+int64(n), 0 // smaller lines must not pass it
			return false, 0
		}
		o.until, o.left = now.Add(time.Second), LogBytes
		before, o.quiet = o.quiet, 0
	}
	o.left -= n + lineCost
	return true, before
}

func (o *Output) line(name string, line []byte, cut int) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) == 0 || o.Log == nil {
		return
	}
	o.dropped.Add(int64(cut))
	ok, before := o.admit(len(line))
	if before > 0 {
		o.Log.Warn("the function wrote more than goes into the log", "bytes_not_logged", before)
	}
	if !ok {
		o.dropped.Add(int64(len(line)))
		return
	}
	text := strings.ToValidUTF8(string(line), "\ufffd")
	if cut > 0 {
		text += "…"
	}
	o.Log.LogAttrs(context.Background(), slog.LevelInfo, text, slog.String("output", name))
}

func (o *Output) writer(t *tail, name string) *lines { return &lines{output: o, tail: t, name: name} }

// lines is one output of one process. Only the goroutine that copies it writes, and whoever waited for its end flushes.
type lines struct {
	output *Output
	tail   *tail
	name   string
	part   []byte // of a line that has not ended
	cut    int    // bytes of it that were left out
}

// Write implements io.Writer. It never fails.
func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	l.tail.add(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.keep(b)
			return n, nil
		}
		l.keep(b[:i])
		l.flush()
		b = b[i+1:]
	}
}

// keep adds to the line that has not ended.
func (l *lines) keep(b []byte) {
	room := min(len(b), LineBytes-len(l.part))
	l.part = append(l.part, b[:room]...)
	l.cut += len(b) - room
}

// flush logs the line.
func (l *lines) flush() {
	l.output.line(l.name, l.part, l.cut)
	l.part, l.cut = l.part[:0], 0
}

// tail keeps the last bytes of both outputs of a process.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) add(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(b) >= TailBytes {
		t.buf = append(t.buf[:0], b[len(b)-TailBytes:]...)
		return
	}
	if len(t.buf)+len(b) > 4*TailBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-TailBytes:]...)
	}
	t.buf = append(t.buf, b...)
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.buf[max(0, len(t.buf)-TailBytes):])
}

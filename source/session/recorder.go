package session

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat/source"
)

// Recorder writes what goes over the wire into one recording, without secrets. NewRecorder makes one. Its methods may be called at any time.
type Recorder struct {
	out   *Writer
	base  *Hider // of the secrets of the configuration; nil: nothing is hidden
	limit int64
	done  chan struct{}
	hider atomic.Pointer[Hider] // of found, too

	mu    sync.Mutex
	found []string        // secrets that were found out, the last ones
	conns map[int64]int64 // numbers in the recording
	count Count
	err   error
}

// Count is what a Recorder has seen.
type Count struct {
	Connections int64     `json:"connections"`
	Open        int64     `json:"open"`
	In          int64     `json:"in"`
	Out         int64     `json:"out"`
	Bytes       int64     `json:"bytes"` // of In
	Last        time.Time `json:"last,omitzero"`
	Ended       string    `json:"ended,omitempty"` // why the last connection is over
}

// NewRecorder returns a Recorder that takes so many messages of the providers; 0: without a limit. Without a Hider nothing is hidden.
func NewRecorder(out *Writer, hider *Hider, limit int64) *Recorder {
	r := &Recorder{out: out, base: hider, limit: limit, done: make(chan struct{}), conns: map[int64]int64{}}
	r.hider.Store(hider)
	return r
}

// Source returns the Tape for one source.
func (r *Recorder) Source(name, kind string) source.Tape {
	return &labelled{r, name, kind}
}

type labelled struct {
	r          *Recorder
	name, kind string
}

// Record implements source.Tape.
func (l *labelled) Record(t source.TapeEntry) {
	e := Entry{TapeEntry: t}
	if e.Kind == source.TapeOpen {
		e.Source, e.Type = l.name, l.kind
	}
	l.r.record(e)
}

// KeepSecret implements source.SecretKeeper.
func (l *labelled) KeepSecret(secret string) { l.r.keepSecret(secret) }

// maxFound is how many secrets are remembered that were found out.
const maxFound = 256

func (r *Recorder) keepSecret(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.base == nil || slices.Contains(r.found, secret) {
		return
	}
	r.found = append(r.found, secret)
	r.found = r.found[max(0, len(r.found)-maxFound):]
	r.hider.Store(r.base.with(r.found))
}

// record writes an entry, with the secrets hidden before the lock is taken.
func (r *Recorder) record(e Entry) {
	size := int64(len(e.Data))
	if hider := r.hider.Load(); hider != nil {
		e.Data = hider.Hide(e.Data)
		e.ID, e.Event, e.Note = hider.Text(e.ID), hider.Text(e.Event), hider.Text(e.Note)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.full() && e.Kind != source.TapeClose {
		return
	}
	if e.Kind == source.TapeOpen {
		r.conns[e.Conn] = int64(len(r.conns)) + 1
	}
	number, known := r.conns[e.Conn]
	if !known {
		return // it was opened behind the limit
	}
	e.Conn = number
	if r.err = r.out.Write(&e); r.err != nil {
		close(r.done)
		return
	}
	r.counted(&e, size)
}

func (r *Recorder) counted(e *Entry, size int64) {
	switch e.Kind {
	case source.TapeOpen:
		r.count.Connections++
		r.count.Open++
	case source.TapeClose:
		r.count.Open--
		r.count.Ended = e.Note
	case source.TapeOut:
		r.count.Out++
	case source.TapeIn:
		r.count.In++
		r.count.Bytes += size
		r.count.Last = e.Time
		if r.full() {
			close(r.done)
		}
	}
}

func (r *Recorder) full() bool { return r.limit > 0 && r.count.In >= r.limit }

// Done is closed when the limit is reached, or the recording cannot be written: Err tells.
func (r *Recorder) Done() <-chan struct{} { return r.done }

// Err returns why the recording cannot be written.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Count returns what has been seen.
func (r *Recorder) Count() Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Flush hands on what was written.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	return r.out.Flush()
}

// Close ends the recording.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	return r.out.Close()
}

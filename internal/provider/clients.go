package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
)

// keepMessages is how many messages of clients are kept.
const keepMessages = 1000

// Clients is the part that all providers share: what their clients did, and faults at the wish
// of a test. The zero value is ready. All methods may be called at any time.
type Clients struct {
	mu       sync.Mutex
	counts   Counts
	received [][]byte
	live     []*conn // oldest first, without those that were cut
}

// Counts is what a provider has counted since it was made.
type Counts struct {
	Connections int64 // WebSocket connections accepted
	Refused     int64 // requests answered with an HTTP status by HTTPStatus or Bomb
	Open        int64 // connections not yet ended, half-open ones among them
	Sent        int64 // messages written, whether or not a client has read them
	Received    int64 // messages of clients
	Pings       int64 // pings of clients, answered or not
	Pongs       int64 // pongs of clients
}

// Counts returns what has been counted.
func (l *Clients) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Received returns the first 1,000 messages of all clients in the order of their arrival, of each the
// first MiB.
func (l *Clients) Received() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.received)
}

// CutAll ends all connections that are open now, half-open ones too, without a close frame,
// and returns how many they were. What was sent before arrives.
func (l *Clients) CutAll() int { return l.each(-1, (*Clients).cut) }

// CutOldest cuts the oldest connection that is not half-open, and reports whether there was one.
func (l *Clients) CutOldest() bool {
	return l.each(1, func(l *Clients, c *conn) bool { return !c.silent.Load() && l.cut(c) }) == 1
}

// SilenceAll makes all connections that are open now half-open, and returns how many they
// were: nothing is sent on them any more, not even a pong, and they stay open. New ones work.
func (l *Clients) SilenceAll() int { return l.each(-1, (*Clients).silence) }

// SilenceOldest makes the oldest connection half-open that is not, and reports whether there was one.
func (l *Clients) SilenceOldest() bool { return l.each(1, (*Clients).silence) == 1 }

// each does fault to the live connections until so many have been hit; -1 is all.
func (l *Clients) each(limit int, fault func(*Clients, *conn) bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	hit := 0
	for _, c := range slices.Clone(l.live) {
		if hit != limit && fault(l, c) {
			hit++
		}
	}
	return hit
}

func (l *Clients) cut(c *conn) bool {
	l.live = slices.DeleteFunc(l.live, func(other *conn) bool { return other == c })
	_ = c.raw.Close() // closed is closed
	return true
}

func (l *Clients) silence(c *conn) bool { return !c.silent.Swap(true) }

// serve upgrades the request and lets play have the connection. When play returns, the connection
// is closed, but a half-open one stays until the client leaves or the request's context ends.
func (l *Clients) serve(w http.ResponseWriter, r *http.Request, play func(context.Context, *conn) error) {
	if answer, err := shake(w, r); err == nil {
		l.upgrade(w, r, answer, play)
	}
}

func (l *Clients) upgrade(w http.ResponseWriter, r *http.Request, answer handshake, play func(context.Context, *conn) error) {
	raw, reader, err := hijack(w)
	if err != nil {
		return
	}
	c := newConn(l, raw, reader)
	l.add(c) // before the client knows, so that it finds itself counted
	defer l.remove(c)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	context.AfterFunc(ctx, func() { _ = raw.Close() })
	if _, err := raw.Write(answer.response()); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		c.read()
	}()
	if err := play(ctx, c); errors.Is(err, errSilent) {
		<-ctx.Done()
	}
	cancel()
	_ = raw.Close() // a second time if AfterFunc was first
	<-done
}

func (l *Clients) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Connections++
	l.counts.Open++
	c.number = l.counts.Connections
	l.live = append(l.live, c)
}

func (l *Clients) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Open--
	l.live = slices.DeleteFunc(l.live, func(other *conn) bool { return other == c })
}

func (l *Clients) count(change func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.counts)
}

func (l *Clients) hear(message []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Received++
	if len(l.received) < keepMessages {
		l.received = append(l.received, message)
	}
}

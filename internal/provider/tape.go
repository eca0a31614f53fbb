package provider

import (
	"sort"
	"sync"
	"time"
)

// tape is the position of a Replay, shared by its connections. In the time of the recording it is
// at rest + (now - started) × speed while it runs.
type tape struct {
	speed float64 // 0: no clock
	hold  bool
	again bool // without a clock, a connection behind the end begins anew

	mu      sync.Mutex
	playing int // connections that are open and not half-open
	begun   bool
	started time.Time
	rest    time.Duration
	next    int // behind the furthest message that was sent
}

// join returns the index of the message with which a new connection begins.
func (t *tape) join(feed []Message) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.playing++
	first := !t.begun
	t.begun = true
	if first || t.hold && t.playing == 1 {
		t.started = time.Now()
	}
	if t.again && t.next >= len(feed) {
		t.next = 0
	}
	switch {
	case t.hold:
		return t.next
	case first || t.speed == 0:
		return 0
	}
	now := time.Now()
	return sort.Search(len(feed), func(i int) bool { return t.timeOf(feed[i].At).After(now) })
}

// leave is called once for each join.
func (t *tape) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.playing--
	if t.hold && t.playing == 0 {
		t.rest = t.position()
	}
}

// passed notes that all messages before next were sent.
func (t *tape) passed(next int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = max(t.next, next)
}

// furthest returns the index behind the furthest message that was sent.
func (t *tape) furthest() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// due returns when a message is to be sent; the zero time without a clock.
func (t *tape) due(at time.Duration) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.speed == 0 {
		return time.Time{}
	}
	return t.timeOf(at)
}

// timeOf is exact where it matters: a message that was sent when it was due has passed.
func (t *tape) timeOf(at time.Duration) time.Time {
	return t.started.Add(time.Duration(float64(at-t.rest) / t.speed))
}

// now returns the time of the recording up to which everything has passed.
func (t *tape) now(feed []Message) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.speed > 0 && t.begun && !(t.hold && t.playing == 0):
		return t.position()
	case t.speed > 0:
		return t.rest
	case t.next > 0:
		return feed[t.next-1].At
	}
	return 0
}

func (t *tape) position() time.Duration {
	return t.rest + time.Duration(float64(time.Since(t.started))*t.speed)
}

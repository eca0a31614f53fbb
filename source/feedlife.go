package source

import (
	"cmp"
	"context"
	"time"
)

// proves returns up to when something that was read now proves that nothing is missing.
func (l *life) proves(now time.Time) time.Time {
	if !l.bound.IsZero() && l.bound.Before(now) {
		return l.bound
	}
	return now
}

// behind notes that reading is held.
func (l *life) behind(now time.Time) {
	if l.bound.IsZero() {
		l.bound = now
	}
}

// begun notes the first sign of life.
func (l *life) begun(now time.Time) {
	l.spoke = true
	if l.signs.First.IsZero() && !l.closed {
		l.signs.First = now
	}
}

// heard notes that something was read, and returns what it proves. The caller holds mu.
func (f *Feed) heard(now time.Time) time.Time {
	f.life.begun(now)
	if f.settle > 0 && now.Sub(f.freed) > f.settle {
		f.life.bound = time.Time{}
	}
	return f.life.proves(now)
}

// Answered notes the answer to a ping of ours, in its place between the messages: whatever the provider had sent when it received the ping
// has been read. Where reading was held since the ping was sent, the provider may have fallen behind, and what it still has to send
// is older than its answer.
func (f *Feed) Answered(sent time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life.begun(time.Now())
	if !sent.Before(f.freed) && !f.life.closed {
		f.life.answer, f.life.bound = sent, time.Time{}
	}
}

// Alive notes a keep-alive of the provider, in its place between the messages: it has sent nothing else up to now.
func (f *Feed) Alive(arrived time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := f.heard(arrived); !f.life.closed {
		f.life.answer = at
	}
}

// Opening tells that the provider has yet to take us up: nothing counts as a sign of life before Opened. It is called before reading begins.
func (f *Feed) Opening() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life.closed = true
}

// Opened tells that the provider has taken us up. What it sent before counts as of now. Only the first call after Opening counts.
func (f *Feed) Opened() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.life.closed {
		return
	}
	if f.life.closed = false; f.life.spoke {
		f.life.begun(time.Now())
	}
}

// Empty counts a message without content, which is dropped.
func (f *Feed) Empty() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life.signs.Empty++
}

// marks tells whether the provider will say when it has sent all of the past, and whether it tells positions without an event.
func (f *Feed) marks(behind, marked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life.signs.Behind, f.life.signs.Marked = behind, marked
}

// unknown counts a message for which no rule of classify holds.
func (f *Feed) unknown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life.signs.Unknown++
}

// Late counts a message that was acknowledged after its deadline.
func (f *Feed) Late() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life.signs.Late++
}

// Expires tells that the connection is to be replaced while it lives, and why. Only the first call counts.
func (f *Feed) Expires(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.why == "" {
		f.why = cmp.Or(why, "unknown")
		close(f.expiry)
	}
}

// Expire implements Expiring.
func (f *Feed) Expire(ctx context.Context) (why string, err error) {
	select {
	case <-f.expiry:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.why, nil
	case <-f.over:
		return "", f.Ended()
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Signs implements Watched.
func (f *Feed) Signs() Signs {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := &f.life
	if f.idle && len(f.ready) == 0 && f.skip == nil {
		l.signs.Answer = l.answer // whatever was read before it has been handed out, and is done with
	}
	signs := l.signs
	if f.inside.Load() {
		signs.Progress = time.Unix(0, f.read.Load())
	}
	return signs
}

// Inside tells whether a message has begun to arrive and is not whole yet.
func (f *Feed) Inside(inside bool) { f.inside.Store(inside) }

// Received notes when something was last read.
func (f *Feed) Received(at time.Time) { f.read.Store(at.UnixNano()) }

// Moving reports whether something was read since a time, or reading had to wait for the caller of Next.
func (f *Feed) Moving(since time.Time) bool {
	if f.read.Load() > since.UnixNano() {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held || f.freed.After(since)
}

package local

import (
	"sync"
	"time"
)

// clockTrust is how long the clock must have run evenly before retention by time trusts it.
const clockTrust = time.Hour

// clock is the engine's view of the time of day. It tells arrival times, which a jump must not turn
// into lost records: retention by time stands still until the clock has been even for an hour.
type clock struct {
	wall func() time.Time
	mono func() time.Time // the same in production; Sub uses its monotonic part

	mu     sync.Mutex
	last   time.Time // wall time of the last look, without monotonic part
	lastMo time.Time // the monotonic time of it
	uneven time.Time // monotonic time of the last jump; zero: none
}

// newClock returns a clock that has last been seen at the given time, if that is not zero.
func newClock(wall func() time.Time, lastSeen time.Time) *clock {
	c := &clock{wall: time.Now, mono: time.Now}
	if wall != nil {
		c.wall = wall
	}
	now := c.wall().Round(0)
	c.last, c.lastMo = now, c.mono()
	if away := now.Sub(lastSeen).Abs(); !lastSeen.IsZero() && away > clockTrust {
		c.uneven = c.lastMo
	}
	return c
}

func (c *clock) now() time.Time {
	now, mono := c.wall().Round(0), c.mono()
	c.mu.Lock()
	defer c.mu.Unlock()
	if jump := now.Sub(c.last) - mono.Sub(c.lastMo); jump.Abs() > time.Minute {
		c.uneven = mono
	}
	c.last, c.lastMo = now, mono
	return now
}

// even reports whether the clock has run evenly for long enough that removing by time is safe.
func (c *clock) even() bool {
	c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uneven.IsZero() || c.lastMo.Sub(c.uneven) > clockTrust
}

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

	mu      sync.Mutex
	last    time.Time // wall time of the last look, without monotonic part
	lastMo  time.Time // the monotonic time of it
	uneven  time.Time // monotonic time of the last jump; zero: none
	trusted time.Time // wall time of the last look at which the clock was trusted
}

// newClock returns a clock that was last trusted at the given time, if that is not zero. Every commit stores it: a wrong clock is
// not believed the sooner for a restart.
func newClock(test testOptions, trusted time.Time) *clock {
	c := &clock{wall: time.Now, mono: time.Now}
	if test.now != nil {
		c.wall = test.now
	}
	if test.mono != nil {
		c.mono = test.mono
	}
	c.last, c.lastMo = c.wall().Round(0), c.mono()
	c.trusted = c.last
	if away := c.last.Sub(trusted).Abs(); !trusted.IsZero() && away > clockTrust {
		c.uneven, c.trusted = c.lastMo, trusted
	}
	return c
}

func (c *clock) now() time.Time {
	now, _ := c.look()
	return now
}

// look returns the time, and the time at which the clock was last trusted: the same, as long as it is.
func (c *clock) look() (now, trusted time.Time) {
	now = c.wall().Round(0)
	mono := c.mono()
	c.mu.Lock()
	defer c.mu.Unlock()
	if jump := now.Sub(c.last) - mono.Sub(c.lastMo); jump.Abs() > time.Minute {
		c.uneven = mono
	}
	c.last, c.lastMo = now, mono
	if c.uneven.IsZero() || mono.Sub(c.uneven) > clockTrust {
		c.trusted = now
	}
	return now, c.trusted
}

// even reports whether the clock has run evenly for long enough that removing by time is safe.
func (c *clock) even() bool {
	now, trusted := c.look()
	return now.Equal(trusted)
}

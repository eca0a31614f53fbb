package source

import (
	"math/rand/v2"
	"time"
)

const (
	firstBackoff   = 250 * time.Millisecond // bound of the first random pause; it doubles
	freeRetryEvery = 10 * time.Second       // so often the first retry is immediate
	steadyData     = 10 * time.Second       // a connection that brought data for so long,
	steadyLife     = time.Minute            // or brought any and lived for so long, makes the failures before it forgotten
	refusedFloor   = time.Minute            // least pause after the provider turned us away
	longestAsked   = time.Hour              // longest pause that a provider may ask for
	budgetAttempts = 8                      // attempts of a source in budgetWindow, or as many as it has connections, whatever the dice say
	budgetWindow   = 15 * time.Second
)

// backoff decides how long to wait before the next attempt: exponential with full jitter, that is, a random time between
// nothing and a bound that doubles. One goroutine owns it.
type backoff struct {
	limit    time.Duration
	failures int
	free     time.Time // of the last immediate retry
}

// failed returns how long to wait after a failure of which this follows.
func (b *backoff) failed(now time.Time, o outcome) time.Duration {
	pause := time.Duration(0)
	if b.failures > 0 || now.Sub(b.free) < freeRetryEvery {
		pause = rand.N(min(b.limit, firstBackoff<<min(b.failures, 20)))
	} else {
		b.free = now
	}
	b.failures++
	if o.is == endRefused {
		pause = max(pause, refusedFloor)
	}
	return max(pause, o.pause)
}

// forget is called when a connection has proved itself.
func (b *backoff) forget() { b.failures = 0 }

// budget bounds the attempts of all connections of a source together. The Manager's mutex guards it.
type budget struct {
	attempts []time.Time // the last ones, as a ring
	next     int
}

func newBudget(connections int) budget {
	return budget{attempts: make([]time.Time, max(budgetAttempts, connections))}
}

// take grants the next attempt and returns how long to wait before it.
func (b *budget) take(now time.Time) time.Duration {
	at := now
	if oldest := b.attempts[b.next]; !oldest.IsZero() && oldest.Add(budgetWindow).After(now) {
		at = oldest.Add(budgetWindow)
	}
	b.attempts[b.next] = at
	b.next = (b.next + 1) % len(b.attempts)
	return at.Sub(now)
}

package source

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstBackoff   = 250 * time.Millisecond // bound of the first random pause; it doubles
	freeRetryEvery = 10 * time.Second       // so often the first retry is immediate
	steadyData     = 10 * time.Second       // so long a connection must have brought data for the failures before it to be forgotten
	refusedFloor   = time.Minute            // least pause after the provider turned us away
	longestAsked   = time.Hour              // longest pause that a provider may ask for
	budgetAttempts = 8                      // attempts of one slot in budgetWindow, whatever the dice say
	budgetWindow   = 15 * time.Second
)

// backoff decides how long to wait before the next attempt: exponential with full jitter, that is, a random time between
// nothing and a bound that doubles. One goroutine owns it.
type backoff struct {
	limit    time.Duration
	failures int
	free     time.Time                 // of the last immediate retry
	attempts [budgetAttempts]time.Time // the last ones, as a ring
	next     int
}

// attempt tells that an attempt begins.
func (b *backoff) attempt(now time.Time) {
	b.attempts[b.next%budgetAttempts] = now
	b.next++
}

// failed returns how long to wait after a failure.
func (b *backoff) failed(now time.Time, cause error) time.Duration {
	pause := time.Duration(0)
	if b.failures > 0 || now.Sub(b.free) < freeRetryEvery {
		pause = rand.N(min(b.limit, firstBackoff<<min(b.failures, 20)))
	} else {
		b.free = now
	}
	b.failures++
	var end *EndError
	if errors.As(cause, &end) {
		if end.Refused() {
			pause = max(pause, refusedFloor)
		}
		pause = max(pause, min(end.RetryAfter, longestAsked))
	}
	if oldest := b.attempts[b.next%budgetAttempts]; !oldest.IsZero() {
		pause = max(pause, oldest.Add(budgetWindow).Sub(now))
	}
	return pause
}

// forget is called when a connection has proved itself.
func (b *backoff) forget() { b.failures = 0 }

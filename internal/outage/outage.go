// Package outage says when a time in which something fails again and again is to be told of: seldom, so that it floods no log.
package outage

import "time"

// Rhythm is how long nothing is said after a word: First after the first one, twice as long after each that follows, and Longest at most.
type Rhythm struct{ First, Longest time.Duration }

// Outage is a time in which something fails, and when it was told of: at its beginning, then now and then, and at its end. One that begins
// before the silence after the last word is over is told of only if it lasts: what comes and goes does not fill the log. Its zero value has not begun. It
// is used by one goroutine at a time.
type Outage struct {
	Since    time.Time // zero: there is none
	Failures int       // in it, or in the last one

	told   bool
	unsaid int           // failures since the last word
	next   time.Time     // nothing is said before
	pause  time.Duration // the silence up to then
}

// Fail counts a failure, and reports whether it is to be told, and how many were not since the last one that was.
func (o *Outage) Fail(now time.Time, r Rhythm) (unsaid int, tell bool) {
	if o.Since.IsZero() {
		o.Since, o.Failures, o.told = now, 0, false
		if now.Sub(o.next) > o.following(r) {
			o.pause = 0 // the last one is long over
		}
	}
	o.Failures++
	if now.Before(o.next) {
		o.unsaid++
		return 0, false
	}
	o.pause = o.following(r)
	unsaid, o.unsaid, o.next, o.told = o.unsaid, 0, now.Add(o.pause), true
	return unsaid, true
}

func (o *Outage) following(r Rhythm) time.Duration { return min(max(r.First, 2*o.pause), r.Longest) }

// End ends the outage, if there is one, and reports how long it was and whether that is to be told.
func (o *Outage) End(now time.Time) (lasted time.Duration, tell bool) {
	if o.Since.IsZero() {
		return 0, false
	}
	lasted = now.Sub(o.Since)
	o.Since = time.Time{}
	return lasted, o.told
}

package kinesis

import (
	"cmp"
	"time"
)

// outage is a time in which nothing goes, and when it was told of: at its beginning, then after a minute, two, four and so on up to an hour, and at its end.
// One that follows within that time of the last word is told of only if it lasts: a service that comes and goes does not fill the log.
type outage struct {
	since time.Time // zero: there is none
	fails int       // attempts that failed in it
	told  bool
	next  time.Time // nothing is said before
	pause time.Duration
}

const (
	shortSilence = time.Minute
	longSilence  = time.Hour
)

// fail counts a failure, and reports whether it is to be told.
func (o *outage) fail(now time.Time) bool {
	if o.since.IsZero() {
		o.since, o.fails, o.told = now, 0, false
		if now.Sub(o.next) > o.pause {
			o.pause = 0 // the last one is long over
		}
	}
	o.fails++
	if now.Before(o.next) {
		return false
	}
	o.pause = min(max(shortSilence, 2*o.pause), longSilence)
	o.next, o.told = now.Add(o.pause), true
	return true
}

// end ends it, and reports whether that is to be told.
func (o *outage) end() bool {
	told := !o.since.IsZero() && o.told
	o.since = time.Time{}
	return told
}

// refused deals with a request that has failed as a whole. The caller holds mu.
func (f *forwarder) refused(b *flight, err *requestError, now time.Time) {
	f.counters.error(cmp.Or(err.code, err.class.String()))
	for i := len(b.entries) - 1; i >= 0; i-- {
		e := &b.entries[i]
		f.counters.Retries += int64(len(e.items))
		if err.class == lost {
			f.counters.Unknown += int64(len(e.items))
		}
		if err.class == unreadable && f.halve(b, e, err) {
			continue
		}
		f.again(e.items)
	}
	reason := err.Error()
	if err.class == unreadable {
		if f.row < mostRefused {
			return // a half is sent next, with no wait
		}
		f.acquit()
		reason = "every record is refused for itself, so that none is given up: " + reason
	}
	f.failing(reason, now)
	if b.begun.Before(f.failed) && f.fails > 0 {
		return // it began before the failure that is known already
	}
	f.failed = now
	f.fails++
	f.until = now.Add(f.pause(err.class))
}

// failing tells that nothing goes, and why. The caller holds mu.
func (f *forwarder) failing(reason string, now time.Time) {
	f.reason, f.limit = reason, 1
	if !f.outage.fail(now) {
		return
	}
	if f.outage.fails == 1 {
		f.log.Warn("Kinesis does not take records; they wait, and are sent again", "stream", f.name, "error", reason)
		return
	}
	f.log.Warn("Kinesis still does not take records", "stream", f.name, "for", lasted(f.outage.since, now), "failures", f.outage.fails,
		"waiting", f.backlog.all().records, "error", reason)
}

// recovered tells that Kinesis takes records. The caller holds mu.
func (f *forwarder) recovered(now time.Time) {
	f.reason, f.renewed = "", false
	since := f.outage.since
	if f.outage.end() {
		f.log.Info("Kinesis takes records again", "stream", f.name, "after", lasted(since, now), "failures", f.outage.fails,
			"waiting", f.backlog.all().records)
	}
}

func lasted(since, now time.Time) time.Duration { return now.Sub(since).Round(time.Millisecond) }

// pause is how long nothing is sent after a failure.
func (f *forwarder) pause(c class) time.Duration {
	switch {
	case c == unsigned && !f.renewed:
		f.renewed = true
		f.e.wire.renew()
		return 0
	case c == unsigned || c == refused || c == unreadable:
		d := min(time.Minute, 2*time.Second<<min(f.fails-1, 10))
		return d/2 + jitter(d/2, 1, d/2)
	case c == throttled:
		return jitter(100*time.Millisecond, f.fails, 10*time.Second)
	}
	return jitter(250*time.Millisecond, f.fails, 30*time.Second)
}

// mostRefused is how many records may be refused one by one, and none taken between them, until that says more about the service than about
// the records.
const mostRefused = 100

// halve sees to it that a record of a request that Kinesis cannot read is found: each half is sent for itself. A single record
// becomes a suspect, and halve reports true.
func (f *forwarder) halve(b *flight, e *entry, err *requestError) bool {
	if len(b.entries) == 1 && len(e.items) == 1 {
		f.suspects = append(f.suspects, letter{e.items[0], err.Error()})
		f.row++
		return true
	}
	for _, it := range e.items {
		it.most = max(1, len(b.entries)/2)
		it.alone = it.alone || len(b.entries) == 1
	}
	return false
}

// cleared tells that Kinesis takes a record, or that there is none beside the suspects: they are what is wrong. The caller holds mu.
func (f *forwarder) cleared() {
	if len(f.suspects) > 0 {
		f.letters = append(f.letters, f.suspects...)
		f.suspects = nil
		signal(f.moved)
	}
}

// acquit makes the suspects ready again, behind all others, so that the next attempt is made with another record. The caller holds mu.
func (f *forwarder) acquit() {
	for _, l := range f.suspects {
		l.item.flying = false
		f.lane(l.item).push(l.item)
	}
	f.suspects = nil
}

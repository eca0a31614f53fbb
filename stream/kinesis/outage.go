package kinesis

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/outage"
)

// rhythm is how often the log says that a stream in Kinesis takes nothing.
var rhythm = outage.Rhythm{First: time.Minute, Longest: time.Hour}

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
	if _, tell := f.outage.Fail(now, rhythm); !tell {
		return
	}
	if f.outage.Failures == 1 {
		f.log.Warn("Kinesis does not take records; they wait, and are sent again", "stream", f.name, "error", reason)
		return
	}
	f.log.Warn("Kinesis still does not take records", "stream", f.name, "for", rounded(now.Sub(f.outage.Since)), "failures", f.outage.Failures,
		"waiting", f.backlog.all().records, "error", reason)
}

// recovered tells that Kinesis takes records. The caller holds mu.
func (f *forwarder) recovered(now time.Time) {
	f.reason, f.renewed, f.vain = "", false, 0
	if lasted, tell := f.outage.End(now); tell {
		f.log.Info("Kinesis takes records again", "stream", f.name, "after", rounded(lasted), "failures", f.outage.Failures,
			"waiting", f.backlog.all().records)
	}
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

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

// inVain deals with an answer that tells of each record, and that none was taken: o is of one of them. A single one says nothing, a row of them
// is an outage. What has too much is no outage. The caller holds mu.
func (f *forwarder) inVain(o *outcome, now time.Time) {
	if classify(string(o.code), 0) == throttled {
		f.vain = 0
		return
	}
	if f.vain++; f.vain >= mostInVain {
		f.failing(fmt.Sprintf("%s: %s", o.code, o.message), now)
	}
}

// mostInVain is how many answers in a row may take nothing until that is told.
const mostInVain = 10

// mostRefused is how many records may be refused one by one, and none taken between them, until that says more about the service than about
// the records. From then on one record is sent now and then, the newest that may go: one that Kinesis takes ends it, whatever
// lies before it.
const mostRefused = 100

// halve sees to it that a record of a request that Kinesis cannot read is found: each half is sent for itself. A single record
// becomes a suspect, and halve reports true, unless there are too many already.
func (f *forwarder) halve(b *flight, e *entry, err *requestError) bool {
	if len(b.entries) == 1 && len(e.items) == 1 {
		if f.row >= mostRefused {
			return false
		}
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

// taken tells that Kinesis takes a record: the suspects are what is wrong, or the service was. The caller holds mu.
func (f *forwarder) taken() {
	if f.row < mostRefused {
		f.condemn()
	} else {
		f.acquit()
	}
	f.row = 0
}

// condemn gives the suspects up. The caller holds mu.
func (f *forwarder) condemn() {
	if len(f.suspects) > 0 {
		f.letters = append(f.letters, f.suspects...)
		f.suspects = nil
		signal(f.moved)
	}
}

// acquit makes the suspects ready again, behind all others: so many are refused that it may have been the service. Those that it happened to twice, with
// a record taken in between, are given up. The caller holds mu.
func (f *forwarder) acquit() {
	again := f.suspects
	f.suspects = nil
	for _, l := range again {
		if l.item.doubted {
			f.letters = append(f.letters, l)
			continue
		}
		l.item.doubted = true
		l.item.flying = false
		f.lane(l.item).push(l.item)
	}
	signal(f.moved)
}

// reconsider makes the suspects ready again where nothing else is to be tried. The caller holds mu.
func (f *forwarder) reconsider() {
	for _, l := range f.suspects {
		l.item.flying = false
		f.lane(l.item).push(l.item)
	}
	f.suspects = nil
}

// newest brings the newest record that may go to the front of its lane, alone. The caller holds mu.
func (f *forwarder) newest(now time.Time) {
	var at *lane
	for _, l := range f.lanes {
		if l.len() > 0 && !now.Before(l.pace.until) && (at == nil || l.last().record.Sequence.Compare(at.last().record.Sequence) > 0) {
			at = l
		}
	}
	if at == nil {
		return
	}
	it := at.popBack()
	it.most, it.alone = 1, true
	at.pushFront(it)
	f.turn = slices.Index(f.lanes, at) + len(f.lanes) - 1 // gather begins with the next one
}

package source

import (
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

// doubt is something about the events of a provider that ends nothing and loses nothing, and that somebody should know all the same.
type doubt int

const (
	doubtText   doubt = iota // not UTF-8
	doubtJSON                // nothing can be read out of it
	doubtID                  // no event_id
	doubtKey                 // no partition_key
	doubtCursor              // no cursor
	doubtTime                // no event_time
	doubtFuture              // an event_time that is still to come
	doubtRepeat              // the same event_id again and again
	doubtBack                // a cursor before the last one
	doubtCount
)

var doubtTexts = [doubtCount]string{
	doubtText:   "events are not UTF-8; they are stored as they are",
	doubtJSON:   "events are no JSON: nothing that the settings name can be read out of them",
	doubtID:     "events have no event_id: one that comes again is stored again",
	doubtKey:    "events have no partition_key: they get the name of the source",
	doubtCursor: "events have no cursor: no connection resumes from them",
	doubtTime:   "events have no event_time that is a time",
	doubtFuture: "events have an event_time that is more than a day ahead of the clock",
	doubtRepeat: "most events have an event_id that has come before on the same connection, and are dropped: is it unique?",
	doubtBack:   "the cursor goes back: a connection may resume from too early; where events come in no order, cursor_kind: max resumes from the greatest",
}

const (
	doubtEvery = time.Hour      // so often each doubt is told, with what has come meanwhile
	doubtAhead = 24 * time.Hour // how far ahead the clock of a provider may be
	repeatedIn = time.Minute    // in so long
	repeats    = 1000           // so many repeated events, and more than others, make a doubt
)

// doubts counts what is odd, and tells it at most once in doubtEvery for each kind. The Manager's mutex guards it.
type doubts struct {
	counts [doubtCount]int64
	told   [doubtCount]time.Time

	since         time.Time // when the counting of repeats began
	fresh, repeat int64     // events since then
}

// quiet reports whether a doubt was told not long ago, so that it needs to be counted only.
func (d *doubts) quiet(kind doubt, now time.Time) bool {
	return !d.told[kind].IsZero() && now.Sub(d.told[kind]) < doubtEvery
}

// add counts events that are odd, and tells it if it is time to.
func (d *doubts) add(log *slog.Logger, kind doubt, n int64, now time.Time) {
	if d.counts[kind] += n; n == 0 || d.quiet(kind, now) {
		return
	}
	d.told[kind] = now
	log.Warn(doubtTexts[kind], "events", d.counts[kind], "told_again_in", doubtEvery)
	d.counts[kind] = 0
}

// repeated takes how many of the events of the only connection were dropped as known, once it has brought others: before that it goes
// back to what was sent on another connection.
func (d *doubts) repeated(log *slog.Logger, all, known int64, now time.Time) {
	if now.Sub(d.since) > repeatedIn {
		d.since, d.fresh, d.repeat = now, 0, 0
	}
	d.fresh += all - known
	if d.repeat += known; d.repeat >= repeats && d.repeat > d.fresh {
		d.add(log, doubtRepeat, d.repeat, now)
		d.repeat = 0
	}
}

// oddities are what is odd about the events of one delivery.
type oddities [doubtCount]int64

// look looks at an event that the mapping was applied to.
func (o *oddities) look(e *leat.Event, m *mapping, now time.Time) {
	if !utf8.Valid(e.Data) {
		o[doubtText]++
	}
	s := m.settings
	var kind doubt
	switch {
	case e.ID == "" && !s.EventID.IsZero():
		kind = doubtID
	case e.Cursor == "" && !s.Cursor.IsZero():
		kind = doubtCursor
	case e.Time.IsZero() && !s.EventTime.IsZero():
		kind = doubtTime
	case e.PartitionKey == m.name && !s.PartitionKey.IsZero():
		kind = doubtKey
	case !e.Time.IsZero() && e.Time.Sub(now) > doubtAhead:
		o[doubtFuture]++
		return
	default:
		return
	}
	if o[doubtJSON] > 0 || o[kind] == 0 && !expression.Valid(e.Data) {
		kind = doubtJSON // of a delivery only the first one is looked at: that takes time
	}
	o[kind]++
}

// tell takes what is odd about a delivery into account.
func (d *doubts) tell(log *slog.Logger, o *oddities, now time.Time) {
	for kind, n := range o {
		d.add(log, doubt(kind), n, now)
	}
}

// goesBack reports whether a cursor that is a number or a time lies before another one.
func goesBack(from, to leat.Cursor) bool {
	if from == "" || to == "" || from == to || strings.ContainsFunc(string(from[:1]+to[:1]), func(r rune) bool { return r < '0' || r > '9' }) {
		return false
	}
	n, ok := wholeNumber(string(from))
	if o, both := wholeNumber(string(to)); ok || both {
		return ok && both && o.Cmp(n) < 0
	}
	s, err := time.Parse(time.RFC3339Nano, string(from))
	t, err2 := time.Parse(time.RFC3339Nano, string(to))
	return err == nil && err2 == nil && t.Before(s)
}

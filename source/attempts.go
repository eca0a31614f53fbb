package source

import (
	"context"
	"time"

	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// Attempts bounds how often a source connects. The attempts are stored before they are made, so that a restart does not forget them.
type Attempts struct {
	// At most so many attempts to connect, of all connections of the source together. Default: without limit.
	Count int `yaml:"count" min:"1" max:"1000000"`

	// Within any time of this length.
	Per time.Duration `yaml:"per" default:"5m" min:"1s" max:"7d"`
}

// Tried are the attempts of a short time.
type Tried struct {
	At    int64 `json:"at"` // when the time begins, in milliseconds since 1970
	Count int   `json:"n"`
}

// triedParts is into how many times Attempts.Per is divided. An attempt counts until the end of its time has passed by Per: some wait a
// little longer than they had to, and none too little.
const triedParts = 32

// ledger keeps the attempts of a source. The Manager's mutex guards it.
type ledger struct {
	limit Attempts
	tried []Tried // rising; the last ones may lie ahead
}

func (l *ledger) part() int64 { return max(1, l.limit.Per.Milliseconds()/triedParts) }

// take books the next attempt, and returns when it may be made.
func (l *ledger) take(now time.Time) time.Time {
	at := now
	if n := len(l.tried); n > 0 { // whoever comes later goes later
		if ahead := time.UnixMilli(l.tried[n-1].At); ahead.After(at) {
			at = ahead
		}
	}
	for {
		first, sum := l.within(at)
		if sum < l.limit.Count {
			break
		}
		at = time.UnixMilli(l.tried[first].At + l.part() + l.limit.Per.Milliseconds())
	}
	if first, _ := l.within(now); first > 0 {
		l.tried = append([]Tried(nil), l.tried[first:]...)
	}
	part := at.UnixMilli() - at.UnixMilli()%l.part()
	if n := len(l.tried); n > 0 && l.tried[n-1].At >= part {
		l.tried[n-1].Count++
	} else {
		l.tried = append(l.tried, Tried{part, 1})
	}
	return at
}

// within returns the first of those that count at a time, and how many attempts they are.
func (l *ledger) within(at time.Time) (first, sum int) {
	oldest := at.UnixMilli() - l.limit.Per.Milliseconds() - l.part()
	for i := range l.tried {
		if l.tried[i].At <= oldest {
			first = i + 1
		} else {
			sum += l.tried[i].Count
		}
	}
	return first, sum
}

// bounded waits until the settings allow the next attempt, or ctx ends.
func (m *Manager) bounded(ctx context.Context, n int) error {
	if m.Settings.Attempts.Count <= 0 {
		return nil
	}
	at, err := m.book(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.fail(err)
		}
		return err
	}
	d := time.Until(at)
	if d > 0 {
		m.mu.Lock()
		m.status.slot(n, Waiting, time.Now())
		m.status.Slots[n].Until = at
		m.mu.Unlock()
		m.log.Warn("the attempts to connect are used up", "connection", n, "count", m.Settings.Attempts.Count, "per", m.Settings.Attempts.Per, "next_attempt_in", d.Round(time.Millisecond))
	}
	return wait.For(ctx, d)
}

// book stores an attempt that the settings bound, and returns when it may be made.
func (m *Manager) book(ctx context.Context) (time.Time, error) {
	m.mu.Lock()
	at := m.ledger.take(time.Now())
	m.mu.Unlock()
	return at, m.Producer.Put(ctx, m.counted(Delivery{Move: func(mark *Mark, _ bool) []stream.Put {
		m.mu.Lock()
		defer m.mu.Unlock()
		mark.Attempts = append([]Tried(nil), m.ledger.tried...)
		return nil
	}}, sights{}))
}

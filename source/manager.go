package source

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// Manager keeps the connections of one source. It opens as many as the settings say, resumes each from the stored cursor, replaces
// them before they grow too old, notices those that have fallen silent, and waits between attempts. What they bring it hands to
// the Producer, together with the cursor and with a record of every gap.
type Manager struct {
	Name     string
	Source   Source
	Settings Settings
	Producer Producer

	// Gaps is the stream for gap records; empty: they are only logged and counted.
	Gaps string

	// Grace is how long the end of Run may take to finish what is in hand. 0: 20 s.
	Grace time.Duration

	// Log takes what an operator should know; nil is slog.Default.
	Log *slog.Logger

	log     *slog.Logger
	mapping mapping

	mu       sync.Mutex
	cover    coverage
	cursor   leat.Cursor // the last durable one: where the next connection resumes
	sessions []*session  // live ones, the oldest first; the first one's cursor is the source's
	lastEnd  string      // why the last connection ended
	status   Status
}

// An old connection is kept beside its successor for rotationOverlap, and up to longestOverlap if it gives no sign of life.
const (
	rotationOverlap = 5 * time.Second
	longestOverlap  = 45 * time.Second
	overlapStep     = 250 * time.Millisecond
)

// pulseEvery is how often the time that is covered is stored while no events are.
const pulseEvery = 10 * time.Second

// Run keeps the connections until ctx ends; then it closes them, stores what they had delivered, and returns nil. It returns an error
// where the producer cannot go on.
func (m *Manager) Run(ctx context.Context) error {
	setting.Default(&m.Settings)
	m.log = cmp.Or(m.Log, slog.Default()).With("source", m.Name)
	m.mapping = mapping{m.Name, &m.Settings}
	mark, err := m.Producer.Begin(ctx)
	if err != nil {
		return err
	}
	m.begin(mark)
	late, cancel := wait.Grace(ctx, cmp.Or(m.Grace, 20*time.Second))
	defer cancel()
	group, running := errgroup.WithContext(ctx)
	for n := range m.Settings.Connections {
		s := &slot{m: m, n: n, backoff: backoff{limit: m.Settings.MaxBackoff}}
		group.Go(func() error { return s.run(running, late) })
	}
	group.Go(func() error { return m.pulse(running, late) })
	if err := group.Wait(); err != nil {
		return err
	}
	return m.store(late)
}

func (m *Manager) begin(mark Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor, m.cover = mark.Cursor, coverage{frontier: mark.Covered}
	m.lastEnd = "leat was not running"
	m.status = Status{Name: m.Name, State: Connecting, Ends: map[End]int64{}, Slots: make([]SlotStatus, m.Settings.Connections)}
}

// pulse stores now and then how far the source is covered, so that a restart knows from when on it missed something.
func (m *Manager) pulse(ctx, late context.Context) error {
	for {
		if wait.For(ctx, pulseEvery) != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		if err := m.store(late); err != nil {
			return err
		}
	}
}

// store stores the coverage as it is now.
func (m *Manager) store(ctx context.Context) error {
	m.mu.Lock()
	for _, s := range m.sessions {
		s.observe()
	}
	d := Delivery{}
	before := m.cover.frontier
	m.settle(&d)
	moved := m.cover.frontier.After(before)
	m.mu.Unlock()
	if !moved {
		return nil
	}
	return m.Producer.Put(ctx, d)
}

// settle adds to d what is newly known of the coverage. The caller holds mu.
func (m *Manager) settle(d *Delivery) {
	for _, gap := range m.cover.settle() {
		g := Gap{Source: m.Name, From: gap.from, To: gap.to, How: "no_connection", Reason: m.lastEnd}
		m.gap(d, g)
	}
	if covered := m.cover.frontier; !covered.IsZero() {
		move := d.Move
		d.Move = func(mark *Mark) {
			if covered.After(mark.Covered) {
				mark.Covered = covered
			}
			if move != nil {
				move(mark)
			}
		}
	}
}

// gap writes a gap down. The caller holds mu.
func (m *Manager) gap(d *Delivery, g Gap) {
	m.status.Gaps++
	m.status.GapTime += g.To.Sub(g.From)
	m.log.Warn("gap: the provider did not deliver this", "from", g.From, "to", g.To, "how", g.How, "reason", g.Reason)
	if m.Gaps != "" {
		d.Beside = append(d.Beside, stream.Put{Stream: m.Gaps, Source: m.Name, Events: []leat.Event{g.record()}})
	}
}

// deliver stores what a connection has brought.
func (m *Manager) deliver(ctx context.Context, s *session, events []leat.Event) error {
	var cursor leat.Cursor
	for i := range events {
		m.mapping.apply(&events[i])
		cursor = cmp.Or(events[i].Cursor, cursor)
	}
	d := Delivery{Events: events}
	m.mu.Lock()
	s.data(time.Now(), int64(len(events)))
	leads := len(m.sessions) > 0 && m.sessions[0] == s && cursor != ""
	if leads {
		d.Move = func(mark *Mark) { mark.Cursor = cursor }
	}
	m.settle(&d)
	m.mu.Unlock()
	if err := m.Producer.Put(ctx, d); err != nil {
		return err
	}
	if leads {
		m.mu.Lock()
		m.cursor = leat.Cursor(string([]byte(cursor))) // not the buffer it came in
		m.mu.Unlock()
	}
	return nil
}

// handedOver reports whether the old connection was alive after the new one had been taken up; it then covers up to now.
func (m *Manager) handedOver(old, next *session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	next.observe()
	sign := old.last
	if a, ok := old.conn.(Alive); ok && a.Alive().After(sign) {
		sign = a.Alive()
	}
	if next.span.start.IsZero() || !sign.After(next.span.start) {
		return false
	}
	old.span.life(sign)
	return true
}

// skipped writes down a message that was left out.
func (m *Manager) skipped(ctx context.Context, s *session, skip *SkipError) error {
	now := time.Now()
	d := Delivery{}
	m.mu.Lock()
	s.data(now, 0)
	m.status.Skipped++
	m.gap(&d, Gap{Source: m.Name, From: now, To: now, How: skip.Reason, Reason: skip.Error(), Lost: 1})
	m.settle(&d)
	m.mu.Unlock()
	return m.Producer.Put(ctx, d)
}

package source

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
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

	// Dial opens the network connections of back-fills; nil is the network of this machine.
	Dial Dialer

	// Grace is how long the end of Run may take to finish what is in hand. 0: 20 s.
	Grace time.Duration

	// Log takes what an operator should know; nil is slog.Default.
	Log *slog.Logger

	log     *slog.Logger
	mapping mapping

	// mu may be taken under the Producer's lock, in Delivery.Move; so nothing of the Producer is called under it.
	mu       sync.Mutex
	cover    coverage
	counts   *tracker    // nil: there is no gap rule
	repairs  *repairs    // nil: nothing is asked for afterwards
	unsure   []Gap       // the last ones in time that the numbers may still show to be none
	at       position    // the last durable one: where the next connection resumes
	sessions []*session  // those that are not over, the oldest first; the first one's position is the source's
	begun    int64       // sessions
	brought  int64       // events, each counted once
	lost     leat.Cursor // the one that the provider no longer has
	stuckAt  leat.Cursor // the same, where it has been told that nothing is done about it
	ledger   ledger
	budget   budget
	oversize []oversize // the last messages that were left out
	empty    bool       // that there are messages without content has been told
	strange  bool       // the same of messages of an unknown kind
	late     time.Time  // when late acknowledgements were last told
	doubts   doubts
	skips    map[string]skipLine // by reason, of which there are few
	status   Status
	failure  error // of the Producer
	stop     context.CancelFunc
}

// An old connection is kept beside its successor for rotationOverlap, and up to longestOverlap if it gives no sign of life.
const (
	rotationOverlap = 5 * time.Second
	longestOverlap  = 45 * time.Second
	overlapStep     = 250 * time.Millisecond
)

// lateEvery bounds how often late acknowledgements are told.
const lateEvery = time.Minute

// pulseEvery is how often the time that is covered is stored while no events are.
const pulseEvery = 10 * time.Second

// Run keeps the connections until ctx ends; then it closes them, stores what they had delivered, and returns nil. It returns an error
// where the producer cannot go on.
func (m *Manager) Run(ctx context.Context) error {
	setting.Default(&m.Settings)
	if m.Settings.GapRule != nil {
		setting.Default(m.Settings.GapRule)
	}
	m.setTiers()
	m.log = cmp.Or(m.Log, slog.Default()).With("source", m.Name)
	m.mapping = mapping{m.Name, &m.Settings}
	mark, err := m.Producer.Begin(ctx)
	if err != nil {
		return err
	}
	late, cancel := wait.Grace(ctx, cmp.Or(m.Grace, 20*time.Second))
	defer cancel()
	running, stop := context.WithCancel(withLog(ctx, m.log))
	defer stop()
	if err := m.begin(mark, stop); err != nil {
		return err
	}
	if m.counts != nil && m.Settings.GapRule.Form == formCounter {
		running = withCounting(running)
	}
	var workers sync.WaitGroup
	for n := range m.Settings.Connections {
		s := &slot{m: m, n: n, backoff: backoff{limit: m.Settings.MaxBackoff}}
		workers.Go(func() { s.run(running, late) })
	}
	workers.Go(func() { m.pulse(running, late) })
	if m.Settings.LeastRate.Events > 0 {
		workers.Go(func() { m.watchRate(running) })
	}
	if m.repairs != nil {
		w := &repairing{m: m, clients: map[int]*Client{}}
		workers.Go(func() { w.run(running, late) })
	}
	workers.Wait()
	m.mu.Lock()
	failure := m.failure
	m.mu.Unlock()
	if failure != nil {
		return failure
	}
	return m.store(late)
}

func (m *Manager) begin(mark Mark, stop context.CancelFunc) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop = stop
	m.budget = newBudget(m.Settings.Connections)
	m.ledger = ledger{m.Settings.Attempts, mark.Attempts}
	m.at = positionOf(&leat.Event{Cursor: mark.Cursor, Time: mark.Time})
	m.cover = coverage{frontier: mark.Covered, reason: "leat was not running"}
	m.status = Status{Name: m.Name, State: Connecting, Ends: map[End]int64{}, GapsBy: map[string]GapCount{}, Slots: make([]SlotStatus, m.Settings.Connections)}
	r := &repairs{tiers: m.Settings.Backfill, wake: make(chan struct{}, 1)}
	if err := r.restore(m.Name, mark.State, time.Now()); err != nil {
		return err
	}
	if len(r.tiers) > 0 || r.changed {
		m.repairs = r
	}
	if m.Settings.GapRule == nil {
		return nil
	}
	m.counts = newTracker(m.Settings.GapRule)
	return m.counts.restore(m.Name, mark.State, time.Now())
}

// fail ends Run with an error of the Producer: what came after it would not be stored either.
func (m *Manager) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil {
		m.failure = err
	}
	m.stop()
}

// pulse stores now and then how far the source is covered, so that a restart knows from when on it missed something. What the gap rule
// waits for is told sooner.
func (m *Manager) pulse(ctx, late context.Context) {
	every := pulseEvery
	if m.counts != nil {
		every = min(pulseEvery, max(time.Second, m.Settings.GapRule.Reorder.Time))
	}
	beat := time.NewTicker(every)
	defer beat.Stop()
	for last := time.Now(); ; {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		if time.Since(last) < pulseEvery && !m.overdue() {
			continue
		}
		last = time.Now()
		if err := m.store(late); err != nil {
			m.fail(err)
		}
	}
}

// overdue reports whether the gap rule has waited long enough for something.
func (m *Manager) overdue() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts != nil && m.counts.due(time.Now())
}

type logKey struct{}

// withLog returns a context under which connections tell an operator what they know.
func withLog(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, logKey{}, log)
}

// logOf returns the log of a context, which names the source; slog.Default if there is none.
func logOf(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(logKey{}).(*slog.Logger); ok {
		return log
	}
	return slog.Default()
}

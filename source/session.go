package source

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat/internal/setting"
)

// session is one live connection of a slot.
type session struct {
	m    *Manager
	slot int
	conn Conn
	done chan struct{} // closed when serve has returned
	err  error         // why it ended; set before done is closed
	bad  error         // set if the producer failed: the source cannot go on

	closing atomic.Pointer[EndKind] // why we closed it ourselves

	// Guarded by the Manager's mutex.
	span   *span
	opened time.Time
	first  time.Time // first data
	last   time.Time // last data
	events int64
}

// start registers a connection and begins to read it.
func (m *Manager) start(late context.Context, slot int, conn Conn, resumed bool) *session {
	s := &session{m: m, slot: slot, conn: conn, done: make(chan struct{}), opened: time.Now()}
	m.mu.Lock()
	s.span = m.cover.begin(resumed)
	m.sessions = append(m.sessions, s)
	m.status.slot(slot, Live, s.opened)
	m.mu.Unlock()
	go s.serve(late)
	return s
}

// close ends the connection for a reason of ours. What it has received is still delivered.
func (s *session) close(why EndKind) {
	s.closing.CompareAndSwap(nil, &why)
	if a, ok := s.conn.(Aborter); ok && why == EndStall {
		a.Abort() // whoever sends nothing answers no goodbye
	}
	_ = s.conn.Close()
}

func (s *session) serve(ctx context.Context) {
	defer close(s.done)
	stall := time.AfterFunc(time.Hour, func() { s.close(EndStall) })
	stall.Stop()
	defer stall.Stop()
	for {
		if s.m.Settings.Stall != setting.Off {
			stall.Reset(s.m.Settings.Stall) // it runs only while we wait for the provider
		}
		events, err := s.conn.Next(ctx)
		stall.Stop()
		var skip *SkipError
		switch {
		case errors.As(err, &skip):
			s.bad = s.m.skipped(ctx, s, skip)
		case err != nil:
			s.ended(err)
			return
		default:
			s.bad = s.m.deliver(ctx, s, events)
		}
		if s.bad != nil {
			s.ended(s.bad)
			return
		}
	}
}

// data tells that the connection brought something. The caller holds the Manager's mutex.
func (s *session) data(now time.Time, n int64) {
	if s.first.IsZero() {
		s.first = now
	}
	s.last = now
	s.events += n
	s.m.status.Events += n
	s.m.status.LastData = now
	s.span.life(now)
}

// observe takes other signs of life into account. A pong proves that the connection was taken up; beyond that it counts
// only where no stall time is set: where one is, a provider that answers pings and sends no data is not trusted. The
// caller holds the Manager's mutex.
func (s *session) observe() {
	a, ok := s.conn.(Alive)
	if !ok {
		return
	}
	at := a.Alive()
	if !at.IsZero() && (s.span.start.IsZero() || s.m.Settings.Stall == setting.Off) {
		s.span.life(at)
	}
}

// ended settles everything when the connection is over.
func (s *session) ended(err error) {
	_ = s.conn.Close()
	end := s.why(err)
	now := time.Now()
	m := s.m
	m.mu.Lock()
	s.observe()
	if end.Kind == EndClose {
		s.span.life(now) // whatever the provider sent before it said goodbye has arrived
	}
	s.span.live = false
	m.sessions = slices.DeleteFunc(m.sessions, func(o *session) bool { return o == s })
	m.lastEnd = end.Error()
	m.status.ended(s.slot, end, now)
	m.mu.Unlock()
	s.err = end
	log := m.log.With("connection", s.slot, "kind", string(end.Kind), "code", end.Code, "reason", end.Reason, "lived", now.Sub(s.opened).Round(time.Millisecond), "events", s.events)
	if end.Kind == EndRotation || end.Kind == EndShutdown {
		log.Info("connection closed")
		return
	}
	log.Warn("connection ended", "error", end.Err)
}

// why says why the connection ended: our own reason, if we closed it, else the provider's.
func (s *session) why(err error) *EndError {
	if kind := s.closing.Load(); kind != nil {
		end := &EndError{Kind: *kind}
		if *kind == EndStall {
			end.Reason = "no data for " + setting.FormatDuration(s.m.Settings.Stall)
		}
		return end
	}
	var end *EndError
	if errors.As(err, &end) {
		return end
	}
	return &EndError{Kind: EndRead, Err: err}
}

// steady reports whether the connection brought data for long enough to be trusted.
func (s *session) steady() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return !s.first.IsZero() && s.last.Sub(s.first) >= steadyData
}

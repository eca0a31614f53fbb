package source

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

// session is one live connection of a slot.
type session struct {
	m     *Manager
	slot  int
	name  string // tells it from all others of this process
	conn  Conn
	after resuming      // what it was asked to follow
	gone  chan struct{} // closed when nothing more will be received, though some is still to be stored; nil: nobody knows
	done  chan struct{} // closed when serve has returned
	aging chan struct{} // closed when the connection is to be replaced; nil: nobody knows
	lost  error         // why nothing more will be received; set before gone is closed
	err   error         // why it ended; set before done is closed
	age   string        // why it is to be replaced; set before aging is closed

	closing atomic.Pointer[EndKind] // why we closed it ourselves
	waiting atomic.Bool             // for the provider
	since   atomic.Int64            // when waiting began, in Unix nanoseconds
	partly  atomic.Bool             // it is closed because a message does not become whole

	// Owned by serve: what tells messages that are left out from each other.
	place   uint64      // of the last event
	reached leat.Cursor // of the last delivery, if it is short
	skipped int         // since then

	// Owned by serve: where the provider sends the past in an order that makes no position true before all of it has come.
	behind bool
	held   position // the position that will be true then
	marked bool     // positions may be in what is no event

	// Guarded by the Manager's mutex.
	span   *span
	opened time.Time
	first  time.Time // first data
	last   time.Time // last data
	events int64
	noted  Signs // what has been taken of the counts
	fresh  bool  // it has brought something that was not known
}

// start registers a connection and begins to read it. Its events are stored after those of the one before it, which may be nil.
func (m *Manager) start(late context.Context, s, before *session) {
	s.m, s.done, s.opened, s.place = m, make(chan struct{}), time.Now(), s.after.place
	w, watched := s.conn.(Watched)
	if watched {
		s.gone = make(chan struct{})
	}
	aging, ages := s.conn.(Expiring)
	if ages {
		s.aging = make(chan struct{})
	}
	m.mu.Lock()
	s.span = m.cover.begin(s.after)
	if c, ok := s.conn.(Continuer); ok {
		if does, known := c.Continues(); known && !s.after.lost { // what is lost is told as that
			s.span.resumed, s.span.unproven = does, false
		}
	}
	m.sessions = append(m.sessions, s)
	m.begun++
	s.name = "connection " + strconv.FormatInt(m.begun, 10)
	m.status.slot(s.slot, Live, s.opened)
	m.mu.Unlock()
	if watched {
		go func() {
			s.lost = w.Wait(late)
			close(s.gone)
		}()
	}
	if ages {
		go func() {
			var err error
			if s.age, err = aging.Expire(late); err == nil {
				close(s.aging)
			}
		}()
	}
	go s.serve(late, before)
}

// close ends the connection for a reason of ours. What it has received is still delivered.
func (s *session) close(why EndKind) {
	s.closing.CompareAndSwap(nil, &why)
	if a, ok := s.conn.(Aborter); ok && why == EndStall {
		a.Abort() // whoever sends nothing answers no goodbye
	}
	_ = s.conn.Close()
}

func (s *session) serve(ctx context.Context, before *session) {
	defer close(s.done)
	if before != nil {
		<-before.done
	}
	var stall *time.Timer
	stall = time.AfterFunc(time.Hour, func() { s.stalled(stall) })
	stall.Stop()
	defer stall.Stop()
	signs := s.signs()
	s.behind, s.marked = signs.Behind, signs.Marked
	silent := time.Duration(0) // what the provider sent no data for, with signs of life between that were handed out
	for {
		s.since.Store(time.Now().UnixNano())
		s.waiting.Store(true)
		if s.m.Settings.Stall != setting.Off {
			stall.Reset(max(s.m.Settings.Stall-silent, 0)) // it runs only while we wait for the provider
		}
		asked := time.Now()
		events, err := s.conn.Next(ctx)
		s.waiting.Store(false)
		stall.Stop()
		if silent += time.Since(asked); !onlyCounters(events) {
			silent = 0
		}
		var skip *SkipError
		switch {
		case errors.As(err, &skip):
			err = s.m.skipped(ctx, s, skip)
		case err != nil:
			s.ended(err)
			return
		default:
			err = s.m.deliver(ctx, s, events)
		}
		if err != nil {
			s.m.fail(err)
			s.ended(err)
			return
		}
	}
}

// A message may be on its way for longestMessage times the stall time, if it does move: a provider can send a byte a minute for ever.
const longestMessage = 10

// onlyCounters reports whether there is something, and nothing of it is data.
func onlyCounters(events []leat.Event) bool {
	return len(events) > 0 && !slices.ContainsFunc(events, func(e leat.Event) bool { return !isCounter(&e) })
}

// stalled ends the connection, unless a long message is on its way.
func (s *session) stalled(again *time.Timer) {
	if !s.waiting.Load() {
		return
	}
	if w, ok := s.conn.(Watched); ok {
		signs := w.Signs()
		if signs.Resting {
			again.Reset(s.m.Settings.Stall)
			return
		}
		if left := s.m.Settings.Stall - time.Since(signs.Progress); left > 0 {
			if s.partly.Store(time.Since(time.Unix(0, s.since.Load())) >= longestMessage*s.m.Settings.Stall); !s.partly.Load() {
				again.Reset(left)
				return
			}
		}
	}
	s.close(EndStall)
}

// signs returns the signs of life of the connection. One that does not watch its provider received just now what it handed out last.
func (s *session) signs() Signs {
	if w, ok := s.conn.(Watched); ok {
		return w.Signs()
	}
	now := time.Now()
	return Signs{First: now, Data: now}
}

// data tells that the connection brought something up to a time. The caller holds the Manager's mutex.
func (s *session) data(at time.Time, n int64) {
	if s.first.IsZero() {
		s.first = at
	}
	s.last = at
	s.events += n
	s.m.status.Events += n
	if at.After(s.m.status.LastData) {
		s.m.status.LastData = at
	}
	s.span.life(at)
}

// observe takes other signs of life into account. A pong proves that the connection was taken up; beyond that it counts
// only where no stall time is set: where one is, a provider that answers pings and sends no data is not trusted. The
// caller holds the Manager's mutex.
func (s *session) observe() {
	w, ok := s.conn.(Watched)
	if !ok {
		return
	}
	signs := w.Signs()
	if !signs.First.IsZero() {
		s.span.begun(signs.First)
	}
	if !signs.Answer.IsZero() && s.m.Settings.Stall == setting.Off {
		s.span.life(signs.Answer)
	}
	s.count(signs)
}

// count adds what the connection counts to the status. The caller holds the Manager's mutex.
func (s *session) count(signs Signs) {
	m, before := s.m, s.noted
	s.noted = signs
	m.status.Empty += signs.Empty - before.Empty
	m.status.Unknown += signs.Unknown - before.Unknown
	m.status.LateAcks += signs.Late - before.Late
	if signs.Empty > 0 && !m.empty {
		m.empty = true
		m.log.Warn("messages without content are dropped; this is told once", "connection", s.slot)
	}
	if signs.Unknown > 0 && !m.strange {
		m.strange = true
		m.log.Warn("messages come for which no rule of classify holds; they are taken for data; this is told once", "connection", s.slot)
	}
	if now := time.Now(); signs.Late > before.Late && now.Sub(m.late) >= lateEvery {
		m.late = now
		m.log.Warn("messages are acknowledged after the deadline of ack; the provider may send them again", "connection", s.slot, "late_acks", m.status.LateAcks)
	}
}

// passed notes the place of the last event. It belongs to serve, as skipping does.
func (s *session) passed(events []leat.Event) {
	if len(events) == 0 {
		return
	}
	if place := positionOf(&events[len(events)-1]).place; place != 0 {
		s.place, s.skipped = place, 0
	}
}

// skipping returns what tells a message that is left out from others.
func (s *session) skipping(skip *SkipError) oversize {
	s.skipped++
	return oversize{bytes: skip.Bytes, after: s.place, nth: s.skipped}
}

// ended settles everything when the connection is over.
func (s *session) ended(err error) {
	_ = s.conn.Close()
	end := s.why(err)
	now := time.Now()
	m := s.m
	m.mu.Lock()
	if o := m.outcome(end, &s.after, s.events == 0); s.events == 0 && s.after.cursor != "" && (o.lost || o.is == endFresh) {
		s.span.nothing()
	}
	s.observe()
	if end.goodbye() {
		s.span.life(s.signs().Data) // whatever the provider sent before it said goodbye has arrived
	}
	s.span.live, s.span.reason = false, end.Error()
	m.sessions = slices.DeleteFunc(m.sessions, func(o *session) bool { return o == s })
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

// over reports whether nothing more will be received.
func (s *session) over() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// why says why the connection ended: our own reason, if we closed it, else the provider's.
func (s *session) why(err error) *EndError {
	if kind := s.closing.Load(); kind != nil {
		end := &EndError{Kind: *kind}
		if *kind == EndStall {
			end.Reason = "no data for " + setting.FormatDuration(s.m.Settings.Stall)
			if s.partly.Load() {
				end.Reason = "a message that began to arrive is still not whole after " + setting.FormatDuration(longestMessage*s.m.Settings.Stall)
			}
		}
		return end
	}
	var end *EndError
	if errors.As(err, &end) {
		return end
	}
	return &EndError{Kind: EndRead, Err: err}
}

// brought returns how many events the connection has brought.
func (s *session) brought() int64 {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.events
}

// steady reports whether the connection brought data for long enough, or any and lived long enough, to be trusted.
func (s *session) steady() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return !s.first.IsZero() && (s.last.Sub(s.first) >= steadyData || time.Since(s.opened) >= steadyLife)
}

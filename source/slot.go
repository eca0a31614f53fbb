package source

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
)

// slot keeps one connection alive: when it ends the next one is opened, and when it grows too old the next one is
// opened before it is closed. One goroutine owns it. Its methods take two contexts: ctx ends the work, late, a grace time after it,
// what is finished then.
type slot struct {
	m        *Manager
	n        int
	backoff  backoff
	retired  sync.WaitGroup // connections that are being closed, or whose events are still being stored
	draining *session       // the one before, if it has ended but what it received may not be stored yet
	leaving  *session       // the one that was replaced last
	before   omen           // what the end of the one before says about the next one
}

func (s *slot) run(ctx, late context.Context) {
	defer s.retired.Wait()
	age := s.firstAge()
	for {
		current := s.open(ctx, late)
		if current == nil {
			return // ctx has ended
		}
		for current != nil {
			current, age = s.watch(ctx, late, current, age), s.age()
		}
	}
}

// watch waits until the connection ends or is to be replaced, and returns its successor if there is one already.
func (s *slot) watch(ctx, late context.Context, current *session, age time.Duration) (next *session) {
	var old <-chan time.Time
	if age > 0 {
		t := time.NewTimer(age)
		defer t.Stop()
		old = t.C
	}
	select {
	case <-current.done:
		s.lost(ctx, current, current.err)
	case <-s.gone(current):
		s.draining = current
		s.retired.Go(func() { <-current.done })
		s.lost(ctx, current, current.why(current.lost))
	case <-old:
		return s.renew(ctx, late, current)
	case <-current.aging:
		s.m.log.Info("the connection is to be replaced", "connection", s.n, "reason", current.age)
		s.hold(ctx, current)
		return s.renew(ctx, late, current)
	case <-ctx.Done():
		current.close(EndShutdown)
		<-current.done
	}
	return nil
}

// renew replaces a connection that lives, and returns its successor if there is one already.
func (s *slot) renew(ctx, late context.Context, current *session) *session {
	if s.m.Settings.Identified(s.m.Source) {
		return s.replace(ctx, late, current)
	}
	current.close(EndRotation) // without identities both would be stored: a short gap is the lesser evil, and it is reported
	<-current.done
	return nil
}

// hold waits before a connection that has not proved itself is replaced at its own wish, so that a provider where all wish it gets no flood of
// attempts.
func (s *slot) hold(ctx context.Context, current *session) {
	if current.steady() {
		return
	}
	t := time.NewTimer(s.backoff.failed(time.Now(), outcome{}))
	defer t.Stop()
	select {
	case <-t.C:
	case <-current.done:
	case <-ctx.Done():
	}
}

// gone returns what is closed when the next connection may be opened while the events of the current one are still being
// stored: one at a time, and only where a provider that goes back to the last stored event makes nothing double.
func (s *slot) gone(current *session) <-chan struct{} {
	settings := &s.m.Settings
	r, returns := s.m.Source.(Returner)
	back := !settings.Cursor.IsZero() || returns && r.Returns()
	if !ended(s.draining) || back && !settings.Identified(s.m.Source) {
		return nil
	}
	return current.gone
}

// ended reports whether there is nothing left of a connection, or no connection.
func ended(s *session) bool {
	if s == nil {
		return true
	}
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// lost waits before the connection after one that has ended.
func (s *slot) lost(ctx context.Context, current *session, cause error) {
	steady := current.steady()
	if steady {
		s.backoff.forget()
	}
	var end *EndError
	if !errors.As(cause, &end) {
		end = &EndError{Kind: EndRead, Err: cause}
	}
	s.before = omen{unproven: !steady && end.Kind != EndReconnect && end.Kind != EndRotation, refused: end.Refused()}
	o := s.m.outcome(end, &current.after, current.brought() == 0)
	if o.is == endFresh || o.lost {
		<-current.done // what is still being stored shows that the provider had the position, and is the position that is forgotten
		o = s.m.outcome(end, &current.after, current.brought() == 0)
	}
	s.settle(ctx, ending{end, &current.after, o}, slog.LevelInfo) // its end has been told
}

// ending is an end, or an attempt that became none, and what follows.
type ending struct {
	*EndError
	after *resuming
	outcome
}

// settle does what follows from an end, before the next attempt.
func (s *slot) settle(ctx context.Context, e ending, level slog.Level) {
	switch {
	case e.is == endStop:
		s.m.halt(e.EndError)
		return
	case e.is == endFresh && s.m.forget(e.after, e.EndError):
		_ = wait.For(ctx, e.pause)
		return
	case e.lost:
		s.m.stuck(s.n, e.after, e.EndError)
	}
	s.pause(ctx, e, level)
}

// replace opens the successor and closes the old connection a little later. Where the old one ends before, there is no successor yet.
func (s *slot) replace(ctx, late context.Context, old *session) *session {
	if p := s.leaving; p != nil { // a third one would hold its events in memory, too
		select {
		case <-p.done:
		case <-old.done:
		case <-ctx.Done():
		}
	}
	if old.steady() {
		s.backoff.forget()
	}
	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	s.retired.Go(func() {
		select {
		case <-old.done:
			cancel()
		case <-opening.Done():
		}
	})
	next := s.open(opening, late)
	switch {
	case next != nil:
		s.leaving = old
		s.retired.Go(func() {
			s.retire(ctx, old, next)
			<-old.done
		})
	case ctx.Err() != nil:
		old.close(EndShutdown)
		<-old.done
	default:
		s.lost(ctx, old, old.err)
	}
	return next
}

// retire closes a connection that has a successor: once they have been open together for a while, and the old one has given a
// sign of life after the first one of the new, so that one of them covered every moment.
func (s *slot) retire(ctx context.Context, old, next *session) {
	for waited := time.Duration(0); waited < longestOverlap; waited += overlapStep {
		if wait.For(ctx, overlapStep) != nil || ended(old) {
			break
		}
		if waited+overlapStep >= rotationOverlap && s.m.handedOver(old, next) {
			break
		}
	}
	old.close(EndRotation)
}

// open tries until there is a connection, or ctx ends: then it returns nil.
func (s *slot) open(ctx, late context.Context) *session {
	for {
		if s.m.attempt(ctx, s.n) != nil {
			return nil
		}
		after := s.m.resume()
		conn, err := s.m.Source.Open(withOmen(withVariables(ctx, outage(s.m.uncovered())), s.before), after.asked)
		s.before = omen{}
		if err == nil {
			s.m.log.Info("connected", "connection", s.n, "asked_to_resume", after.asked != "")
			next := &session{slot: s.n, conn: conn, after: after}
			s.m.start(late, next, s.draining)
			return next
		}
		if ctx.Err() != nil {
			return nil
		}
		var end *EndError
		if !errors.As(err, &end) {
			end = &EndError{Kind: EndDial, Err: err}
		}
		s.m.notOpened(s.n, end)
		s.settle(ctx, ending{end, &after, s.m.outcome(end, &after, true)}, slog.LevelWarn)
	}
}

// pause waits before the next attempt and tells of it, at the level if it is the first.
func (s *slot) pause(ctx context.Context, e ending, level slog.Level) {
	d := s.backoff.failed(time.Now(), e.outcome)
	failures := s.backoff.failures
	s.m.waiting(s.n, d, failures, e.is == endRefused)
	if failures > 1 {
		level = slog.LevelWarn
	}
	s.m.log.Log(ctx, level, "not connected", "connection", s.n, "kind", string(e.Kind), "code", e.Code, "reason", e.Reason, "error", e.Err, "failures", failures, "next_attempt_in", d.Round(time.Millisecond))
	_ = wait.For(ctx, d)
}

// firstAge spreads the connections of a source over the time they live.
func (s *slot) firstAge() time.Duration {
	n := s.m.Settings.Connections
	return s.age() * time.Duration(s.n+1) / time.Duration(n)
}

// age is how long a connection is kept: a little less than the settings say, not all by the same amount.
func (s *slot) age() time.Duration {
	d := s.m.Settings.MaxAge
	if d == setting.Off {
		return 0
	}
	return d - rand.N(d/20+1)
}

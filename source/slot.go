package source

import (
	"context"
	"errors"
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
	m       *Manager
	n       int
	backoff backoff
	retired sync.WaitGroup // connections that are being closed
}

func (s *slot) run(ctx, late context.Context) error {
	defer s.retired.Wait()
	age := s.firstAge()
	var current *session
	for {
		if current == nil {
			if current = s.open(ctx, late); current == nil {
				return nil // ctx has ended
			}
		}
		next, err := s.watch(ctx, late, current, age)
		if err != nil || ctx.Err() != nil {
			return err
		}
		current, age = next, s.age()
	}
}

// watch waits until the connection ends or is to be replaced, and returns its successor if there is one already.
func (s *slot) watch(ctx, late context.Context, current *session, age time.Duration) (next *session, err error) {
	var old <-chan time.Time
	if age > 0 {
		t := time.NewTimer(age)
		defer t.Stop()
		old = t.C
	}
	select {
	case <-current.done:
	case <-old:
		if !s.m.Settings.EventID.IsZero() {
			return s.replace(ctx, late, current)
		}
		current.close(EndRotation) // without identities both would be stored: a short gap is the lesser evil, and it is reported
		<-current.done
		return nil, current.bad
	case <-ctx.Done():
		current.close(EndShutdown)
		<-current.done
	}
	if current.bad != nil || ctx.Err() != nil {
		return nil, current.bad
	}
	if current.steady() {
		s.backoff.forget()
	}
	s.pause(ctx, current.err)
	return nil, nil
}

// replace opens the successor and closes the old connection a little later.
func (s *slot) replace(ctx, late context.Context, old *session) (*session, error) {
	if old.steady() {
		s.backoff.forget()
	}
	next := s.open(ctx, late)
	s.retired.Go(func() {
		if next == nil {
			old.close(EndShutdown)
		} else {
			s.retire(ctx, old, next)
		}
		<-old.done
	})
	if next == nil {
		s.retired.Wait()
		return nil, old.bad
	}
	return next, nil
}

// retire closes a connection that has a successor: once they have been open together for a while, and the old one has given a
// sign of life after the first one of the new, so that one of them covered every moment.
func (s *slot) retire(ctx context.Context, old, next *session) {
	for waited := time.Duration(0); waited < longestOverlap; waited += overlapStep {
		if wait.For(ctx, overlapStep) != nil {
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
	for ctx.Err() == nil {
		s.m.setState(s.n, Connecting)
		s.backoff.attempt(time.Now())
		cursor := s.m.resume()
		conn, err := s.m.Source.Open(ctx, cursor)
		if err == nil {
			s.m.log.Info("connected", "connection", s.n, "resumed", cursor != "")
			return s.m.start(late, s.n, conn, cursor != "")
		}
		if ctx.Err() != nil {
			return nil
		}
		var end *EndError
		if !errors.As(err, &end) {
			end = &EndError{Kind: EndDial, Err: err}
		}
		s.m.notOpened(s.n, end)
		s.pause(ctx, end)
	}
	return nil
}

// pause waits before the next attempt.
func (s *slot) pause(ctx context.Context, cause error) {
	d := s.backoff.failed(time.Now(), cause)
	s.m.waiting(s.n, d, s.backoff.failures, cause)
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

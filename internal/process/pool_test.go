package process_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/process"
)

// stub is a worker without a process.
type stub struct{ dead bool }

func (s *stub) Alive() bool { return !s.dead }
func (s *stub) Stop()       {}
func (s *stub) Kill()       { s.dead = true }
func (s *stub) Wait()       {}

func start() (*stub, error) { return &stub{}, nil }

func TestACrashLoopSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := process.NewPool[*stub](1)
		crash := func() time.Duration {
			before := time.Now()
			w, err := p.Take(t.Context(), start)
			if err != nil {
				t.Fatal(err)
			}
			p.Running.Add(1)
			w.dead = true
			p.Give(w, false)
			p.Ended(process.Exit{})
			return time.Since(before)
		}
		if first, second := crash(), crash(); first+second != 0 {
			t.Errorf("the first two starts waited %v and %v", first, second)
		}
		var total, longest time.Duration
		for range 100 {
			d := crash()
			total, longest = total+d, max(longest, d)
		}
		if total < 5*time.Minute || longest > 30*time.Second {
			t.Errorf("100 starts waited %v, one of them %v", total, longest)
		}
		w, err := p.Take(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		w.dead = true
		p.Give(w, true)
		if d := crash(); d != 0 {
			t.Errorf("after an answer a start waited %v", d)
		}
		if p.Crashes.Load() != 103 || p.Running.Load() != 0 || p.Starts.Load() != 104 {
			t.Errorf("%d crashes, %d running, %d starts", p.Crashes.Load(), p.Running.Load(), p.Starts.Load())
		}
	})
}

func TestAStartThatFailsSlowsDownToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, before, no := process.NewPool[*stub](1), time.Now(), errors.New("no")
		for range 50 {
			if _, err := p.Take(t.Context(), func() (*stub, error) { return nil, no }); !errors.Is(err, no) {
				t.Fatal(err)
			}
		}
		if time.Since(before) < time.Minute {
			t.Errorf("50 starts took %v", time.Since(before))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Take(ctx, start); !errors.Is(err, context.Canceled) {
			t.Errorf("a pause outlives its context: %v", err)
		}
	})
}

func TestAPoolHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := process.NewPool[*stub](2)
		for range 2 {
			if err := p.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		entered := false
		go func() {
			entered = p.Enter(t.Context()) == nil
		}()
		synctest.Wait()
		if entered {
			t.Error("a third call entered")
		}
		p.Leave()
		synctest.Wait()
		if !entered {
			t.Error("a place that was left is not taken")
		}
		p.Leave()
		p.Leave()
		p.Close()
		if _, err := p.Take(t.Context(), start); !errors.Is(err, process.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

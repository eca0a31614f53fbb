package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/wait"
)

func TestForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := wait.For(t.Context(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("waited %v, %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := wait.For(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := wait.For(ctx, 0); err == nil {
			t.Error("an ended context passed")
		}
	})
}

func TestGraceOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		late, done := wait.Grace(ctx, time.Minute)
		defer done()
		time.Sleep(time.Hour)
		if late.Err() != nil {
			t.Error("it ended before its context")
		}
		cancel()
		start := time.Now()
		<-late.Done()
		if time.Since(start) != time.Minute {
			t.Errorf("it ended %v after its context", time.Since(start))
		}
	})
}

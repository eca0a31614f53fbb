// Package wait holds the two ways of waiting that every worker needs.
package wait

import (
	"context"
	"time"
)

// For waits for d or until ctx ends, and returns the error of ctx in the latter case.
func For(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Grace returns a context that ends d after ctx does: for finishing work in hand once a worker has
// stopped taking new work. The cancel function ends it at once and must be called.
func Grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	})
	return late, func() {
		stop()
		cancel(context.Canceled)
	}
}

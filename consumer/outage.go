package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/leatstream/leat/stream"
)

// unreadableError says that a stream cannot be read now. An engine abroad may be away for hours, and a stream may be made later: the consumer
// waits, and whoever else is at work goes on.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// readable makes an unreadableError of what Shards, Read or Next returned, unless it says that the consumer has to end.
func (c *Consumer) readable(ctx context.Context, err error) error {
	if errors.Is(err, stream.ErrStopped) || errors.Is(err, stream.ErrFenced) || stopped(ctx, err) {
		return fmt.Errorf("consumer %q: %w", c.Name, err)
	}
	return &unreadableError{err}
}

// backoff returns how long to wait before the next attempt: a random time below a bound that doubles.
func (c *Consumer) backoff(attempt int) time.Duration {
	bound := min(c.Settings.MaxBackoff, firstBackoff<<min(attempt, 20))
	return rand.N(bound) + bound/10
}

// outage tells of a time in which a stream cannot be read: when it begins, now and then, more and more seldom, and when it is over.
type outage struct {
	failures int
	begun    time.Time
	quiet    quiet
	told     int
	reason   string
}

func (o *outage) tell(log *slog.Logger, what string, err error) {
	if o.failures == 0 {
		o.begun = time.Now()
	}
	o.failures++
	o.reason = err.Error()
	if more, ok := o.quiet.speak(time.Now(), haltedEvery<<min(o.told, 4)); ok {
		o.told++
		log.Warn(what, "error", err, "attempts", o.failures, "not_logged_before", more)
	}
}

func (o *outage) over(log *slog.Logger, what string) {
	if o.failures > 0 {
		log.Info(what, "after", time.Since(o.begun).Round(time.Millisecond), "attempts", o.failures)
	}
	*o = outage{}
}

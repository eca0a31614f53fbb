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

// outage tells of a time in which a stream cannot be read, or a destination takes nothing: when it begins, now and then, more and more seldom up to
// about an hour, and when it is over. One that soon follows another is told of only if it lasts: what comes and goes floods no log.
type outage struct {
	failures int
	begun    time.Time
	reason   string
	spoken   bool // it was told of
	quiet    quiet
	told     int // so often in a row of outages
}

func (o *outage) pause() time.Duration { return haltedEvery << min(o.told, 7) }

func (o *outage) tell(log *slog.Logger, what string, err error) {
	now := time.Now()
	if o.failures == 0 {
		o.begun = now
		if now.Sub(o.quiet.next) > o.pause() {
			o.told = 0 // the last one is long over
		}
	}
	o.failures++
	o.reason = err.Error()
	if more, ok := o.quiet.speak(now, o.pause()); ok {
		o.told++
		o.spoken = true
		log.Warn(what, "error", err, "attempts", o.failures, "not_logged_before", more)
	}
}

func (o *outage) over(log *slog.Logger, what string) {
	if o.spoken {
		log.Info(what, "after", time.Since(o.begun).Round(time.Millisecond), "attempts", o.failures)
	}
	o.failures, o.reason, o.spoken = 0, "", false
}

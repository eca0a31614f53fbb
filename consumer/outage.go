package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/leatstream/leat/internal/outage"
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

// rhythm is how often the log says that a stream cannot be read, or a destination takes nothing.
var rhythm = outage.Rhythm{First: haltedEvery, Longest: haltedEvery << 7}

// silence tells of a time in which a stream cannot be read, or a destination takes nothing.
type silence struct{ outage.Outage }

func (s *silence) tell(log *slog.Logger, what string, err error) {
	if more, ok := s.Fail(time.Now(), rhythm); ok {
		log.Warn(what, "error", err, "attempts", s.Failures, "not_logged_before", more)
	}
}

func (s *silence) over(log *slog.Logger, what string) {
	if lasted, ok := s.End(time.Now()); ok {
		log.Info(what, "after", lasted.Round(time.Millisecond), "attempts", s.Failures)
	}
}

// lasts reports whether it is not over.
func (s *silence) lasts() bool { return !s.Since.IsZero() }

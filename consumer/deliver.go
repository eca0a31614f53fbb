package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// firstBackoff bounds the first random pause before a delivery is tried again; it doubles up to Settings.MaxBackoff.
const firstBackoff = 200 * time.Millisecond

// haltedEvery is how often the log says that a destination must be mended.
const haltedEvery = 30 * time.Second

// engineError is an error of the stream and not of the destination: the consumer cannot go on.
type engineError struct{ err error }

func (e *engineError) Error() string { return e.err.Error() }
func (e *engineError) Unwrap() error { return e.err }

// process brings every record of a batch to its end, delivered or dead-lettered, and moves the checkpoint behind it. A batch that fails for good is
// halved, the left half first, each half with a checkpoint of its own, until the records that fail stand alone.
func (s *shard) process(ctx, late context.Context, batch leat.Batch) error {
	attempts, begun := 0, time.Now()
	batch.After = s.at.Delivered
	s.pending(batch.Records[0].Arrived)
	for {
		s.set(func(st *ShardStatus) { st.State = Delivering })
		err := s.deliver(late, batch)
		attempts++
		var engine *engineError
		var behind *sink.BehindError
		switch {
		case err == nil:
			return s.delivered(late, batch)
		case errors.As(err, &engine):
			return engine.err
		case late.Err() != nil:
			s.log.Warn("a delivery was not finished in time; its records are delivered again after the next start", "error", err)
			return late.Err()
		case errors.As(err, &behind):
			return fmt.Errorf("%w: %w", errBehind, err)
		case sink.IsHalt(err):
			s.failed(Halted, err)
		case sink.IsPermanent(err), s.exhausted(attempts):
			s.count(err)
			if len(batch.Records) == 1 {
				return s.bury(late, batch, end{cause: err, attempts: attempts, begun: begun})
			}
			return s.halve(ctx, late, batch)
		default:
			s.failed(Retrying, err)
		}
		if err := s.pause(ctx, attempts-1); err != nil {
			return err
		}
	}
}

// exhausted reports whether a delivery has been tried often enough. One whose effect is named after its range never has: its outcome is
// unknown, and under other names the same records would be there twice.
func (s *shard) exhausted(attempts int) bool {
	_, planned := s.c.Sink.(sink.Planner)
	return !planned && s.c.Settings.MaxAttempts > 0 && attempts >= s.c.Settings.MaxAttempts
}

func (s *shard) halve(ctx, late context.Context, batch leat.Batch) error {
	middle := len(batch.Records) / 2
	left, right := batch, batch
	left.Records, right.Records = batch.Records[:middle], batch.Records[middle:]
	s.set(func(st *ShardStatus) { st.Splits++ })
	if err := s.process(ctx, late, left); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.process(ctx, late, right)
}

// deliver tries once. Where the effect is named after the range, the range is made durable first.
func (s *shard) deliver(ctx context.Context, batch leat.Batch) error {
	planner, ok := s.c.Sink.(sink.Planner)
	if !ok {
		return fenced(s.c.Sink.Deliver(ctx, batch))
	}
	p, err := s.plan(ctx, planner, batch)
	if err != nil {
		return err
	}
	return fenced(planner.Execute(ctx, p, batch))
}

// fenced makes an operator look at a destination that somebody else fills. If it is another process that has taken over the shard, the
// stream says so with the next commit.
func fenced(err error) error {
	if errors.Is(err, stream.ErrFenced) {
		return sink.Halt(fmt.Errorf("another data directory or process delivers to the same place under the same name: %w", err))
	}
	return err
}

func (s *shard) delivered(ctx context.Context, batch leat.Batch) error {
	err := s.commit(ctx, s.at.delivered(batch.Last()), stream.Commit{State: s.planDone()})
	if err != nil {
		return err
	}
	s.halted = quiet{}
	s.away.over(s.log, "the destination takes records again")
	n, bytes := int64(len(batch.Records)), int64(batch.Size())
	s.set(func(st *ShardStatus) {
		st.State, st.LastError, st.pending = Reading, "", time.Time{}
		st.last = batch.Records[len(batch.Records)-1].Arrived
		st.Delivered += n
		st.Bytes += bytes
		st.Batches++
	})
	return nil
}

// bury puts the one record of a batch into the dead-letter stream, in the same commit that passes over it.
func (s *shard) bury(ctx context.Context, batch leat.Batch, e end) error {
	e.stage, e.condition = "sink", "RetryAttemptsExhausted"
	if sink.IsPermanent(e.cause) {
		e.condition = "Permanent"
	}
	record := batch.Records[0]
	letter := s.letter(record, e)
	err := s.commit(ctx, s.at.passed(record.Sequence), stream.Commit{Puts: []stream.Put{s.dead(letter)}, State: s.planDone()})
	if err != nil {
		return err
	}
	if more, ok := s.quiet.speak(time.Now(), time.Second); ok {
		s.log.Error("a record goes to the dead-letter stream", "sequence", record.Sequence, "condition", e.condition, "attempts", e.attempts, "error", e.cause, "not_logged_before", more)
	}
	s.set(func(st *ShardStatus) {
		st.State, st.pending, st.last = Reading, time.Time{}, record.Arrived
		st.DeadLettered++
	})
	return nil
}

// count notes a delivery that failed.
func (s *shard) count(err error) {
	s.set(func(st *ShardStatus) { st.LastError, st.Failures = err.Error(), st.Failures+1 })
}

func (s *shard) failed(state State, err error) {
	s.count(err)
	s.set(func(st *ShardStatus) { st.State = state })
	if state == Halted {
		if more, ok := s.halted.speak(time.Now(), haltedEvery); ok {
			s.log.Error("the destination must be mended; it is tried again now and then", "error", err, "not_logged_before", more)
		}
		return
	}
	s.away.tell(s.log, "delivery failed; it is tried again", err)
}

// pause waits before the next attempt: a random time below a bound that doubles.
func (s *shard) pause(ctx context.Context, attempt int) error {
	return wait.For(ctx, s.c.backoff(attempt))
}

// quiet lets one line through in a while.
type quiet struct {
	next    time.Time
	dropped int
}

// speak reports whether to say something, and how often it was not said before.
func (q *quiet) speak(now time.Time, every time.Duration) (dropped int, ok bool) {
	if now.Before(q.next) {
		q.dropped++
		return 0, false
	}
	dropped, q.dropped, q.next = q.dropped, 0, now.Add(every)
	return dropped, true
}

package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// firstBackoff bounds the first random pause before a delivery is tried again; it doubles up to Settings.MaxBackoff.
const firstBackoff = 200 * time.Millisecond

// process brings every record of a batch to its end, delivered or dead-lettered, and moves the checkpoint behind it. A batch that fails for good is
// halved, the left half first, each half with a checkpoint of its own, until the records that fail stand alone.
func (s *shard) process(ctx, late context.Context, batch leat.Batch) error {
	attempts, begun := 0, time.Now()
	for {
		s.set(func(st *ShardStatus) { st.State = Delivering })
		err := s.deliver(late, batch)
		attempts++
		switch {
		case err == nil:
			return s.delivered(late, batch)
		case errors.Is(err, stream.ErrFenced), errors.Is(err, stream.ErrStopped), late.Err() != nil:
			return err
		case sink.IsHalt(err):
			s.failed(Halted, err, attempts)
		case sink.IsPermanent(err), s.c.Settings.MaxAttempts > 0 && attempts >= s.c.Settings.MaxAttempts:
			if len(batch.Records) == 1 {
				return s.bury(late, batch, end{cause: err, attempts: attempts, begun: begun})
			}
			return s.halve(ctx, late, batch)
		default:
			s.failed(Retrying, err, attempts)
		}
		if err := s.pause(ctx, attempts-1); err != nil {
			return err
		}
	}
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
		return s.c.Sink.Deliver(ctx, batch)
	}
	p, err := s.plan(ctx, planner, batch)
	if err != nil {
		return err
	}
	return planner.Execute(ctx, p, batch)
}

func (s *shard) delivered(ctx context.Context, batch leat.Batch) error {
	err := s.commit(ctx, checkpoint{Sequence: batch.Last()}, stream.Commit{State: s.planDone()})
	if err != nil {
		return err
	}
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
	e.condition = "RetryAttemptsExhausted"
	if sink.IsPermanent(e.cause) {
		e.condition = "Permanent"
	}
	record := batch.Records[0]
	letter := s.letter(record, e)
	err := s.commit(ctx, checkpoint{Sequence: record.Sequence}, stream.Commit{Puts: []stream.Put{s.dead(letter)}, State: s.planDone()})
	if err != nil {
		return err
	}
	s.log.Error("a record goes to the dead-letter stream", "sequence", record.Sequence, "condition", e.condition, "attempts", e.attempts, "error", e.cause)
	s.set(func(st *ShardStatus) {
		st.State, st.pending, st.last = Reading, time.Time{}, record.Arrived
		st.DeadLettered++
	})
	return nil
}

func (s *shard) failed(state State, err error, attempts int) {
	s.set(func(st *ShardStatus) { st.State, st.LastError, st.Failures = state, err.Error(), st.Failures+1 })
	if state == Halted {
		s.log.Error("the destination must be mended; it is tried again now and then", "error", err)
		return
	}
	s.log.Warn("delivery failed; it is tried again", "attempts", attempts, "error", err)
}

// pause waits before the next attempt: a random time below a bound that doubles.
func (s *shard) pause(ctx context.Context, attempt int) error {
	bound := min(s.c.Settings.MaxBackoff, firstBackoff<<min(attempt, 20))
	return wait.For(ctx, rand.N(bound)+bound/10)
}

package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatstream/leat/stream"
)

// retain removes what the retention of every stream gives up. It goes a little further than it must, or waits a little longer, by a
// part in grain, so that it need not be done every second: each time is a synced commit.
func (e *Engine) retain(ctx context.Context) error {
	var errs []error
	for _, s := range e.catalog.all() {
		keep := s.retention()
		errs = append(errs, e.retainAge(ctx, s, keep.Age), e.retainBytes(ctx, s, keep.Bytes), e.dropShards(ctx, s, keep))
	}
	return errors.Join(errs...)
}

const grain = 64

// trim is what is to be removed of a shard: the records below index, which is not inside a batch.
type trim struct {
	shard *shardState
	index uint64
}

// retainAge removes what arrived too long ago. While the clock cannot be trusted it removes nothing: a jump must not cost a record.
func (e *Engine) retainAge(ctx context.Context, s *streamState, age time.Duration) error {
	if age <= 0 || !e.clock.even() {
		return nil
	}
	now := e.now()
	cut := now.Add(-age)
	var trims []trim
	var errs []error
	for _, shard := range s.list() {
		index, err := e.oldBefore(ctx, shard, cut, age/grain)
		if err != nil {
			errs = append(errs, fmt.Errorf("look for old records in stream %q %s: %w", s.name, shard.id, err))
			continue
		}
		trims = append(trims, trim{shard, max(index, shard.storedBefore(cut, now))})
	}
	return errors.Join(append(errs, e.trim(ctx, s, trims))...)
}

// oldBefore returns the index below which everything arrived before cut, or 0 if the oldest record is not older than that by spare.
func (e *Engine) oldBefore(ctx context.Context, s *shardState, cut time.Time, spare time.Duration) (uint64, error) {
	state := s.load()
	if state.floor >= state.durable {
		return 0, nil
	}
	oldest, err := e.oldest(s, state)
	if err != nil || !oldest.arrived.Before(cut.Add(-spare)) {
		return 0, err
	}
	return e.firstBatch(ctx, s, func(t trailer) bool { return !t.arrived.Before(cut) })
}

func (e *Engine) oldest(s *shardState, state durableState) (trailer, error) {
	e.using.RLock()
	defer e.using.RUnlock()
	if e.closing() {
		return trailer{}, errClosed
	}
	return e.trailerNear(s, state.floor, state.durable)
}

// seen says that everything below index was stored at the time at.
type seen struct {
	index uint64
	at    time.Time
}

// ahead reports whether the newest record bears a time that is still to come: a clock that ran ahead gives its time to all that follows.
func (s *shardState) ahead(now time.Time) bool { return s.load().tip.After(now.Add(time.Minute)) }

// storedBefore returns an index below which everything was stored before cut although it bears a later time. It knows only what it has
// seen since the engine was opened, so that such records are kept once or twice as long as others. Retention alone calls it.
func (s *shardState) storedBefore(cut, now time.Time) uint64 {
	if !s.ahead(now) {
		s.seen = seen{}
		return 0
	}
	before := s.seen
	if before.at.IsZero() || before.at.After(now) || before.at.Before(cut) {
		s.seen = seen{s.load().durable, now}
	}
	if before.at.Before(cut) {
		return before.index
	}
	return 0
}

// retainBytes removes the oldest records of the stream until the rest fits. The cut is a time, found by halving, so that
// the shards of a stream keep the same stretch of it. While some of them bear times to come, each gives up its share instead.
func (e *Engine) retainBytes(ctx context.Context, s *streamState, limit int64) error {
	size := s.describe().Bytes
	if limit <= 0 || size <= limit {
		return nil
	}
	rest := limit - limit/grain
	old := func(shard *shardState) func(trailer) bool { // keeps the last part of the shard
		state := shard.load()
		share := uint64(float64(state.bytes-state.removed) * float64(rest) / float64(size))
		return func(t trailer) bool { return t.total > state.bytes-share }
	}
	if now := e.now(); !s.ahead(now) {
		cut, err := e.cutAt(ctx, s, rest)
		if err != nil {
			return err
		}
		old = func(*shardState) func(trailer) bool { return func(t trailer) bool { return !t.arrived.Before(cut) } }
	}
	var trims []trim
	for _, shard := range s.list() {
		index, err := e.firstBatch(ctx, shard, old(shard))
		if err != nil {
			return fmt.Errorf("look for what is too much in stream %q %s: %w", s.name, shard.id, err)
		}
		trims = append(trims, trim{shard, index})
	}
	return e.trim(ctx, s, trims)
}

func (s *streamState) ahead(now time.Time) bool {
	for _, shard := range s.list() {
		if shard.ahead(now) {
			return true
		}
	}
	return false
}

// cutAt returns the earliest time from which on no more than limit has arrived.
func (e *Engine) cutAt(ctx context.Context, s *streamState, limit int64) (time.Time, error) {
	low, high := s.created.UnixMilli(), int64(0)
	for _, shard := range s.list() {
		high = max(high, shard.load().tip.UnixMilli()+1)
	}
	for low < high {
		middle := low + (high-low)/2
		size, err := e.bytesFrom(ctx, s, time.UnixMilli(middle))
		if err != nil {
			return time.Time{}, err
		}
		if size <= limit {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return time.UnixMilli(low), nil
}

// bytesFrom returns the size of what arrived at or after cut.
func (e *Engine) bytesFrom(ctx context.Context, s *streamState, cut time.Time) (int64, error) {
	var size int64
	for _, shard := range s.list() {
		state := shard.load()
		index, err := e.firstBatch(ctx, shard, func(t trailer) bool { return !t.arrived.Before(cut) })
		if err != nil {
			return 0, err
		}
		before, err := e.totalBefore(shard, index)
		if err != nil {
			return 0, err
		}
		size += int64(state.bytes - min(before, state.bytes))
	}
	return size, nil
}

// totalBefore returns the sum of keys and payloads of the shard below index, which begins a batch.
func (e *Engine) totalBefore(s *shardState, index uint64) (uint64, error) {
	state := s.load()
	if index <= state.floor {
		return state.removed, nil
	}
	if index >= state.durable {
		return state.bytes, nil
	}
	e.using.RLock()
	defer e.using.RUnlock()
	if e.closing() {
		return 0, errClosed
	}
	t, err := e.trailerAt(s, index-1, index) // readable: firstBatch went by it
	if err == nil && t.key.count == 0 {
		err = errMissing
	}
	return t.total, err
}

// trim removes records of shards of one stream in one commit.
func (e *Engine) trim(ctx context.Context, s *streamState, trims []trim) error {
	var changes []func(*frame)
	for _, t := range trims {
		state := t.shard.load()
		if t.index <= state.floor {
			continue
		}
		total, err := e.totalBefore(t.shard, t.index)
		if err != nil {
			return fmt.Errorf("trim stream %q %s: %w", s.name, t.shard.id, err)
		}
		changes = append(changes, func(f *frame) { f.trim(t, state.floor, max(total, state.removed)) })
	}
	if len(changes) == 0 {
		return nil
	}
	return e.admin(ctx, fmt.Sprintf("trim stream %q", s.name), func(f *frame) error {
		if trims[0].shard.load().gone {
			return stream.ErrNoStream
		}
		for _, change := range changes {
			change(f)
		}
		return nil
	})
}

func (f *frame) trim(t trim, floor, removed uint64) {
	s := t.shard
	meta := s.meta()
	meta.Floor, meta.Removed = t.index, removed
	f.putShardMeta(s, meta)
	_ = f.batch.DeleteRange(recordBound(s.stream.id, s.id, floor), recordBound(s.stream.id, s.id, t.index), nil)
	f.first = append(f.first, func() {
		s.update(func(s *shardState) { s.floor, s.removed = meta.Floor, meta.Removed })
	})
}

// emptyFor is how long a closed shard that holds nothing is kept where retention has no age: for readers that are to find its end.
const emptyFor = 24 * time.Hour

// dropShards forgets shards that closed too long ago and hold nothing any more.
func (e *Engine) dropShards(ctx context.Context, s *streamState, keep stream.Retention) error {
	if keep == (stream.Retention{}) || !e.clock.even() {
		return nil
	}
	cut := e.now().Add(-cmp.Or(keep.Age, emptyFor))
	var errs []error
	for _, shard := range s.list() {
		if state := shard.load(); !state.closed.IsZero() && state.closed.Before(cut) && state.floor >= state.durable {
			errs = append(errs, e.dropShard(ctx, shard))
		}
	}
	return errors.Join(errs...)
}

// dropShard forgets a closed shard that holds nothing any more.
func (e *Engine) dropShard(ctx context.Context, s *shardState) error {
	return e.admin(ctx, fmt.Sprintf("drop %s of stream %q", s.id, s.stream.name), func(f *frame) error {
		if s.load().gone {
			return stream.ErrNoStream
		}
		var rest []*shardState
		for _, other := range s.stream.list() {
			if other != s {
				rest = append(rest, other)
			}
		}
		f.removeShard(s)
		f.then = append(f.then, func() {
			if err := s.stream.setShards(rest); err != nil {
				f.e.fail(err) // only closed shards are dropped: a bug
			}
		})
		return nil
	})
}

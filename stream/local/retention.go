package local

import (
	"context"
	"fmt"
	"time"

	"github.com/leatstream/leat/stream"
)

// retain removes what the retention of every stream gives up.
func (e *Engine) retain(ctx context.Context) error {
	for _, s := range e.catalog.all() {
		keep := s.retention()
		if err := e.retainAge(ctx, s, keep.Age); err != nil {
			return err
		}
		if err := e.retainBytes(ctx, s, keep.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// retainAge removes what arrived too long ago, and shards that closed too long ago. While the clock cannot be trusted
// it removes nothing: a jump must not cost a record.
func (e *Engine) retainAge(ctx context.Context, s *streamState, age time.Duration) error {
	if age <= 0 || !e.clock.even() {
		return nil
	}
	cut := e.now().Add(-age)
	for _, shard := range s.list() {
		if err := e.trimBefore(ctx, shard, cut); err != nil {
			return err
		}
		state := shard.load()
		if !state.closed.IsZero() && state.closed.Before(cut) && state.floor >= state.durable {
			if err := e.dropShard(ctx, shard); err != nil {
				return err
			}
		}
	}
	return nil
}

// retainBytes removes the oldest records of the stream until the rest fits. The cut is a time, found by halving, so that
// the shards of a stream keep the same stretch of it.
func (e *Engine) retainBytes(ctx context.Context, s *streamState, limit int64) error {
	if limit <= 0 || s.describe().Bytes <= limit {
		return nil
	}
	low, high := s.created.UnixMilli(), int64(0)
	for _, shard := range s.list() {
		high = max(high, shard.load().tip.UnixMilli()+1)
	}
	for low < high { // the earliest cut that leaves no more than the limit
		middle := low + (high-low)/2
		size, err := e.bytesFrom(ctx, s, time.UnixMilli(middle))
		if err != nil {
			return err
		}
		if size <= limit {
			high = middle
		} else {
			low = middle + 1
		}
	}
	for _, shard := range s.list() {
		if err := e.trimBefore(ctx, shard, time.UnixMilli(low)); err != nil {
			return err
		}
	}
	return nil
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

// trimBefore removes the batches of a shard that arrived before cut.
func (e *Engine) trimBefore(ctx context.Context, s *shardState, cut time.Time) error {
	state := s.load()
	if state.floor >= state.durable {
		return nil
	}
	index, err := e.firstBatch(ctx, s, func(t trailer) bool { return !t.arrived.Before(cut) })
	if err != nil || index <= state.floor {
		return err
	}
	total, err := e.totalBefore(s, index)
	if err != nil {
		return err
	}
	return e.admin(ctx, fmt.Sprintf("trim stream %q %s", s.stream.name, s.id), func(f *frame) error {
		if s.load().gone {
			return stream.ErrNoStream
		}
		meta := s.meta()
		meta.Floor, meta.Removed = index, max(total, meta.Removed)
		f.putShardMeta(s, meta)
		_ = f.batch.DeleteRange(recordBound(s.stream.id, s.id, state.floor), recordBound(s.stream.id, s.id, index), nil)
		f.first = append(f.first, func() {
			s.update(func(s *shardState) { s.floor, s.removed = meta.Floor, meta.Removed })
		})
		return nil
	})
}

// dropShard forgets a closed shard that holds nothing any more.
func (e *Engine) dropShard(ctx context.Context, s *shardState) error {
	return e.admin(ctx, fmt.Sprintf("drop %s of stream %q", s.id, s.stream.name), func(f *frame) error {
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

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Read implements stream.Engine.
func (e *Engine) Read(ctx context.Context, name string, id leat.ShardID, from stream.Position) (stream.Reader, error) {
	s, err := e.catalog.stream(name)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	shard, err := s.shard(id)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	r := &reader{e: e, shard: shard}
	if err := r.seek(ctx, from); err != nil {
		return nil, fmt.Errorf("read stream %q %s %s: %w", name, id, from, err)
	}
	return r, nil
}

// reader implements stream.Reader. It holds a position, not an open iterator: what it reads next is
// judged by what is durable then.
type reader struct {
	e     *Engine
	shard *shardState
	next  uint64      // index of the next record
	rest  storedBatch // what is left of the batch read last; good while it continues at next

	failed int // reads that the disk has failed
}

// seek turns a position into an index. Only After may lie before what is kept: its reader is to
// be told what it misses.
func (r *reader) seek(ctx context.Context, p stream.Position) error {
	state := r.shard.load()
	switch p.Kind {
	case stream.FromLatest:
		r.next = state.durable
	case stream.FromAt, stream.FromAfter:
		return r.seekSequence(p, state)
	case stream.FromTime:
		from := p.Time.Truncate(time.Millisecond) // as arrivals are
		index, err := r.e.firstBatch(ctx, r.shard, func(t trailer) bool { return !t.arrived.Before(from) })
		r.next = index
		return err
	case stream.FromOldest:
		r.next = state.floor
	}
	return nil
}

// seekSequence takes the index out of a number. A number of a shard that was here before, under a stream of the same
// name, is older than everything that is here now.
func (r *reader) seekSequence(p stream.Position, state durableState) error {
	created := r.shard.created.Unix()
	switch {
	case p.Sequence.IsZero():
		r.next = state.floor
	case p.Sequence.Shard() != r.shard.id:
		return fmt.Errorf("%w: the sequence number is one of %s", stream.ErrInvalid, p.Sequence.Shard())
	case p.Sequence.Created().Unix() < created:
		r.next = state.floor
	case p.Sequence.Created().Unix() > created:
		return fmt.Errorf("%w: the sequence number is one of a younger shard", stream.ErrInvalid)
	case state.closed.IsZero() && p.Sequence.Index() >= state.durable:
		return fmt.Errorf("%w: the shard has not reached it; was the data directory put back to an older state?", stream.ErrInvalid)
	case p.Kind == stream.FromAfter:
		r.next = p.Sequence.Index() + 1
	default:
		r.next = max(p.Sequence.Index(), state.floor)
	}
	return nil
}

// Next implements stream.Reader.
func (r *reader) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	limit = limit.WithDefaults()
	for {
		if err := r.usable(ctx); err != nil {
			return leat.Batch{}, err
		}
		batch, err := r.read(limit)
		if err != nil || len(batch.Records) > 0 || limit.NoWait {
			return batch, err
		}
		r.wait(ctx)
	}
}

// wait returns at the next change of the shard, or when the reader may no longer be usable.
func (r *reader) wait(ctx context.Context) {
	changed := r.shard.waitBeyond(r.next)
	if changed == nil {
		return
	}
	select {
	case <-changed:
	case <-ctx.Done():
	case <-r.e.stop:
	case <-r.e.failure.done:
	}
}

// usable returns the error of a reader that has nothing more to say.
func (r *reader) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-r.e.stop:
		return errClosed
	default:
	}
	if err := r.e.failure.err(); err != nil {
		return err
	}
	if r.shard.load().gone {
		return r.gone()
	}
	return nil
}

func (r *reader) gone() error {
	return fmt.Errorf("stream %q: %w", r.shard.stream.name, stream.ErrNoStream)
}

// Close implements stream.Reader.
func (r *reader) Close() error { return nil }

// read returns what is durable and fits, or an empty batch.
func (r *reader) read(limit stream.Limit) (leat.Batch, error) {
	batch := leat.Batch{Stream: r.shard.stream.name, Shard: r.shard.id}
	state := r.shard.load()
	if r.e.opts.test.guards.noDurablePosition {
		state.durable = math.MaxUint64
	}
	if r.next < state.floor {
		return batch, r.expired(state.floor)
	}
	if gap := r.hole(); gap != nil {
		return batch, gap
	}
	if r.next >= state.durable {
		if !state.closed.IsZero() {
			return batch, io.EOF
		}
		return batch, nil
	}
	err := r.collect(&batch, limit, state.durable)
	if n := len(batch.Records); n > 0 {
		if r.next < state.durable {
			batch.Behind = max(1, r.e.now().Sub(batch.Records[n-1].Arrived))
		}
		return batch, nil // an error behind the records comes again at the next call
	}
	return batch, r.damaged(err, state.durable)
}

// expired passes over what retention has removed.
func (r *reader) expired(floor uint64) error {
	gap := r.gap(floor, stream.GapExpired, nil)
	r.next = floor
	return gap
}

// hole passes over the run of lost records at the position, if one is written down there.
func (r *reader) hole() error {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	for _, h := range slices.Concat(r.shard.holes, r.shard.found) {
		if h.from <= r.next && r.next < h.to {
			gap := r.gap(h.to, stream.GapDamaged, errors.New(h.reason))
			r.next = h.to
			return gap
		}
	}
	return nil
}

// gap describes what is missing from the position up to index to.
func (r *reader) gap(to uint64, reason stream.GapReason, cause error) *stream.GapError {
	return &stream.GapError{
		Stream: r.shard.stream.name, Shard: r.shard.id, Reason: reason, Cause: cause,
		From: r.shard.lowest(r.next), To: r.shard.lowest(to - 1), Count: int64(to - r.next),
	}
}

// collect appends records up to index end and the limit. Where it meets an error it may have
// appended some before.
func (r *reader) collect(batch *leat.Batch, limit stream.Limit, end uint64) error {
	bytes := 0
	if r.rest.next != r.next {
		r.rest = storedBatch{}
	}
	r.makeRoom(batch, limit, end)
	if done, err := r.drain(batch, limit, &bytes); done || err != nil || r.next >= end {
		return err
	}
	r.e.using.RLock()
	defer r.e.using.RUnlock()
	if r.e.closing() {
		return errClosed
	}
	it, err := r.e.records(r.shard, end)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := seekIndex(it, r.shard, r.next); ok; ok = it.Next() {
		rest, err := load(it, r.next)
		if err == nil && rest.next > r.next {
			err = fmt.Errorf("%w: there is nothing before %s", errMissing, r.shard.lowest(rest.next))
		}
		if err != nil {
			return err
		}
		r.rest = rest
		r.makeRoom(batch, limit, end)
		if done, err := r.drain(batch, limit, &bytes); done || err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil || r.next >= end || len(batch.Records) > 0 {
		return err
	}
	return errMissing
}

// load returns the batch under the iterator from index next on.
func load(it *pebble.Iterator, next uint64) (storedBatch, error) {
	k, err := parseRecordKey(it.Key())
	if err != nil {
		return storedBatch{}, err
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return storedBatch{}, err
	}
	b, err := openBatch(k, value)
	if err != nil {
		return storedBatch{}, err
	}
	return b, b.skip(next)
}

// makeRoom makes the records of an empty batch as many as will fit if they are as large as those at hand: growing them step by step
// costs more than reading them.
func (r *reader) makeRoom(batch *leat.Batch, limit stream.Limit, end uint64) {
	left := r.rest.left()
	if cap(batch.Records) > 0 || left <= 0 {
		return
	}
	fit := limit.Bytes/(len(r.rest.records)/left+1) + 1
	batch.Records = make([]leat.Record, 0, min(uint64(min(fit, limit.Records)), end-r.next))
}

// drain moves records from the batch at hand and reports whether the limit is reached.
func (r *reader) drain(batch *leat.Batch, limit stream.Limit, bytes *int) (done bool, err error) {
	for r.rest.left() > 0 {
		if len(batch.Records) >= limit.Records || *bytes >= limit.Bytes {
			return true, nil
		}
		before := r.rest
		batch.Records = append(batch.Records, leat.Record{})
		record := &batch.Records[len(batch.Records)-1]
		index := r.rest.next
		if err := r.rest.decode(record); err != nil {
			batch.Records = batch.Records[:len(batch.Records)-1]
			return true, err
		}
		if *bytes += record.Size(); *bytes > limit.Bytes && len(batch.Records) > 1 {
			batch.Records = batch.Records[:len(batch.Records)-1]
			r.rest = before
			return true, nil
		}
		record.Sequence = r.shard.sequence(index, record.Arrived)
		r.next = r.rest.next
	}
	return len(batch.Records) >= limit.Records, nil
}

// records returns an iterator over the stored batches of a shard below index end.
func (e *Engine) records(s *shardState, end uint64) (*pebble.Iterator, error) {
	return e.db.NewIter(&pebble.IterOptions{
		LowerBound: recordBound(s.stream.id, s.id, 0),
		UpperBound: recordBound(s.stream.id, s.id, end),
	})
}

// seekIndex positions it at the batch that holds the index, or else at the first one behind it.
func seekIndex(it *pebble.Iterator, s *shardState, index uint64) bool {
	if it.SeekLT(recordBound(s.stream.id, s.id, index+1)) {
		if k, err := parseRecordKey(it.Key()); err == nil && k.end() > index {
			return true
		}
		return it.Next()
	}
	if it.Error() != nil {
		return false
	}
	return it.First()
}

func (e *Engine) closing() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

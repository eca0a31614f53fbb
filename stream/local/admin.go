package local

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// streamMeta and shardMeta are the stored forms of streamState and shardState.
type streamMeta struct {
	Name    string        `json:"name"`
	Created int64         `json:"created"` // Unix milliseconds
	Age     time.Duration `json:"age_ns"`
	Bytes   int64         `json:"bytes"`
	Next    leat.ShardID  `json:"next_shard"`
}

type shardMeta struct {
	Parents []leat.ShardID   `json:"parents,omitempty"`
	Range   stream.HashRange `json:"range"`
	Created int64            `json:"created"`          // Unix milliseconds
	Closed  int64            `json:"closed,omitempty"` // Unix milliseconds
	Floor   uint64           `json:"floor"`
	Removed uint64           `json:"removed"`
}

const maxShards = 10_000

// Streams implements stream.Admin.
func (e *Engine) Streams(context.Context) ([]stream.Info, error) {
	var list []stream.Info
	for _, s := range e.catalog.all() {
		list = append(list, s.describe())
	}
	return list, nil
}

// Shards implements stream.Engine.
func (e *Engine) Shards(_ context.Context, name string) ([]stream.Shard, error) {
	s, err := e.catalog.stream(name)
	if err != nil {
		return nil, fmt.Errorf("list shards: %w", err)
	}
	return s.describe().Shards, nil
}

// Shard implements stream.Finder.
func (e *Engine) Shard(_ context.Context, name string, id leat.ShardID) (stream.Shard, error) {
	s, err := e.catalog.stream(name)
	if err != nil {
		return stream.Shard{}, fmt.Errorf("find shard: %w", err)
	}
	shard, err := s.shard(id)
	if err != nil {
		return stream.Shard{}, fmt.Errorf("find shard: %w", err)
	}
	return shard.describe(), nil
}

// admin runs a change through the committer, alone in its frame.
func (e *Engine) admin(ctx context.Context, what string, change func(*frame) error) error {
	err := ctx.Err()
	if err == nil {
		err = e.ready()
	}
	if err == nil {
		err = e.submit(&request{done: make(chan error, 1), change: change})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Create implements stream.Admin.
func (e *Engine) Create(ctx context.Context, spec stream.Spec) error {
	if spec.Shards == 0 {
		spec.Shards = 1
	}
	if err := stream.CheckQualified(spec.Name); err != nil {
		return fmt.Errorf("create stream: %w", err)
	}
	if spec.Shards < 0 || spec.Shards > maxShards {
		return fmt.Errorf("create stream %q with %d shards: %w: want 1 to %d", spec.Name, spec.Shards, stream.ErrInvalid, maxShards)
	}
	if err := checkRetention(spec.Keep); err != nil {
		return fmt.Errorf("create stream %q: %w", spec.Name, err)
	}
	return e.admin(ctx, fmt.Sprintf("create stream %q", spec.Name), func(f *frame) error { return f.create(spec) })
}

func (f *frame) create(spec stream.Spec) error {
	if _, err := f.e.catalog.stream(spec.Name); err == nil {
		return stream.ErrExists
	}
	created, err := f.birth(spec.Name)
	if err != nil {
		return err
	}
	s := &streamState{
		id: f.e.catalog.nextID, name: spec.Name, created: created, keep: spec.Keep, nextShard: leat.ShardID(spec.Shards),
	}
	shards := make([]*shardState, spec.Shards)
	for i, hashes := range stream.EvenRanges(spec.Shards) {
		shards[i] = newShard(s, leat.ShardID(i), hashes, created)
		f.putShard(shards[i])
	}
	if err := s.setShards(shards); err != nil {
		return err
	}
	f.putStream(s, s.meta())
	f.put(keyNextStream, binary.BigEndian.AppendUint32(nil, s.id+1))
	f.then = append(f.then, func() {
		f.e.catalog.mu.Lock()
		defer f.e.catalog.mu.Unlock()
		f.e.catalog.byName[s.name] = s
		f.e.catalog.nextID = s.id + 1
	})
	return nil
}

// birth returns the creation time for a stream: later, in whole seconds, than that of any shard of a
// deleted stream with the name, so that sequence numbers of the two never meet.
func (f *frame) birth(name string) (time.Time, error) {
	now := f.e.now().Truncate(time.Millisecond)
	err := f.e.scan(spaceKey2("cx", name), func(key, value []byte) error {
		if string(key[2:]) == name && len(value) == 8 {
			now = latest(now, time.Unix(int64(binary.BigEndian.Uint64(value))+1, 0))
		}
		return nil
	})
	return now, err
}

func spaceKey2(space, key string) []byte { return append([]byte(space), key...) }

func newShard(s *streamState, id leat.ShardID, hashes stream.HashRange, created time.Time) *shardState {
	shard := &shardState{stream: s, id: id, hashes: hashes, created: created, arrived: created, tip: created, next: 1, durable: 1, floor: 1}
	shard.setEnd()
	return shard
}

// Delete implements stream.Admin.
func (e *Engine) Delete(ctx context.Context, name string) error {
	return e.admin(ctx, fmt.Sprintf("delete stream %q", name), func(f *frame) error { return f.delete(name) })
}

func (f *frame) delete(name string) error {
	s, err := f.e.catalog.stream(name)
	if err != nil {
		return err
	}
	youngest := s.created
	for _, shard := range s.list() {
		youngest = latest(youngest, shard.created)
	}
	all := streamPrefix(string(spaceRecords), s.id)
	_ = f.batch.DeleteRange(all, prefixEnd(all), nil)
	for _, shard := range s.list() {
		f.removeShard(shard)
	}
	f.remove(streamKey(s.id))
	f.put(spaceKey2("cx", name), binary.BigEndian.AppendUint64(nil, uint64(youngest.Unix())))
	f.then = append(f.then, func() {
		f.e.catalog.mu.Lock()
		defer f.e.catalog.mu.Unlock()
		delete(f.e.catalog.byName, name)
	})
	f.first = append(f.first, func() {
		for _, shard := range s.list() {
			shard.update(func(shard *shardState) { shard.gone = true })
		}
	})
	return nil
}

// Split implements stream.Admin.
func (e *Engine) Split(ctx context.Context, name string, id leat.ShardID, at leat.Hash) error {
	return e.admin(ctx, fmt.Sprintf("split %s of stream %q", id, name), func(f *frame) error {
		s, err := f.e.catalog.stream(name)
		if err != nil {
			return err
		}
		parent, err := s.openShard(id)
		if err != nil {
			return err
		}
		lower, upper, err := stream.SplitRange(parent.hashes, at)
		if err != nil {
			return err
		}
		return f.reshard(s, []*shardState{parent}, lower, upper)
	})
}

// Merge implements stream.Admin.
func (e *Engine) Merge(ctx context.Context, name string, a, b leat.ShardID) error {
	return e.admin(ctx, fmt.Sprintf("merge %s and %s of stream %q", a, b, name), func(f *frame) error {
		s, err := f.e.catalog.stream(name)
		if err != nil {
			return err
		}
		first, err := s.openShard(a)
		if err != nil {
			return err
		}
		second, err := s.openShard(b)
		if err != nil {
			return err
		}
		joined, err := stream.JoinRanges(first.hashes, second.hashes)
		if err != nil {
			return err
		}
		return f.reshard(s, []*shardState{first, second}, joined)
	})
}

func (s *streamState) openShard(id leat.ShardID) (*shardState, error) {
	shard, err := s.shard(id)
	if err == nil && !shard.load().closed.IsZero() {
		err = fmt.Errorf("%w: %s is closed", stream.ErrInvalid, id)
	}
	return shard, err
}

// reshard closes the parents and opens a child for each range.
func (f *frame) reshard(s *streamState, parents []*shardState, ranges ...stream.HashRange) error {
	shards := s.list()
	open, _ := s.routing()
	if open.Len()-len(parents)+len(ranges) > maxShards {
		return fmt.Errorf("%w: a stream has at most %d open shards", stream.ErrInvalid, maxShards)
	}
	closed := f.e.now().Truncate(time.Millisecond)
	ids := make([]leat.ShardID, len(parents))
	for i, p := range parents {
		closed = latest(closed, p.arrived, p.created)
		ids[i] = p.id
	}
	meta := s.meta()
	next := meta.Next
	meta.Next += leat.ShardID(len(ranges))
	f.putStream(s, meta)
	for i, hashes := range ranges { // AWS opens the children one second after the parents' end
		child := newShard(s, next+leat.ShardID(i), hashes, closed.Add(time.Second))
		child.parents = ids
		shards = append(shards, child)
		f.putShard(child)
	}
	for _, p := range parents {
		meta := p.meta()
		meta.Closed = closed.UnixMilli()
		f.putShardMeta(p, meta)
	}
	f.then = append(f.then, func() {
		s.setNextShard(meta.Next)
		f.e.showReshard(s, shards, parents, closed)
	})
	return nil
}

// showReshard makes a durable reshard visible: the parents' end first, so that whoever sees a child sees that its parents take no more.
func (e *Engine) showReshard(s *streamState, shards, parents []*shardState, closed time.Time) {
	for _, p := range parents {
		p.update(func(p *shardState) { p.closed = closed })
	}
	if err := s.setShards(shards); err != nil {
		e.fail(err) // the ranges were checked: a bug
	}
}

// SetRetention implements stream.Admin.
func (e *Engine) SetRetention(ctx context.Context, name string, keep stream.Retention) error {
	if err := checkRetention(keep); err != nil {
		return fmt.Errorf("set retention of stream %q: %w", name, err)
	}
	return e.admin(ctx, fmt.Sprintf("set retention of stream %q", name), func(f *frame) error {
		s, err := f.e.catalog.stream(name)
		if err != nil {
			return err
		}
		meta := s.meta()
		meta.Age, meta.Bytes = keep.Age, keep.Bytes
		f.putStream(s, meta)
		f.then = append(f.then, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.keep = keep
		})
		return nil
	})
}

func checkRetention(keep stream.Retention) error {
	if keep.Age < 0 || keep.Bytes < 0 {
		return fmt.Errorf("%w: retention of %v and %d bytes is negative", stream.ErrInvalid, keep.Age, keep.Bytes)
	}
	return nil
}

func (f *frame) putStream(s *streamState, meta streamMeta) { f.putJSON(streamKey(s.id), meta) }

func (s *streamState) meta() streamMeta {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return streamMeta{Name: s.name, Created: s.created.UnixMilli(), Age: s.keep.Age, Bytes: s.keep.Bytes, Next: s.nextShard}
}

func (s *streamState) setNextShard(next leat.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextShard = next
}

// putShard stores a new shard.
func (f *frame) putShard(s *shardState) {
	f.born += s.end
	f.putShardMeta(s, s.meta())
}

func (f *frame) putShardMeta(s *shardState, meta shardMeta) {
	f.putJSON(shardKey(s.stream.id, s.id), meta)
}

// removeShard removes what is stored of a shard beside its batches.
func (f *frame) removeShard(s *shardState) {
	f.born -= s.end
	f.remove(shardKey(s.stream.id, s.id))
	for _, h := range s.holes {
		f.remove(holeKey(s.stream.id, s.id, h.from))
	}
}

func (f *frame) putJSON(key []byte, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain structs
	}
	f.put(key, text)
}

func (s *shardState) meta() shardMeta {
	state := s.load()
	meta := shardMeta{
		Parents: slices.Clone(s.parents), Range: s.hashes, Created: s.created.UnixMilli(),
		Floor: state.floor, Removed: state.removed,
	}
	if !state.closed.IsZero() {
		meta.Closed = state.closed.UnixMilli()
	}
	return meta
}

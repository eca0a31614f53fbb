package local

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// catalog is what the engine knows of its streams. The committer alone changes it, and only
// after the change is durable; everyone may read.
type catalog struct {
	mu     sync.RWMutex
	byName map[string]*streamState
	nextID uint32 // committer only
}

// streamState is one stream. id, name and created never change.
type streamState struct {
	id      uint32
	name    string
	created time.Time

	mu        sync.RWMutex
	keep      stream.Retention
	nextShard leat.ShardID
	shards    []*shardState // rising by id; gone ones are removed
	router    *stream.Router
	slots     []*shardState // the shard of each slot of router
}

// shardState is one shard. Fields above mu never change.
type shardState struct {
	stream  *streamState
	id      leat.ShardID
	parents []leat.ShardID
	hashes  stream.HashRange
	created time.Time

	// next is the index of the next record, arrived and total those of the last batch. They run ahead of what is
	// durable; the committer owns them.
	next    uint64
	arrived time.Time
	total   uint64
	end     uint64 // the hash of next and total in the sum of ends

	seen seen // of retention

	mu      sync.Mutex
	durable uint64 // records below this index are durable: no reader goes further
	tip     time.Time
	bytes   uint64 // total at durable
	floor   uint64 // records below this index are removed
	removed uint64 // total at floor
	closed  time.Time
	gone    bool // deleted with its stream
	holes   []hole
	found   []hole        // damage that a reader has met
	changed chan struct{} // closed at the next change; nil if nobody waits
}

// hole is a run of records that were lost; it is written down at repair.
type hole struct {
	from, to uint64 // to is the first index behind it
	reason   string
}

// durableState is a consistent copy of what readers need.
type durableState struct {
	durable, floor uint64
	removed, bytes uint64
	tip, closed    time.Time
	gone           bool
}

func (s *shardState) load() durableState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked()
}

func (s *shardState) locked() durableState {
	return durableState{s.durable, s.floor, s.removed, s.bytes, s.tip, s.closed, s.gone}
}

// waitBeyond returns a channel that is closed at the next change, or nil if something already lies
// beyond index: a record, the end of the shard, or its removal.
func (s *shardState) waitBeyond(index uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.durable > index || !s.closed.IsZero() || s.gone {
		return nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// update changes what readers see and wakes those that wait.
func (s *shardState) update(change func(s *shardState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// publish lets readers go up to the end.
func (end *extent) publish() {
	end.shard.update(func(s *shardState) { s.durable, s.tip, s.bytes = end.next, end.arrived, end.total })
}

func (s *shardState) sequence(index uint64, arrived time.Time) leat.SequenceNumber {
	return leat.NewSequence(s.id, s.created, index, arrived)
}

// lowest is the smallest sequence number with the index, whenever the record arrived.
func (s *shardState) lowest(index uint64) leat.SequenceNumber {
	return s.sequence(index, time.Unix(0, 0))
}

func (s *shardState) describe() stream.Shard {
	state := s.load()
	d := stream.Shard{
		ID: s.id, Parents: slices.Clone(s.parents), Range: s.hashes, Created: s.created,
		First: s.sequence(0, s.created), Closed: state.closed,
	}
	d.Tip = s.sequence(state.durable-1, state.tip)
	if !state.closed.IsZero() {
		d.Last = s.sequence(1<<63-1, state.closed)
	}
	return d
}

func (c *catalog) stream(name string) (*streamState, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if s := c.byName[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("stream %q: %w", name, stream.ErrNoStream)
}

// all returns the streams in order of name.
func (c *catalog) all() []*streamState {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*streamState, 0, len(c.byName))
	for _, s := range c.byName {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *streamState) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

func (s *streamState) list() []*shardState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.shards)
}

func (s *streamState) shard(id leat.ShardID) (*shardState, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, shard := range s.shards {
		if shard.id == id {
			return shard, nil
		}
	}
	return nil, fmt.Errorf("stream %q: %s: %w", s.name, id, stream.ErrNoShard)
}

func (s *streamState) routing() (*stream.Router, []*shardState) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.router, s.slots
}

func (s *streamState) retention() stream.Retention {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keep
}

// setShards replaces the shards and the routing that follows from them.
func (s *streamState) setShards(shards []*shardState) error {
	described := make([]stream.Shard, len(shards))
	byID := map[leat.ShardID]*shardState{}
	for i, shard := range shards {
		described[i] = shard.describe()
		byID[shard.id] = shard
	}
	router, err := stream.NewRouter(described)
	if err != nil {
		return fmt.Errorf("stream %q: %w", s.name, err)
	}
	slots := make([]*shardState, router.Len())
	for i := range slots {
		slots[i] = byID[router.Shard(i)]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards, s.router, s.slots = shards, router, slots
	return nil
}

// describe returns the public description.
func (s *streamState) describe() stream.Info {
	info := stream.Info{Name: s.name, Created: s.created, Keep: s.retention()}
	for _, shard := range s.list() {
		state := shard.load()
		info.Shards = append(info.Shards, shard.describe())
		info.Records += int64(state.durable - state.floor)
		info.Bytes += int64(state.bytes - state.removed)
	}
	return info
}

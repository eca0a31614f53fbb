package kinesisapi

import (
	"errors"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// shards returns the shards of a stream that are not expired, in order. During CREATING there are none.
func (c *call) shards(v *streamView) ([]stream.Shard, error) {
	if v.meta.status(c.now) == statusCreating {
		return nil, nil
	}
	shards, err := c.s.cfg.Engine.Shards(c.ctx(), v.full)
	if err != nil {
		return nil, err
	}
	horizon := v.horizon(c.now)
	return slices.DeleteFunc(shards, func(s stream.Shard) bool { return expired(&s, horizon) }), nil
}

// shard returns a shard that is not expired, or a ResourceNotFoundException. During CREATING there is none.
func (c *call) shard(v *streamView, id leat.ShardID) (*stream.Shard, error) {
	if v.meta.status(c.now) == statusCreating {
		return nil, c.asNoShard(nil, id)
	}
	shard, err := stream.Find(c.ctx(), c.s.cfg.Engine, v.full, id)
	switch horizon := v.horizon(c.now); {
	case errors.Is(err, stream.ErrNoShard), err == nil && expired(&shard, horizon):
		return nil, c.asNoShard(nil, id)
	case err != nil:
		return nil, err
	}
	return &shard, nil
}

// expired reports whether retention has passed a closed shard.
func expired(s *stream.Shard, horizon time.Time) bool {
	return !s.Open() && !horizon.Before(handedOver(s))
}

// handedOver is when the children of a closed shard open, which is later than its end. Until then the shard counts as open, and is kept:
// at no time may a part of the hash keys belong to no shard, or a consumer that begins there never reads it.
func handedOver(s *stream.Shard) time.Time { return s.Closed.Add(time.Second) }

// horizon is the time before which records and closed shards are expired, whether or not they are still on disk.
func (v *streamView) horizon(now time.Time) time.Time {
	if v.info.Keep.Age == 0 {
		return time.Time{}
	}
	return now.Add(-v.info.Keep.Age)
}

func shardOf(s *stream.Shard) value {
	out := object(field{"ShardId", textOf(s.ID.String())})
	if len(s.Parents) > 0 {
		out = out.with("ParentShardId", textOf(s.Parents[0].String()))
	}
	if len(s.Parents) > 1 {
		out = out.with("AdjacentParentShardId", textOf(s.Parents[1].String()))
	}
	numbers := object(field{"StartingSequenceNumber", textOf(s.First.String())})
	if !s.Open() {
		numbers = numbers.with("EndingSequenceNumber", textOf(s.Last.String()))
	}
	return out.with("HashKeyRange", rangeOf(s.Range)).with("SequenceNumberRange", numbers)
}

func rangeOf(r stream.HashRange) value {
	return object(field{"StartingHashKey", textOf(r.Start.String())}, field{"EndingHashKey", textOf(r.End.String())})
}

func shardsOf(shards []stream.Shard) value {
	list := make([]value, len(shards))
	for i := range shards {
		list[i] = shardOf(&shards[i])
	}
	return listOf(list)
}

// childrenOf lists the children of a shard as GetRecords and SubscribeToShard answer them at its end.
func childrenOf(shards []stream.Shard, parent leat.ShardID) value {
	var list []value
	for i := range shards {
		s := &shards[i]
		if !slices.Contains(s.Parents, parent) {
			continue
		}
		parents := make([]string, len(s.Parents))
		for j, id := range s.Parents {
			parents[j] = id.String()
		}
		list = append(list, object(field{"ShardId", textOf(s.ID.String())},
			field{"ParentShards", textsOf(parents)}, field{"HashKeyRange", rangeOf(s.Range)}))
	}
	return listOf(list)
}

// findShard returns the shard with the id, nil if there is none.
func findShard(shards []stream.Shard, id leat.ShardID) *stream.Shard {
	for i := range shards {
		if shards[i].ID == id {
			return &shards[i]
		}
	}
	return nil
}

func openShards(shards []stream.Shard) (n int) {
	for i := range shards {
		if shards[i].Open() {
			n++
		}
	}
	return n
}

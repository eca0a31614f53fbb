package kinesisapi

import (
	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// MergeShards
//
// AWS closes two open shards of adjacent ranges and opens one child, whose ParentShardId is the first and whose AdjacentParentShardId is
// the second. The range of the second must begin where that of the first ends. The stream must be provisioned and ACTIVE.
//
// Leat does the same, at once, as with SplitShard.

func (c *call) mergeShards() (value, error) {
	first, second := c.in.str("ShardToMerge"), c.in.str("AdjacentShardToMerge")
	err := c.reshard(func(v *streamView, shards []stream.Shard) error {
		a, err := c.openShard(shards, first)
		if err != nil {
			return err
		}
		b, err := c.openShard(shards, second)
		if err != nil {
			return err
		}
		if a.Range.End == leat.MaxHash || a.Range.End.Next() != b.Range.Start {
			return invalid("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
				a.ID, b.ID, c.name, c.account)
		}
		return c.s.cfg.Admin.Merge(c.steady(), v.full, a.ID, b.ID)
	}, first, second)
	return value{}, err
}

package kinesisapi

import (
	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// SplitShard
//
// AWS closes an open shard and opens two children, the second of which begins at NewStartingHashKey. The stream must be provisioned and
// ACTIVE; it is UPDATING and then ACTIVE. Puts and reads go on meanwhile.
//
// Leat does the same, at once: with Config.Delay the children are there while the stream is still UPDATING.
//
// Order of checks: shard id, stream, mode, state, shard, limit of shards, hash key.
//
// Differences: the text for a shard that is closed already is not known of AWS.

func (c *call) splitShard() (value, error) {
	text := c.in.str("ShardToSplit")
	err := c.reshard(func(v *streamView, shards []stream.Shard) error {
		shard, err := c.openShard(shards, text)
		if err != nil {
			return err
		}
		seen := c.s.catalog.view.Load()
		if err := c.room(seen, 1); err != nil {
			return err
		}
		at := c.in.str("NewStartingHashKey")
		hash, err := leat.ParseHash(at)
		if err != nil || hash.Compare(shard.Range.Start.Next()) <= 0 || hash.Compare(shard.Range.End) >= 0 ||
			shard.Range.Start == leat.MaxHash {
			return invalid("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus "+
				"the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				at, shard.ID, c.name, c.account, shard.Range.Start, shard.Range.End)
		}
		return c.s.cfg.Admin.Split(c.steady(), v.full, shard.ID, hash)
	}, text)
	return value{}, err
}

// reshard runs a change of shards in the order of checks of AWS. ids are the shards that the request names.
func (c *call) reshard(edit func(*streamView, []stream.Shard) error, ids ...string) error {
	if err := c.target(); err != nil {
		return err
	}
	for _, text := range ids {
		if _, err := leat.ParseShardID(text); err != nil {
			return c.noSuchShard(text)
		}
	}
	return c.change(func(v *streamView, m *meta) error {
		if m.mode() != provisioned {
			return validation("Stream %s under account %s is in on-demand mode, in which shards cannot be changed.", c.name, c.account)
		}
		if err := c.active(v); err != nil {
			return err
		}
		shards, err := c.shards(v)
		if err != nil {
			return err
		}
		if err := edit(v, shards); err != nil {
			return err
		}
		m.Status, m.Until = c.s.enter(statusUpdating, c.now)
		return nil
	})
}

// openShard returns the shard that a request names, which must be open.
func (c *call) openShard(shards []stream.Shard, text string) (*stream.Shard, error) {
	id, err := leat.ParseShardID(text)
	if err != nil {
		return nil, c.noSuchShard(text)
	}
	shard := findShard(shards, id)
	if shard == nil {
		return nil, c.noSuchShard(id.String())
	}
	if !shard.Open() {
		return nil, invalid("Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.",
			id, c.name, c.account)
	}
	return shard, nil
}

package kinesisapi

import (
	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// DescribeStream
//
// AWS describes a stream with its shards, closed ones too until they expire, at most 100 to a page. While the stream is CREATING there
// are none.
//
// Leat does the same. Retention is that of the engine: a stream that was made to keep records without limit reports 8,760 hours, the
// largest value of the API.

const (
	maxRetentionHours = 8760
	describePage      = 100
)

func (c *call) describeStream() (value, error) {
	v, shards, err := c.described()
	if err != nil {
		return value{}, err
	}
	page, more, err := c.shardPage(shards, c.in.str("ExclusiveStartShardId"), min(c.in.intOr("Limit", describePage), describePage))
	if err != nil {
		return value{}, err
	}
	out := c.description(v).with("Shards", shardsOf(page)).with("HasMoreShards", boolOf(more))
	return object(field{"StreamDescription", out}), nil
}

// described returns the stream of the request as it is now, with its shards.
func (c *call) described() (*streamView, []stream.Shard, error) {
	if err := c.target(); err != nil {
		return nil, nil, err
	}
	v, err := c.streamNow()
	if err != nil {
		return nil, nil, err
	}
	shards, err := c.shards(v)
	return v, shards, err
}

// description is what DescribeStream and DescribeStreamSummary have in common.
func (c *call) description(v *streamView) value {
	out := object(
		field{"StreamName", textOf(c.name)},
		field{"StreamARN", textOf(c.arn(c.name))},
		field{"StreamStatus", textOf(v.meta.status(c.now))},
		field{"StreamModeDetails", object(field{"StreamMode", textOf(v.meta.mode())})},
		field{"RetentionPeriodHours", numberOf(v.retentionHours())},
		field{"StreamCreationTimestamp", timeOf(v.created())},
		field{"EnhancedMonitoring", listOf([]value{object(field{"ShardLevelMetrics", textsOf(v.meta.Monitoring)})})},
		field{"EncryptionType", textOf(v.meta.encryption())},
	)
	if v.meta.encryption() != noKey {
		out = out.withText("KeyId", v.meta.KeyID)
	}
	return out
}

// retentionHours is the retention in the unit of the API, rounded up.
func (v *streamView) retentionHours() int {
	if v.info.Keep.Age == 0 {
		return maxRetentionHours
	}
	hours := int(v.info.Keep.Age.Hours())
	if v.info.Keep.Age > hoursOf(hours) {
		hours++
	}
	return hours
}

// shardPage returns up to limit shards behind the given id, and whether there are more.
func (c *call) shardPage(shards []stream.Shard, after string, limit int) (page []stream.Shard, more bool, err error) {
	if after != "" {
		id, err := leat.ParseShardID(after)
		if err != nil {
			return nil, false, c.noSuchShard(after)
		}
		for len(shards) > 0 && shards[0].ID <= id {
			shards = shards[1:]
		}
	}
	if len(shards) > limit {
		return shards[:limit], true, nil
	}
	return shards, false, nil
}

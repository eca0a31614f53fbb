package kinesisapi

import (
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// ListShards
//
// AWS lists shards that have not expired, at most 1,000 to a page, all or those that a ShardFilter chooses. A NextToken stands for stream,
// position and filter, excludes StreamName, StreamARN, ExclusiveStartShardId and StreamCreationTimestamp, and lives 300 seconds.
//
// Leat does the same.
//
// Differences: AT_TIMESTAMP before the creation of the stream is AT_TRIM_HORIZON. With a NextToken AWS is not known to look at ShardFilter; Leat ignores it, the token has its own.

// listing is what a NextToken of ListShards stands for.
type listing struct {
	Name    string
	Created int64  // of the stream, Unix milliseconds
	After   string // id of a shard
	Filter  string
	Shard   string // of the filter
	At      int64  // of the filter, Unix milliseconds
}

func (c *call) listShards() (value, error) {
	l, err := c.listing()
	if err != nil {
		return value{}, err
	}
	c.name = l.Name
	v, err := c.streamNow()
	if err != nil {
		return value{}, err
	}
	if l.Created != 0 && v.created()/1000 != l.Created/1000 {
		return value{}, c.noStream()
	}
	shards, err := c.shards(v)
	if err != nil {
		return value{}, err
	}
	if shards, err = c.filter(shards, &l, v); err != nil {
		return value{}, err
	}
	page, more, err := c.shardPage(shards, l.After, min(c.in.intOr("MaxResults", 1000), 1000))
	if err != nil {
		return value{}, err
	}
	out := object(field{"Shards", shardsOf(page)})
	if more {
		l.After, l.Created = page[len(page)-1].ID.String(), v.created()
		out = out.with("NextToken", textOf(c.sealList("shards", encodeListing(&l))))
	}
	return out, nil
}

// listing reads the request, or the token that it continues.
func (c *call) listing() (l listing, err error) {
	if token := c.in.str("NextToken"); token != "" {
		if c.in.has("StreamName") || c.in.has("StreamARN") {
			return l, invalid("NextToken and StreamName cannot be provided together.")
		}
		for _, other := range []string{"StreamCreationTimestamp", "ExclusiveStartShardId"} {
			if c.in.has(other) {
				return l, invalid("NextToken and %s cannot be provided together.", other)
			}
		}
		payload, err := c.openList(token, "shards")
		if err != nil {
			return l, err
		}
		return l, decodeListing(payload, &l)
	}
	if !c.in.has("StreamName") && !c.in.has("StreamARN") {
		return l, invalid("Either NextToken or StreamName should be provided.")
	}
	if err := c.target(); err != nil {
		return l, err
	}
	filter := c.in.get("ShardFilter")
	return listing{
		Name: c.name, Created: c.in.millis("StreamCreationTimestamp"), After: c.in.str("ExclusiveStartShardId"),
		Filter: filter.str("Type"), Shard: filter.str("ShardId"), At: filter.millis("Timestamp"),
	}, c.checkFilter(filter)
}

// checkFilter refuses a filter that lacks what it needs, or has what it cannot use.
func (c *call) checkFilter(filter *value) error {
	kind := filter.str("Type")
	byTime := kind == "AT_TIMESTAMP" || kind == "FROM_TIMESTAMP"
	switch {
	case byTime && !filter.has("Timestamp"):
		return invalid("Timestamp must be provided in ShardFilter of type %s.", kind)
	case !byTime && filter.has("Timestamp"):
		return invalid("Timestamp must not be provided in ShardFilter of type %s.", kind)
	case kind == "AFTER_SHARD_ID" && !filter.has("ShardId"):
		return invalid("ShardId must be provided in ShardFilter of type %s.", kind)
	case kind != "AFTER_SHARD_ID" && filter.has("ShardId"):
		return invalid("ShardId must not be provided in ShardFilter of type %s.", kind)
	case byTime && filter.millis("Timestamp") > c.now.UnixMilli():
		return invalid("Timestamp of ShardFilter must not lie in the future.")
	}
	return nil
}

// filter returns the shards that the filter chooses.
func (c *call) filter(shards []stream.Shard, l *listing, v *streamView) ([]stream.Shard, error) {
	horizon := v.horizon(c.now)
	if first := v.info.Created; horizon.Before(first) {
		horizon = first
	}
	at := time.UnixMilli(l.At)
	if at.Before(horizon) {
		at = horizon
	}
	keep := func(*stream.Shard) bool { return true }
	switch l.Filter {
	case "AT_TRIM_HORIZON":
		keep = func(s *stream.Shard) bool { return openAt(s, horizon) }
	case "AT_LATEST":
		keep = (*stream.Shard).Open
	case "AT_TIMESTAMP":
		keep = func(s *stream.Shard) bool { return openAt(s, at) }
	case "FROM_TIMESTAMP":
		keep = func(s *stream.Shard) bool { return s.Open() || !s.Closed.Before(at) }
	case "AFTER_SHARD_ID":
		id, err := leat.ParseShardID(l.Shard)
		if err != nil {
			return nil, c.noSuchShard(l.Shard)
		}
		keep = func(s *stream.Shard) bool { return s.ID > id }
	}
	return slices.DeleteFunc(shards, func(s stream.Shard) bool { return !keep(&s) }), nil
}

// openAt reports whether a shard was open at a time.
func openAt(s *stream.Shard, at time.Time) bool {
	return !s.Created.After(at) && (s.Open() || at.Before(handedOver(s)))
}

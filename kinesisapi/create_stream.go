package kinesisapi

import (
	"errors"
	"time"

	"github.com/leatstream/leat/stream"
)

// CreateStream
//
// AWS makes a stream with ShardCount shards of equal width, or, in on-demand mode, with 4. It returns at once; the stream is CREATING
// and then ACTIVE. New streams keep records for 24 hours, unencrypted, take records of up to 1,024 KiB and place them by partition key.
//
// Leat does the same. The stream and what was said of it are durable when the call returns. The mode is stored and decides which calls are
// allowed later; it scales nothing.
//
// Limits: Config.ShardLimit open shards in an account and region; 10,000 shards in a stream.
//
// Differences: no ShardCount and no StreamModeDetails is an on-demand stream; AUTO and warm throughput are refused for provisioned streams.
// The limit of 5 streams in CREATING holds only with Config.Throttle.

const (
	dayHours       = 24
	onDemandShards = 4
)

func (c *call) createStream() (value, error) {
	c.name = c.in.str("StreamName")
	spec, m, err := c.newStream()
	if err != nil {
		return value{}, err
	}
	s := c.s
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	if err := s.refresh(c.ctx()); err != nil {
		return value{}, err
	}
	seen := s.catalog.view.Load()
	if seen.streams[spec.Name] != nil {
		return value{}, inUse("Stream %s under account %s already exists.", c.name, c.account)
	}
	if err := c.room(seen, spec.Shards); err != nil {
		return value{}, err
	}
	if err := c.creating(seen); err != nil {
		return value{}, err
	}
	return value{}, s.create(c, spec, m)
}

// newStream reads the request.
func (c *call) newStream() (stream.Spec, meta, error) {
	m := meta{
		Mode: c.in.get("StreamModeDetails").str("StreamMode"), MaxRecord: c.in.int("MaxRecordSizeInKiB"),
		Strategy: c.in.str("RecordDistributionStrategy"),
	}
	spec := stream.Spec{Name: c.full(c.name), Shards: c.in.int("ShardCount"), Keep: stream.Retention{Age: dayHours * time.Hour}}
	if err := stream.CheckName(c.name); err != nil {
		return spec, m, invalid("StreamName %s is reserved.", c.name)
	}
	if m.Mode == "" && spec.Shards == 0 {
		m.Mode = onDemand
	}
	switch {
	case m.Mode == onDemand && spec.Shards > 0:
		return spec, m, validation("ShardCount must not be specified for on-demand streams.")
	case m.Mode == onDemand:
		spec.Shards = onDemandShards
	case spec.Shards == 0:
		return spec, m, validation("ShardCount must be specified for provisioned streams.")
	case m.Strategy == auto:
		return spec, m, invalid("RecordDistributionStrategy AUTO is supported for on-demand streams only.")
	case c.in.has("WarmThroughputMiBps"):
		return spec, m, validation("WarmThroughputMiBps is supported for on-demand streams only.")
	}
	if c.in.has("WarmThroughputMiBps") {
		warm := c.in.int("WarmThroughputMiBps")
		m.Warm = &warm
	}
	var err error
	m.Tags, err = c.addTags(nil, tagsOf(c.in.get("Tags")))
	m.Status, m.Until = c.s.enter(statusCreating, c.now)
	return spec, m, err
}

// create makes the stream. What is kept of it is written down before, so that a crash between the two leaves no stream of another kind
// than was asked for. mu is held.
func (s *Server) create(c *call, spec stream.Spec, m meta) error {
	m.NotBefore = c.now.Add(-time.Second).UnixMilli()
	ctx := c.steady()
	if err := s.save(ctx, spec.Name, m); err != nil {
		return err
	}
	if err := s.cfg.Admin.Create(ctx, spec); err != nil {
		delete(s.catalog.metas, spec.Name)
		return errors.Join(err, s.store(ctx, keyStream+spec.Name, nil))
	}
	return s.refresh(ctx)
}

// room refuses shards over the limit of the account.
func (c *call) room(seen *view, more int) error {
	open := 0
	for full, v := range seen.streams {
		if region, account, _ := c.s.place(full); region == c.region && account == c.account {
			open += openShards(v.info.Shards)
		}
	}
	if open+more <= c.s.cfg.ShardLimit {
		return nil
	}
	return limitExceeded("This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. "+
		"Limit: %d. Number of additional shards that would have resulted from this request: %d. Refer to the AWS Service Limits page "+
		"(http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.",
		c.account, c.region, open, c.s.cfg.ShardLimit, more)
}

// creating refuses a sixth stream in CREATING, as on AWS.
func (c *call) creating(seen *view) error {
	if !c.s.cfg.Throttle {
		return nil
	}
	n := 0
	for full, v := range seen.streams {
		region, account, _ := c.s.place(full)
		if region == c.region && account == c.account && v.meta.status(c.now) == statusCreating {
			n++
		}
	}
	if n >= 5 {
		return limitExceeded("At most 5 streams of account %s may be in state CREATING.", c.account)
	}
	return nil
}

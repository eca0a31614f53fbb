package kinesisapi

import (
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// The rates of a shard on AWS.
const (
	putRecordsRate = 1000
	putBytesRate   = 1 << 20
	readRate       = 5
	readBytesRate  = 2 << 20
	readPenalty    = 5 * time.Second // after an answer of 10 MiB
	fullAnswer     = 10 << 20
)

// throttle holds what is used up of the rates of shards, and of operations of an account. It is asked with Config.Throttle only.
type throttle struct {
	mu     sync.Mutex
	shards map[shardKey]*shardRates
	calls  map[string]*bucket // by operation, region, account and, where the limit is one of a stream, stream
	swept  time.Time
}

type shardKey struct {
	stream  string
	created int64
	shard   leat.ShardID
}

// shardRates are the buckets of one shard.
type shardRates struct {
	used                                        time.Time
	records, bytes, reads, readBytes, iterators bucket
	paused                                      time.Time // no reads until then
}

// bucket is a token bucket that holds one second of its rate. It may be overdrawn by one request, so that what is larger than a second's
// rate passes, too, and the next one waits the longer.
type bucket struct {
	full bool // it has been used
	left float64
	at   time.Time
}

// refill brings the bucket to a time.
func (b *bucket) refill(rate float64, now time.Time) {
	if !b.full {
		b.full, b.left, b.at = true, rate, now
		return
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left, b.at = min(rate, b.left+passed*rate), now
	}
}

// take takes one, and reports false, taking nothing, if there is not one.
func (b *bucket) take(rate float64, now time.Time) bool {
	b.refill(rate, now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// rates returns those of a shard. mu is held.
func (t *throttle) rates(v *streamView, id leat.ShardID, now time.Time) *shardRates {
	t.sweep(now)
	key := shardKey{v.full, v.created(), id}
	r := t.shards[key]
	if r == nil {
		r = &shardRates{}
		t.shards[key] = r
	}
	r.used = now
	return r
}

// sweep forgets what has not been used for a minute; by then every bucket is full again.
func (t *throttle) sweep(now time.Time) {
	if t.shards == nil {
		t.shards, t.calls, t.swept = map[shardKey]*shardRates{}, map[string]*bucket{}, now
	}
	if now.Sub(t.swept) < time.Minute {
		return
	}
	t.swept = now
	for key, r := range t.shards {
		if now.Sub(r.used) > time.Minute {
			delete(t.shards, key)
		}
	}
	for key, b := range t.calls {
		if now.Sub(b.at) > time.Minute {
			delete(t.calls, key)
		}
	}
}

// puts refuses the records of a put that are over the rates of their shards, one by one.
func (t *throttle) puts(p *puts) error {
	c := p.c
	shards, err := c.s.cfg.Engine.Shards(c.ctx(), p.stream.full)
	if err != nil {
		return err
	}
	router, err := stream.NewRouter(shards)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range c.scratch.events {
		e := &c.scratch.events[i]
		id := router.Shard(router.Slot(e))
		r := t.rates(p.stream, id, c.now)
		r.records.refill(putRecordsRate, c.now)
		r.bytes.refill(putBytesRate, c.now)
		if r.records.left < 1 || r.bytes.left < min(float64(e.Size()), putBytesRate) {
			p.refuse(i, refusal{
				"ProvisionedThroughputExceededException",
				"Rate exceeded for shard " + id.String() + " in stream " + c.name + " under account " + c.account + ".",
			})
			continue
		}
		r.records.left--
		r.bytes.left -= float64(e.Size())
	}
	return nil
}

func (c *call) rateExceeded(id leat.ShardID) error {
	return throttled("Rate exceeded for Shard - %s/%s/%s", c.account, c.name, id)
}

// iterator counts a GetShardIterator.
func (t *throttle) iterator(c *call, v *streamView, id leat.ShardID) error {
	if !c.s.cfg.Throttle {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.rates(v, id, c.now).iterators.take(readRate, c.now) {
		return c.rateExceeded(id)
	}
	return nil
}

// read counts a GetRecords before it reads.
func (t *throttle) read(c *call, v *streamView, id leat.ShardID) error {
	if !c.s.cfg.Throttle {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rates(v, id, c.now)
	r.readBytes.refill(readBytesRate, c.now)
	if c.now.Before(r.paused) || r.readBytes.left <= 0 || !r.reads.take(readRate, c.now) {
		return c.rateExceeded(id)
	}
	return nil
}

// answered counts what a GetRecords is about to answer: over 2 MiB/s reads pause until the debt is paid, after 10 MiB for five seconds.
func (t *throttle) answered(c *call, v *streamView, batch *leat.Batch) {
	if !c.s.cfg.Throttle {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r, size := t.rates(v, batch.Shard, c.now), batch.Size()
	r.readBytes.left -= float64(size)
	if size >= fullAnswer-fullAnswer/8 {
		r.paused = c.now.Add(readPenalty)
	}
}

// callRate is how often an operation may be called in a second, by an account or for a stream.
type callRate struct {
	perSecond float64
	stream    bool
}

// callRates are the limits of AWS on operations other than those of the data plane.
var callRates = map[string]callRate{
	"AddTagsToStream": {5, false}, "CreateStream": {5, false}, "DeleteStream": {5, false}, "DeregisterStreamConsumer": {5, true},
	"DescribeAccountSettings": {5, false}, "DescribeLimits": {1, false}, "DescribeStream": {10, false}, "DescribeStreamConsumer": {20, true},
	"DescribeStreamSummary": {20, false}, "ListShards": {1000, true}, "ListStreamConsumers": {5, true}, "ListStreams": {5, false},
	"ListTagsForStream": {5, false}, "MergeShards": {5, false}, "RegisterStreamConsumer": {5, false}, "RemoveTagsFromStream": {5, false},
	"SplitShard": {5, false}, "UpdateAccountSettings": {5, false}, "UpdateShardCount": {10, false}, "UpdateStreamWarmThroughput": {5, false},
	"TagResource": {5, false}, "UntagResource": {5, false}, "ListTagsForResource": {5, false},
	"EnableEnhancedMonitoring": {5, false}, "DisableEnhancedMonitoring": {5, false},
	"IncreaseStreamRetentionPeriod": {5, true}, "DecreaseStreamRetentionPeriod": {5, true},
	"StartStreamEncryption": {5, true}, "StopStreamEncryption": {5, true}, "UpdateStreamMode": {5, true},
	"CreateChannel": {5, false}, "UpdateChannel": {5, false}, "DeleteChannel": {5, false}, "DescribeChannel": {5, false}, "ListChannels": {5, false},
}

// call counts a call of an operation.
func (t *throttle) call(c *call) error {
	rate, limited := callRates[c.op.name]
	if !c.s.cfg.Throttle || !limited {
		return nil
	}
	key := c.op.name + "\n" + c.region + "\n" + c.account
	if rate.stream {
		key += "\n" + c.in.str("StreamName") + c.in.str("StreamARN")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(c.now)
	b := t.calls[key]
	if b == nil {
		b = &bucket{}
		t.calls[key] = b
	}
	if !b.take(rate.perSecond, c.now) {
		return limitExceeded("Rate exceeded for operation %s of account %s in %s.", c.op.name, c.account, c.region)
	}
	return nil
}

package kinesisapi

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/jsontext"
	"github.com/leatstream/leat/kinesisapi/iterator"
	"github.com/leatstream/leat/stream"
)

// GetRecords
//
// AWS answers records from a position on, up to Limit, 10,000 or 10 MiB, whichever is first, and a token for what follows. An empty
// list does not mean the end. NextShardIterator is missing in one answer only: that which reaches the end of a closed shard, and which
// carries ChildShards. MillisBehindLatest is 0 when the answer reaches the tip.
//
// Leat does the same and never answers a record that is not durable. Records older than the retention are not answered, on disk or not. Where
// records are gone (retention has passed the position, or the disk has lost them) it goes on behind them; Server.Gaps counts that.
//
// Limits: while 16 answers are on their way, further ones have 1 MiB at most. With Config.Throttle 5 calls and 2 MiB per second
// and shard, and a pause of 5 seconds after an answer of 10 MiB.
//
// Differences: MillisBehindLatest is the age of the last record if more wait; AWS publishes no formula.

func (c *call) getRecords() error {
	it, err := c.openIterator()
	if err != nil {
		return err
	}
	v, err := c.stream()
	if err == nil && !v.info.Created.Equal(it.Created) {
		v, err = c.streamNow()
	}
	if err != nil {
		return c.asNoShard(err, it.Shard)
	}
	if !v.info.Created.Equal(it.Created) {
		return c.asNoShard(nil, it.Shard)
	}
	if c.in.bool("DryRun") {
		return errDryRun
	}
	if err := c.s.throttle.read(c, v, it.Shard); err != nil {
		return err
	}
	g := getting{c: c, v: v, it: it, limit: stream.Limit{Records: c.in.intOr("Limit", 10_000), NoWait: true}}
	if !c.mayBeFull() {
		g.limit.Bytes = largeBody
	}
	if err := g.read(); err != nil {
		if errors.Is(err, stream.ErrNoStream) || errors.Is(err, stream.ErrNoShard) {
			return c.asNoShard(nil, it.Shard)
		}
		return err
	}
	c.s.throttle.answered(c, v, &g.batch)
	return g.answer()
}

// mayBeFull takes a place for a full answer, if one is free. Others are answered less, and nobody waits: a client that does not read keeps
// its answer in memory.
func (c *call) mayBeFull() bool {
	if c.turn != nil {
		return false
	}
	select {
	case c.s.full <- struct{}{}:
		c.turn = c.s.full
		return true
	default:
		return false
	}
}

// openIterator opens the token of the request and goes to the place that it names.
func (c *call) openIterator() (iterator.Iterator, error) {
	it, err := c.s.sealer.Load().Open(c.in.str("ShardIterator"), c.now)
	if expired := (*iterator.ExpiredError)(nil); errors.As(err, &expired) {
		return it, failure("ExpiredIteratorException", "%s", expired)
	}
	if err != nil {
		return it, invalid("Invalid ShardIterator.")
	}
	region, account, name := c.s.place(it.Stream)
	if arn := c.in.str("StreamARN"); arn != "" {
		if err := c.byARN(arn); err != nil {
			return it, err
		}
		if c.full(c.name) != it.Stream {
			return it, invalid("The ShardIterator is not one of stream %s.", arn)
		}
	}
	if c.s.cfg.Keys != nil && account != c.account {
		return it, failure("AccessDeniedException", "Account %s may not use this ShardIterator.", c.account)
	}
	c.region, c.account, c.name = region, account, name
	return it, nil
}

// getting is one read of a shard.
type getting struct {
	c     *call
	v     *streamView
	it    iterator.Iterator
	limit stream.Limit

	batch    leat.Batch
	ended    bool // the answer reaches the end of a closed shard
	children value
}

// read fills batch. It leads the reader on behind what is gone or expired.
func (g *getting) read() error {
	ctx := g.c.ctx()
	reader, err := g.c.read(g.v, g.it.Shard, g.it.From)
	if err != nil {
		return err
	}
	defer reader.Close()
	horizon := g.v.horizon(g.c.now)
	for {
		g.batch, err = reader.Next(ctx, g.limit)
		if gap := (*stream.GapError)(nil); errors.As(err, &gap) {
			g.c.s.gaps.Add(1)
			g.it.From = stream.After(gap.To)
			continue
		}
		if errors.Is(err, io.EOF) {
			return g.end()
		}
		if err != nil {
			return err
		}
		n := len(g.batch.Records)
		if n == 0 || !g.batch.Records[n-1].Arrived.Before(horizon) {
			break
		}
		g.it.From = stream.After(g.batch.Records[n-1].Sequence) // not to be passed over again
	}
	g.expire(horizon)
	return g.peek(ctx, reader)
}

// expire drops the records that are older than the retention; arrival times never fall within a shard.
func (g *getting) expire(horizon time.Time) {
	records := g.batch.Records
	for len(records) > 0 && records[0].Arrived.Before(horizon) {
		records = records[1:]
	}
	g.batch.Records = records
}

// peek finds out whether the answer reaches the end of a closed shard. Only at the tip this can be so.
func (g *getting) peek(ctx context.Context, reader stream.Reader) error {
	if g.batch.Behind > 0 || len(g.batch.Records) == 0 {
		return nil
	}
	for {
		_, err := reader.Next(ctx, stream.Limit{Records: 1, NoWait: true})
		if gap := (*stream.GapError)(nil); errors.As(err, &gap) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return g.end()
		}
		return nil
	}
}

func (g *getting) end() error {
	g.ended = true
	shards, err := g.c.s.cfg.Engine.Shards(g.c.ctx(), g.v.full)
	if err != nil {
		return err
	}
	g.children = childrenOf(shards, g.it.Shard)
	return nil
}

func (g *getting) answer() error {
	next := ""
	if !g.ended {
		from := g.it.From
		if n := len(g.batch.Records); n > 0 {
			from = stream.After(g.batch.Records[n-1].Sequence)
		}
		var err error
		if next, err = g.c.seal(g.v, g.it.Shard, from); err != nil {
			return err
		}
	}
	if g.c.cbor {
		g.appendCBOR(next)
	} else {
		g.appendJSON(next)
	}
	return nil
}

func (g *getting) appendJSON(next string) {
	records := g.batch.Records
	out := grow(g.c.scratch.out, 512+g.batch.Size()*4/3+len(records)*180)
	out = append(out, `{"MillisBehindLatest":`...)
	out = strconv.AppendInt(out, behindLatest(&g.batch), 10)
	if g.ended {
		out = append(out, `,"ChildShards":`...)
		out = appendJSON(out, &g.children)
	} else {
		out = append(out, `,"NextShardIterator":`...)
		out = jsontext.AppendString(out, next)
	}
	out = append(out, `,"Records":[`...)
	out = appendJSONRecords(out, records, g.v.meta.encryption())
	out = append(out, `]}`...)
	g.c.scratch.out = out
}

// appendJSONRecords appends records as GetRecords and SubscribeToShard answer them.
func appendJSONRecords(out []byte, records []leat.Record, encryption string) []byte {
	for i := range records {
		r := &records[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"ApproximateArrivalTimestamp":`...)
		out = appendArrival(out, r.Arrived.UnixMilli())
		out = append(out, `,"Data":`...)
		out = appendBase64(out, r.Data)
		if r.PartitionKey != "" {
			out = append(out, `,"PartitionKey":`...)
			out = jsontext.AppendString(out, r.PartitionKey)
		}
		out = append(out, `,"SequenceNumber":"`...)
		out = appendSequence(out, r.Sequence)
		out = append(out, '"')
		if encryption != noKey {
			out = append(out, `,"EncryptionType":"`...)
			out = append(append(out, encryption...), '"')
		}
		out = append(out, '}')
	}
	return out
}

// appendArrival appends a time in seconds with three decimals.
func appendArrival(out []byte, ms int64) []byte {
	out = strconv.AppendInt(out, ms/1000, 10)
	rest := ms % 1000
	return append(out, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

func (g *getting) appendCBOR(next string) {
	records := g.batch.Records
	out := grow(g.c.scratch.out, 512+g.batch.Size()+len(records)*180)
	out = appendHead(out, cborMap, 3)
	out = appendCBORText(out, "MillisBehindLatest")
	out = appendHead(out, cborUint, uint64(behindLatest(&g.batch)))
	if g.ended {
		out = appendCBORText(out, "ChildShards")
		out = appendCBOR(out, &g.children)
	} else {
		out = appendCBORText(out, "NextShardIterator")
		out = appendCBORText(out, next)
	}
	out = appendCBORText(out, "Records")
	out = appendHead(out, cborArray, uint64(len(records)))
	g.c.scratch.out = appendCBORRecords(out, records, g.v.meta.encryption())
}

// appendCBORRecords appends records as GetRecords and SubscribeToShard answer them.
func appendCBORRecords(out []byte, records []leat.Record, encryption string) []byte {
	for i := range records {
		r := &records[i]
		members := uint64(3)
		if r.PartitionKey != "" {
			members++
		}
		if encryption != noKey {
			members++
		}
		out = appendHead(out, cborMap, members)
		out = appendCBORText(out, "ApproximateArrivalTimestamp")
		out = appendCBORTime(out, r.Arrived.UnixMilli())
		out = appendCBORText(out, "Data")
		out = appendCBORBlob(out, r.Data)
		if r.PartitionKey != "" {
			out = appendCBORText(out, "PartitionKey")
			out = appendCBORText(out, r.PartitionKey)
		}
		out = appendCBORText(out, "SequenceNumber")
		out = appendCBORSequence(out, r.Sequence)
		if encryption != noKey {
			out = appendCBORText(out, "EncryptionType")
			out = appendCBORText(out, encryption)
		}
	}
	return out
}

// behindLatest is how far a batch is behind the tip in milliseconds, rounded up: readers take 0 for the tip.
func behindLatest(b *leat.Batch) int64 {
	return int64((b.Behind + time.Millisecond - 1) / time.Millisecond)
}

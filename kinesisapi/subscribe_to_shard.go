package kinesisapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi/eventstream"
	"github.com/leatstream/leat/stream"
)

// SubscribeToShard
//
// AWS answers an event stream: initial-response at once, then records as they arrive. While there are none, events without records
// move ContinuationSequenceNumber on. After 5 minutes the stream ends and the client calls again with that number, which need not be the
// number of a record. At the end of a closed shard one event carries ChildShards and no ContinuationSequenceNumber, and the stream
// ends. A call within 5 seconds of a successful one for the same consumer and shard is refused; a later one takes over, and the older one
// ends with ResourceInUseException.
//
// Leat does the same. Records are pushed as soon as they are durable: the engine wakes the subscription, nothing polls. An event without
// records is sent every 5 seconds (the interval of AWS is not documented). Where records are gone (retention, damage) it goes on behind
// them; Server.Gaps counts that.
//
// Limits: an event has at most 1 MiB of keys and payloads, or one larger record, and 10,000 records. With
// Config.Throttle 2 MiB per second. A client that reads slowly holds back its own subscription only.
//
// Differences: a consumer may subscribe while the stream is UPDATING. A subscription whose consumer is deregistered or whose stream is deleted
// ends with ResourceNotFoundException.

func (c *call) subscribeToShard() error {
	key, err := c.byConsumerARN(c.in.str("ConsumerARN"))
	if err != nil {
		return err
	}
	v, err := c.streamNow()
	if err != nil {
		return err
	}
	k, err := c.subscriber(v, key)
	if err != nil {
		return err
	}
	shard, err := c.subscribed(v)
	if err != nil {
		return err
	}
	from, err := c.startingPosition(c.in.get("StartingPosition"), "SequenceNumber", shard)
	if err != nil {
		return err
	}
	if c.in.bool("DryRun") {
		return errDryRun
	}
	reader, err := c.read(v, shard.ID, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	ctx, leave, ok := c.s.subscriptions.begin(c.ctx(), subscriptionKey{c.consumerARN(k), v.created(), shard.ID.String()})
	if !ok {
		return c.alreadySubscribed(k, shard.ID)
	}
	defer leave()
	p := push{c: c, v: v, consumer: k, shard: shard, reader: reader, at: tipOf(shard)}
	if p.at.IsZero() {
		p.at = shard.First
	}
	if from.Kind == stream.FromAfter && ahead(shard, from.Sequence) {
		p.at = from.Sequence
	}
	p.run(ctx)
	return errAnswered
}

// subscriber returns the consumer, which must be ACTIVE.
func (c *call) subscriber(v *streamView, key consumerKey) (*consumer, error) {
	if status := v.meta.status(c.now); status == statusCreating || status == statusDeleting {
		return nil, c.active(v)
	}
	k, err := key.find(c, &v.meta)
	if err != nil {
		return nil, err
	}
	if status := k.status(c.now); status != statusActive {
		return nil, inUse("Consumer %s under stream %s under account %s not ACTIVE, instead in state %s", k.Name, c.name, c.account, status)
	}
	return k, nil
}

// subscribed returns the shard of the request.
func (c *call) subscribed(v *streamView) (*stream.Shard, error) {
	id, err := leat.ParseShardID(c.in.str("ShardId"))
	if err != nil {
		return nil, c.noSuchShard(c.in.str("ShardId"))
	}
	return c.shard(v, id)
}

func (c *call) alreadySubscribed(k *consumer, id leat.ShardID) *apiError {
	return inUse("Another active subscription exists for this consumer: %s:%s:%s:%s", c.account, c.name, k.Name, id)
}

// push is one subscription: what it sends and where it is.
type push struct {
	c        *call
	v        *streamView
	consumer *consumer
	shard    *stream.Shard
	reader   stream.Reader

	at   leat.SequenceNumber // everything up to here is sent, or was not asked for
	paid time.Time           // with Config.Throttle, when what was sent is within the rate
	out  *http.ResponseController
}

// run sends until there is nothing more to send. Once it has begun, errors are frames.
func (p *push) run(ctx context.Context) {
	w := p.c.w
	p.c.endTurn()
	p.c.body, *p.c.scratch = nil, scratch{} // minutes are too long to keep the room of a put
	p.out = http.NewResponseController(w)
	defer p.patient(ctx)()
	h := w.Header()
	h["Content-Type"] = []string{eventstream.ContentType}
	w.WriteHeader(http.StatusOK)
	out := eventstream.AppendInitial(p.c.scratch.out[:0], p.c.contentType())
	for p.send(out) {
		var more bool
		if out, more = p.next(ctx); !more {
			p.send(out)
			return
		}
	}
}

// patient takes away the deadlines of the server, which are meant for requests, until ctx is done: then a client that does not read
// has lastWords left. The function that it returns must be called at the end.
func (p *push) patient(ctx context.Context) func() {
	// Not every ResponseWriter has deadlines.
	_ = p.out.SetWriteDeadline(time.Time{})
	_ = p.out.SetReadDeadline(time.Time{})
	hurried := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(hurried)
		_ = p.out.SetWriteDeadline(time.Now().Add(lastWords))
	})
	return func() {
		if !stop() {
			<-hurried
			_ = p.out.SetWriteDeadline(time.Time{}) // the connection may serve other requests
		}
	}
}

// send writes frames and reports whether the client is still there.
func (p *push) send(frames []byte) bool {
	if len(frames) == 0 {
		return true
	}
	p.c.scratch.out = frames[:0]
	_, err := p.c.w.Write(frames)
	return err == nil && p.out.Flush() == nil
}

// next waits for what is to be sent next. The second result is false if it is the last.
func (p *push) next(ctx context.Context) ([]byte, bool) {
	for {
		p.wait(ctx)
		idle, cancel := context.WithTimeout(ctx, heartbeat)
		batch, err := p.reader.Next(idle, stream.Limit{Bytes: 1 << 20})
		cancel()
		if ctx.Err() != nil {
			return p.ended(context.Cause(ctx)), false
		}
		gap := (*stream.GapError)(nil)
		switch {
		case err == nil:
			if batch = p.kept(batch); len(batch.Records) > 0 {
				p.pay(batch.Size())
				return p.event(&batch), true
			}
		case errors.As(err, &gap):
			p.c.s.gaps.Add(1)
			p.c.s.log.Warn("a subscription goes on behind records that are gone", "stream", p.v.full, "shard", p.shard.ID,
				"consumer", p.consumer.Name, "error", err)
			p.pass(gap.To)
		case errors.Is(err, context.DeadlineExceeded):
			return p.event(&leat.Batch{}), true
		case errors.Is(err, io.EOF):
			return p.last(ctx)
		default:
			return p.exception(p.told(err)), false
		}
	}
}

// wait returns when what was sent is within the rate of AWS.
func (p *push) wait(ctx context.Context) {
	over := time.Until(p.paid)
	if over <= 0 {
		return
	}
	timer := time.NewTimer(over)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// pay counts bytes that are sent now.
func (p *push) pay(size int) {
	if p.c.s.cfg.Throttle {
		p.paid = time.Now().Add(time.Duration(size) * time.Second / readBytesRate)
	}
}

// pass moves the position on to a number, as far as the shard is.
func (p *push) pass(s leat.SequenceNumber) {
	if s.Compare(p.at) > 0 {
		p.at = s
	}
}

// kept drops records that are older than the retention; arrival times never fall within a shard.
func (p *push) kept(batch leat.Batch) leat.Batch {
	if n := len(batch.Records); n > 0 {
		p.at = batch.Records[n-1].Sequence
	}
	horizon := p.v.horizon(time.Now())
	for len(batch.Records) > 0 && batch.Records[0].Arrived.Before(horizon) {
		batch.Records = batch.Records[1:]
	}
	return batch
}

// ended is the frame for the end of a context, if it needs one.
func (p *push) ended(why error) []byte {
	switch {
	case errors.Is(why, errTakenOver):
		return p.exception(p.c.alreadySubscribed(p.consumer, p.shard.ID))
	case errors.Is(why, errConsumerGone):
		return p.exception(notFound("Consumer %s under stream %s under account %s not found.", p.consumer.Name, p.c.name, p.c.account))
	}
	return nil
}

// event is the frame for a batch. An empty one is a heartbeat.
func (p *push) event(batch *leat.Batch) []byte {
	if len(batch.Records) == 0 {
		p.at = continuation(p.shard, p.at, time.Now())
		p.c.scratch.out = nil // whoever is idle keeps no room for a full event
	}
	return p.frame(batch, p.at, nil)
}

// last is the event at the end of a closed shard: clients know it by the missing ContinuationSequenceNumber.
func (p *push) last(ctx context.Context) ([]byte, bool) {
	shards, err := p.c.s.cfg.Engine.Shards(ctx, p.v.full)
	if err != nil {
		return p.exception(p.told(err)), false
	}
	children := childrenOf(shards, p.shard.ID)
	return p.frame(&leat.Batch{}, leat.SequenceNumber{}, &children), false
}

func (p *push) exception(why *apiError) []byte {
	kind := why.Type
	switch kind {
	case "ResourceInUseException", "ResourceNotFoundException":
	default:
		kind = "InternalFailureException" // no other is modelled for the stream
	}
	message := object(field{"message", textOf(why.Message)})
	payload := []byte(nil)
	if p.c.cbor {
		payload = appendCBOR(payload, &message)
	} else {
		payload = appendJSON(payload, &message)
	}
	return eventstream.AppendException(p.c.scratch.out[:0], kind, p.c.contentType(), payload)
}

// told is an error as the client is told of it.
func (p *push) told(err error) *apiError {
	told := (*apiError)(nil)
	if !errors.As(p.c.api(err), &told) {
		told = internal("")
	}
	return told
}

// frame appends a SubscribeToShardEvent. Either at or children is left out.
func (p *push) frame(batch *leat.Batch, at leat.SequenceNumber, children *value) []byte {
	out := grow(p.c.scratch.out, 512+batch.Size()*4/3+len(batch.Records)*180)
	out, start := eventstream.Begin(out, "SubscribeToShardEvent", p.c.contentType())
	if p.c.cbor {
		out = p.appendCBOR(out, batch, at, children)
	} else {
		out = p.appendJSON(out, batch, at, children)
	}
	return eventstream.End(out, start)
}

func (p *push) appendJSON(out []byte, batch *leat.Batch, at leat.SequenceNumber, children *value) []byte {
	out = append(out, `{"MillisBehindLatest":`...)
	out = strconv.AppendInt(out, behindLatest(batch), 10)
	if children != nil {
		out = append(out, `,"ChildShards":`...)
		out = appendJSON(out, children)
	} else {
		out = append(out, `,"ContinuationSequenceNumber":"`...)
		out = append(appendSequence(out, at), '"')
	}
	out = append(out, `,"Records":[`...)
	out = appendJSONRecords(out, batch.Records, p.v.meta.encryption())
	return append(out, `]}`...)
}

func (p *push) appendCBOR(out []byte, batch *leat.Batch, at leat.SequenceNumber, children *value) []byte {
	out = appendHead(out, cborMap, 3)
	out = appendCBORText(out, "MillisBehindLatest")
	out = appendHead(out, cborUint, uint64(behindLatest(batch)))
	if children != nil {
		out = appendCBORText(out, "ChildShards")
		out = appendCBOR(out, children)
	} else {
		out = appendCBORText(out, "ContinuationSequenceNumber")
		out = appendCBORSequence(out, at)
	}
	out = appendCBORText(out, "Records")
	out = appendHead(out, cborArray, uint64(len(batch.Records)))
	return appendCBORRecords(out, batch.Records, p.v.meta.encryption())
}

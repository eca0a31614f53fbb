package kinesisapi

import (
	"context"
	"errors"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// ahead reports whether an open shard has not reached a number yet, as far as that is known.
func ahead(shard *stream.Shard, s leat.SequenceNumber) bool {
	return shard.Open() && !shard.Tip.IsZero() && s.Index() > shard.Tip.Index()
}

// aheadEvery is how often it is logged at most that a reader begins ahead of its shard, in seconds.
const aheadEvery = 60

// aheadOf returns the position of a reader that begins at or behind a number that its shard has not reached.
func (c *call) aheadOf(shard *stream.Shard, s leat.SequenceNumber, kind string) stream.Position {
	if told, now := c.s.early.Load(), c.now.Unix(); now-told >= aheadEvery && c.s.early.CompareAndSwap(told, now) {
		c.s.log.Warn("a reader begins ahead of its shard and gets nothing until that is there; was the data directory put back to an older state?",
			"stream", c.full(c.name), "shard", shard.ID.String(), "from", s.String(), "newest", shard.Tip.String())
	}
	if kind == "AT_SEQUENCE_NUMBER" && s.Index() > 0 {
		s = leat.NewSequence(shard.ID, s.Created(), s.Index()-1, s.Arrived())
	}
	return stream.After(s)
}

// read opens a reader. The engine refuses a number that the shard has not reached; here it is waited for.
func (c *call) read(v *streamView, id leat.ShardID, from stream.Position) (stream.Reader, error) {
	e := c.s.cfg.Engine
	r, err := e.Read(c.ctx(), v.full, id, from)
	if from.Kind != stream.FromAfter || !errors.Is(err, stream.ErrInvalid) {
		return r, err
	}
	shard, failed := stream.Find(c.ctx(), e, v.full, id)
	switch {
	case failed != nil:
		return nil, failed
	case !ahead(&shard, from.Sequence): // it has reached it just now, or something else is wrong
		return e.Read(c.ctx(), v.full, id, from)
	}
	if r, err = e.Read(c.ctx(), v.full, id, stream.After(shard.Tip)); err != nil {
		return nil, err
	}
	return &later{r, from.Sequence}, nil
}

// later passes over the records up to a number.
type later struct {
	stream.Reader
	after leat.SequenceNumber
}

// Next implements stream.Reader.
func (l *later) Next(ctx context.Context, limit stream.Limit) (leat.Batch, error) {
	for {
		b, err := l.Reader.Next(ctx, limit)
		if err != nil || len(b.Records) == 0 {
			return b, err
		}
		for len(b.Records) > 0 && b.Records[0].Sequence.Index() <= l.after.Index() {
			b.Records = b.Records[1:]
		}
		if len(b.Records) > 0 {
			return b, nil
		}
	}
}

package kinesisapi

import (
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// continuation returns the number that an event without records gives for the position behind a record: that of no record, larger than the
// record's, smaller than that of the next one, and rising with time.
//
//	same shard and index as the record, the time of now in the place of the arrival
func continuation(shard *stream.Shard, at leat.SequenceNumber, now time.Time) leat.SequenceNumber {
	moved := leat.NewSequence(shard.ID, shard.Created, at.Index(), now)
	if moved.Compare(at) <= 0 {
		return at
	}
	return moved
}

// atNumber is the position AT_SEQUENCE_NUMBER. An engine begins there by the index of the number, so that the number of a continuation
// would give its record again: such a number means what is behind it.
func (c *call) atNumber(s leat.SequenceNumber, id leat.ShardID) (stream.Position, error) {
	reader, err := c.s.cfg.Engine.Read(c.ctx(), c.full(c.name), id, stream.At(s))
	if err != nil {
		return stream.Position{}, err
	}
	defer reader.Close()
	batch, err := reader.Next(c.ctx(), stream.Limit{Records: 1, NoWait: true})
	if err != nil || len(batch.Records) == 0 || batch.First().Compare(s) >= 0 {
		return stream.At(s), nil // whoever reads from there is told
	}
	return stream.After(s), nil
}

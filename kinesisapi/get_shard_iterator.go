package kinesisapi

import (
	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi/iterator"
	"github.com/leatstream/leat/stream"
)

// GetShardIterator
//
// AWS answers a token for a position in a shard, open or closed, that is valid for five minutes. LATEST is fixed at the time of this
// call. A sequence number must be one of the shard, but need not be that of a record. A time later than now is refused.
//
// Leat does the same. The token holds the position, sealed with a key that is kept with the data: it outlives a restart, costs nothing and may be used
// any number of times.
//
// Limits: 5 calls per second and shard, with Config.Throttle.
//
// Differences: none that is known. A number that no record of an open shard has reached yet is taken: the reader gets nothing until then.

func (c *call) getShardIterator() (value, error) {
	if err := c.target(); err != nil {
		return value{}, err
	}
	id, err := leat.ParseShardID(c.in.str("ShardId"))
	if err != nil {
		return value{}, c.noSuchShard(c.in.str("ShardId"))
	}
	v, err := c.stream()
	if err != nil {
		return value{}, c.asNoShard(err, id)
	}
	shard, err := c.shard(v, id)
	if err != nil {
		return value{}, c.asNoShard(err, id)
	}
	from, err := c.startingPosition(&c.in, "StartingSequenceNumber", shard)
	if err != nil {
		return value{}, err
	}
	if c.in.bool("DryRun") {
		return value{}, errDryRun
	}
	if err := c.s.throttle.iterator(c, v, id); err != nil {
		return value{}, err
	}
	token, err := c.seal(v, id, from)
	if err != nil {
		return value{}, err
	}
	return object(field{"ShardIterator", textOf(token)}), nil
}

// seal returns the token of a position in a shard.
func (c *call) seal(v *streamView, id leat.ShardID, from stream.Position) (string, error) {
	return c.s.sealer.Load().Seal(iterator.Iterator{Stream: v.full, Created: v.info.Created, Shard: id, From: from, Issued: c.now})
}

func (c *call) noSuchShard(id string) error {
	return notFound("Could not find shard %s in stream %s under account %s.", id, c.name, c.account)
}

// asNoShard words the absence of a stream or shard as AWS does where a shard is to be read. Other errors stay what they are.
func (c *call) asNoShard(err error, id leat.ShardID) error {
	if err != nil && !isNotFound(err) {
		return err
	}
	return notFound("Shard %s in stream %s under account %s does not exist", id, c.name, c.account)
}

// startingPosition returns the position that a request names: in has ShardIteratorType or Type, Timestamp, and a sequence number under
// the given name. LATEST becomes what it is now.
func (c *call) startingPosition(in *value, numberMember string, shard *stream.Shard) (stream.Position, error) {
	kind, number := in.str("ShardIteratorType")+in.str("Type"), in.str(numberMember)
	byNumber := kind == "AT_SEQUENCE_NUMBER" || kind == "AFTER_SEQUENCE_NUMBER"
	if byNumber != (number != "") && (byNumber || kind != "AT_TIMESTAMP") {
		also := "no"
		if number != "" {
			also = "also a"
		}
		return stream.Position{}, invalid("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "+
			"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s StartingSequenceNumber.", kind, also)
	}
	switch kind {
	case "TRIM_HORIZON":
		return stream.Oldest(), nil
	case "LATEST":
		return stream.After(tipOf(shard)), nil
	case "AT_TIMESTAMP":
		return c.atTime(in)
	}
	sequence, err := c.startingNumber(number, shard)
	if err != nil {
		return stream.Position{}, err
	}
	if ahead(shard, sequence) {
		return c.aheadOf(shard, sequence, kind), nil
	}
	if kind == "AT_SEQUENCE_NUMBER" {
		return c.atNumber(sequence, shard.ID)
	}
	return stream.After(sequence), nil
}

// tipOf returns the number of the newest record of a shard, or its first number. An engine that cannot say gives the zero number, which is
// the oldest record: nothing is passed over.
func tipOf(shard *stream.Shard) leat.SequenceNumber { return shard.Tip }

func (c *call) atTime(in *value) (stream.Position, error) {
	if !in.has("Timestamp") {
		return stream.Position{}, invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. " +
			"Current request has no timestamp parameter.")
	}
	at, now := in.millis("Timestamp"), c.now.UnixMilli()
	if at > now {
		return stream.Position{}, invalid("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
			"timestampInMillis: %d, currentTimestampInMillis: %d", at, now)
	}
	return stream.AtTime(millisTime(at)), nil
}

// startingNumber reads a sequence number that must be one of the shard.
func (c *call) startingNumber(text string, shard *stream.Shard) (leat.SequenceNumber, error) {
	const used = "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid"
	if oldLayout(text) {
		return leat.SequenceNumber{}, internal("")
	}
	s, err := leat.ParseSequence(text)
	switch {
	case err != nil:
		return s, invalid(used+".", text, shard.ID, c.name, c.account)
	case s.Shard() != shard.ID:
		return s, invalid("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s", s.Shard(), shard.ID)
	case s.Created().Unix() != shard.Created.Unix():
		return s, invalid(used+" because it did not come from this stream.", text, shard.ID, c.name, c.account)
	}
	return s, nil
}

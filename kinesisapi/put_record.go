package kinesisapi

import (
	"time"

	"github.com/leatstream/leat"
)

// PutRecord
//
// AWS stores one record in the shard whose hash range holds its ExplicitHashKey, else the MD5 of its PartitionKey, and answers ShardId
// and SequenceNumber. PartitionKey is needed unless the stream distributes records itself (AUTO), which ignores both keys.
//
// Leat does the same and answers when the record is durable.
//
// Limits: key and payload together may have MaxRecordSizeInKiB of the stream, 1,024 KiB unless it was changed.
//
// Differences: SequenceNumberForOrdering is checked; the order it asks for holds anyway. EncryptionType is answered for encrypted
// streams only. The text for a record over the limit of its stream is not known of AWS.

func (c *call) putRecord() error {
	if err := c.target(); err != nil {
		return err
	}
	if err := c.addEvent(&c.in); err != nil {
		return err
	}
	p := puts{c: c, at: func(int) string { return "" }}
	if err := c.ordering(); err != nil {
		return err
	}
	if err := p.write(); err != nil {
		return err
	}
	if p.failed > 0 && p.refused[0].code == internalFailure {
		return internal(p.refused[0].text) // clients try again by the status
	}
	if p.failed > 0 {
		return failure(p.refused[0].code, "%s", p.refused[0].text)
	}
	out := object(field{"ShardId", textOf(p.placed[0].Shard.String())}, field{"SequenceNumber", textOf(p.placed[0].Sequence.String())})
	if p.stream.meta.encryption() != noKey {
		out = out.with("EncryptionType", textOf(p.stream.meta.encryption()))
	}
	c.append(&out)
	return nil
}

// ordering refuses a SequenceNumberForOrdering that cannot have come from this API.
func (c *call) ordering() error {
	text := c.in.str("SequenceNumberForOrdering")
	if text == "" {
		return nil
	}
	after, err := leat.ParseSequence(text)
	if err != nil || after.Arrived().After(c.now.Add(time.Second)) {
		return invalid("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.", text, c.name, c.account)
	}
	return nil
}

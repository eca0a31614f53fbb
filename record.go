package leat

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ShardID names a shard within its stream. Indexes are given out in order from
// 0 and never twice within one stream.
type ShardID uint32

// String returns the id as Amazon Kinesis writes it: shardId-000000000042.
func (id ShardID) String() string { return fmt.Sprintf("shardId-%012d", uint32(id)) }

// ParseShardID reads a shard id. Like Kinesis it takes whatever ends in a number
// from 0 to 2147483647 after the first hyphen, or is such a number: "shardId-000000000042",
// "shard-42" and "42" name the same shard.
func ParseShardID(s string) (ShardID, error) {
	digits := s
	if _, after, found := strings.Cut(s, "-"); found {
		digits = after
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("parse shard id %q: want a number or shardId- and a number, such as shardId-000000000042", s)
	}
	return ShardID(n), nil
}

// Record is one event as it lies in a shard.
//
// A Record is immutable; see [Event] for what its strings and Data share.
type Record struct {
	// Sequence names the record within its shard. It rises strictly from
	// record to record.
	Sequence SequenceNumber

	// PartitionKey is the key the record was put with.
	PartitionKey string

	// HashKey is the explicit hash key the record was put with, or nil.
	HashKey *Hash

	// Source is the name of the source that delivered the event, or empty.
	Source string

	// ID is the event's identity, or empty. It is unique within the source.
	ID string

	// Arrived is when the stream accepted the record, to the millisecond. It
	// never falls from one record of a shard to the next, whatever the clock does.
	Arrived time.Time

	// Time is when the event happened, to the millisecond. Zero: unknown.
	Time time.Time

	// Data is the payload.
	Data []byte
}

// Size returns the bytes that count against limits: the partition key and the
// payload, as Amazon Kinesis counts them.
func (r *Record) Size() int { return len(r.PartitionKey) + len(r.Data) }

// Batch is a run of records of one shard in their order.
type Batch struct {
	// Stream and Shard say where the records lie.
	Stream string
	Shard  ShardID

	// Epoch is the fencing epoch of the consumer that hands the batch on; a
	// destination that can compare it refuses a smaller one than it has seen.
	// Zero outside a consumer.
	Epoch uint64

	// After is the last record of the shard before First that was delivered to this destination; zero: none was, or outside a
	// consumer. A destination that keeps its position, and finds that it is before After, has lost what it had.
	After SequenceNumber

	// Records are in rising order of their sequence numbers. The receiver owns
	// the slice, not the memory that the records point into.
	Records []Record

	// Behind is how far the last record is behind the tip of the shard: the age of its
	// arrival if more records wait, 0 if the batch reaches the tip.
	Behind time.Duration
}

// First returns the sequence number of the first record, zero if there is none.
func (b *Batch) First() SequenceNumber {
	if len(b.Records) == 0 {
		return SequenceNumber{}
	}
	return b.Records[0].Sequence
}

// Last returns the sequence number of the last record, zero if there is none.
func (b *Batch) Last() SequenceNumber {
	if len(b.Records) == 0 {
		return SequenceNumber{}
	}
	return b.Records[len(b.Records)-1].Sequence
}

// Size returns the sum of the sizes of the records.
func (b *Batch) Size() int {
	n := 0
	for i := range b.Records {
		n += b.Records[i].Size()
	}
	return n
}

package leat

import "time"

// Cursor is a provider's position, opaque to Leat: whatever the provider wants
// to be told when a connection resumes. The empty Cursor means "none": begin
// where the provider begins by itself.
//
// A cursor is stored in the same [Commit] as the records before it, so a stored
// cursor is never ahead of the stored records.
//
// [Commit]: https://pkg.go.dev/github.com/leatstream/leat/stream#Commit
type Cursor string

// Event is one message of a provider before it is in a stream.
//
// An Event is immutable once it has been handed over. Its strings and Data may
// share a larger buffer (see the package comment); keeping one field for long
// keeps that buffer alive, so clone what is to be remembered.
type Event struct {
	// ID is the provider's identity of the event. Two events of one source
	// with the same non-empty ID are the same event, and the second is dropped
	// within the de-duplication window. Empty: no identity, never dropped.
	ID string

	// PartitionKey decides the shard and with it the order: events of one key
	// keep their order. Empty: the stage that puts the event chooses one.
	PartitionKey string

	// HashKey, if not nil, decides the shard instead of the hash of
	// PartitionKey (the explicit hash key of Amazon Kinesis).
	HashKey *Hash

	// Time is when the event happened, as the provider says. Zero: unknown.
	// Streams keep it with a resolution of one millisecond.
	Time time.Time

	// Cursor is the provider's position behind this event: a connection that
	// resumes from it delivers what follows. Empty: the event carries none.
	Cursor Cursor

	// Data is the payload, stored byte for byte.
	Data []byte
}

// Size returns the bytes that count against limits: the partition key and the
// payload, as Amazon Kinesis counts them.
func (e *Event) Size() int { return len(e.PartitionKey) + len(e.Data) }

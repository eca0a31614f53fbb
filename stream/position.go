package stream

import (
	"time"

	"github.com/leatstream/leat"
)

// Position says where a reader begins in a shard. The zero Position is Oldest.
// Make one with Oldest, Latest, At, After or AtTime.
type Position struct {
	Kind     PositionKind
	Sequence leat.SequenceNumber // of FromAt and FromAfter
	Time     time.Time           // of FromTime
}

// PositionKind is the kind of a Position.
type PositionKind uint8

// The kinds of a Position, named as their constructors.
const (
	FromOldest PositionKind = iota
	FromLatest
	FromAt
	FromAfter
	FromTime
)

// Oldest is the oldest record that is still kept (TRIM_HORIZON).
func Oldest() Position { return Position{} }

// Latest is behind the newest record at the moment the reader is opened (LATEST).
func Latest() Position { return Position{Kind: FromLatest} }

// At is the record with the number, or the first one behind it (AT_SEQUENCE_NUMBER).
func At(s leat.SequenceNumber) Position { return Position{Kind: FromAt, Sequence: s} }

// After is the first record behind the number (AFTER_SEQUENCE_NUMBER). If records
// behind the number have been removed before they were read, the reader says so with a *GapError. A number that an open shard has not
// reached is refused with ErrInvalid: the stream is older than whoever asks, and would pass over what is put next.
func After(s leat.SequenceNumber) Position { return Position{Kind: FromAfter, Sequence: s} }

// AtTime is the first record that arrived at or after t (AT_TIMESTAMP).
func AtTime(t time.Time) Position { return Position{Kind: FromTime, Time: t} }

// String returns p in words, for logs and errors.
func (p Position) String() string {
	switch p.Kind {
	case FromLatest:
		return "latest"
	case FromAt:
		return "at " + p.Sequence.String()
	case FromAfter:
		return "after " + p.Sequence.String()
	case FromTime:
		return "at " + p.Time.UTC().Format(time.RFC3339Nano)
	case FromOldest:
	}
	return "oldest"
}

// Package sink is the contract between a consumer and a destination.
//
// A sink does not buffer: the batch policy of the consumer decides what is
// delivered together, and a checkpoint never runs ahead of what Deliver has
// made durable at the destination.
package sink

import (
	"context"
	"errors"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/errclass"
)

// Sink delivers batches to one destination. Batches of one shard come one after
// the other and in order; those of different shards may come at the same time.
// A sink opens what it needs at the first delivery, and implements io.Closer if
// it holds something open; Close is called once, after the last Deliver has returned.
type Sink interface {
	// Deliver returns nil when every record of b is durable at the destination. It
	// may be called again with records it has seen, after a crash or an error whose outcome is
	// unknown; it knows a record by shard and sequence number, which never repeat.
	//
	// An error means that the batch comes again, unless it is Permanent or Halt.
	Deliver(ctx context.Context, b leat.Batch) error
}

// Planner is a Sink whose effect is named after a range of records, such as a
// file. The consumer makes the plan durable before it calls Execute, so that a
// crash in between repeats exactly that range under that name, also when the settings have
// changed meanwhile.
type Planner interface {
	Sink

	// Plan says how b is to be written: a small text or JSON that Execute
	// understands and that depends on the range and the settings alone, not on
	// the clock. It does no I/O.
	Plan(b leat.Batch) ([]byte, error)

	// Execute writes exactly the records of b as the plan says. Repeating it
	// with the same plan and the same records changes nothing.
	Execute(ctx context.Context, plan []byte, b leat.Batch) error

	// Done reports whether the plan has been carried out as a whole, so that its records need not be there any more.
	Done(ctx context.Context, plan []byte) (bool, error)
}

// Positioner is a Sink that keeps its position with the rows. The consumer compares it with its checkpoints when it begins, and when Deliver
// returns a *BehindError.
type Positioner interface {
	Sink

	// Position returns the last record of a shard that the destination has; zero: none.
	Position(ctx context.Context, stream string, shard leat.ShardID) (leat.SequenceNumber, error)
}

// BehindError is returned by Deliver of a Positioner whose position is before Batch.After: the destination was deleted, replaced
// or restored from a copy. Nothing of the batch was stored. The consumer delivers again from behind the position of every shard.
type BehindError struct {
	Position leat.SequenceNumber // the last record that the destination has; zero: none
}

// Error implements error.
func (e *BehindError) Error() string {
	if e.Position.IsZero() {
		return "the destination has lost everything that was delivered to it"
	}
	return "the destination has lost what was delivered to it behind " + e.Position.String()
}

// Permanent marks an error that repeating will not cure: the records are wrong for
// this destination. The consumer bisects the batch at once and sends the single record
// that fails to its dead-letter stream. Permanent(nil) is nil.
func Permanent(err error) error { return errclass.Mark(err, errPermanent) }

// IsPermanent reports whether err is or wraps a Permanent error.
func IsPermanent(err error) bool { return errors.Is(err, errPermanent) }

// Halt marks an error of the destination itself that only an operator can mend: a
// wrong password, a missing table. The consumer stops and says why; no record is
// dead-lettered for it. Halt(nil) is nil.
func Halt(err error) error { return errclass.Mark(err, errHalt) }

// IsHalt reports whether err is or wraps a Halt error.
func IsHalt(err error) bool { return errors.Is(err, errHalt) }

var (
	errPermanent = errors.New("permanent")
	errHalt      = errors.New("halt")
)

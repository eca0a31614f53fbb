// Package stream is the contract between the stages and a durable sharded
// stream with the semantics of Amazon Kinesis: [Engine] writes and reads,
// [Admin] shapes streams, and everything that belongs together becomes durable
// in one [Commit].
//
// It also holds the arithmetic of shards, which every engine shares: the ring
// of hash keys in [HashRange] and the [Router] that places events on it.
package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leatstream/leat"
)

// Engine stores records and reads them back. All methods may be called by any
// number of goroutines.
type Engine interface {
	// Shards lists the shards of a stream that still hold records or take new
	// ones, in rising order. It returns ErrNoStream where there is no such stream.
	Shards(ctx context.Context, stream string) ([]Shard, error)

	// Read opens a reader at a position of one shard. Position and retention
	// are judged now: Latest means behind the newest record at this moment.
	Read(ctx context.Context, stream string, shard leat.ShardID, from Position) (Reader, error)

	// Commit makes everything in c durable together and returns nil only then.
	// It blocks for as long as that takes: a slow engine is a call that has not
	// returned. An error of Refused leaves no doubt: nothing of c was stored. After any
	// other error the outcome is unknown until the engine has been opened again.
	Commit(ctx context.Context, c Commit) (Receipt, error)

	Marks
}

// Marks reads what Commits have stored beside the records. Only durable values
// are returned.
type Marks interface {
	// Load returns the mark with the key; the zero Mark where there is none.
	Load(ctx context.Context, key string) (Mark, error)

	// List returns the marks whose keys begin with prefix, in order of key.
	List(ctx context.Context, prefix string) ([]Mark, error)

	// State returns the state entries whose keys begin with prefix, in order of key.
	State(ctx context.Context, prefix string) ([]Entry, error)
}

// Admin shapes streams. Only the faces and the builder of a pipeline ask for it.
type Admin interface {
	// Streams lists all streams in order of name.
	Streams(ctx context.Context) ([]Info, error)

	// Create makes a stream. It returns ErrExists where the name is taken.
	Create(ctx context.Context, spec Spec) error

	// Delete removes a stream with its records. Readers of it end with ErrNoStream.
	Delete(ctx context.Context, stream string) error

	// Split closes a shard and opens two children, the second of which begins at the
	// hash key at, which must lie inside the shard's range and not at its start.
	Split(ctx context.Context, stream string, shard leat.ShardID, at leat.Hash) error

	// Merge closes two shards with adjacent ranges and opens one child for both.
	Merge(ctx context.Context, stream string, a, b leat.ShardID) error

	// SetRetention changes how long and how much a stream keeps.
	SetRetention(ctx context.Context, stream string, keep Retention) error
}

// Reader reads one shard in order. It is used by one goroutine at a time.
type Reader interface {
	// Next waits until there is at least one record and returns what is ready
	// within the limit. It returns io.EOF behind the last record of a closed shard, and a *GapError
	// where records are missing; after that the next call goes on behind the gap. After any other error it may be called again: it goes on
	// where it was, or returns the error again. After ErrInvalid another reader is needed.
	Next(ctx context.Context, limit Limit) (leat.Batch, error)

	// Close releases the reader. It must be called once.
	Close() error
}

// Limit bounds one call of Next. A batch holds at least one record, however large it is.
type Limit struct {
	Records int  // at most so many; 0: 10,000
	Bytes   int  // at most so many bytes of keys and payloads; 0: 10 MiB
	NoWait  bool // return an empty batch instead of waiting
}

// WithDefaults returns l with its zero fields replaced by the documented defaults.
func (l Limit) WithDefaults() Limit {
	if l.Records <= 0 {
		l.Records = 10_000
	}
	if l.Bytes <= 0 {
		l.Bytes = 10 << 20
	}
	return l
}

// Commit is one step of work: all of it becomes durable together, or none of it. It names each
// state entry and each mark at most once.
// An engine that cannot do that (AWS Kinesis) stores Puts, then State, then Marks, so
// that a crash repeats work and never loses any.
type Commit struct {
	Puts  []Put   // records, by stream
	State []Entry // window state, planned ranges: replaced as a whole
	Marks []Swap  // cursors, checkpoints, leases: compared, then replaced

	// Placed asks for Receipt.Puts.
	Placed bool
}

// Put is a run of events for one stream. The engine places each by its hash key and keeps
// their order within every shard. The events must not be changed until Commit has returned.
type Put struct {
	Stream string
	Source string // who delivered the events; may be empty, at most 1,024 bytes
	Events []leat.Event
}

// Entry is a value that a stage keeps under a key of its own. A nil Value deletes it.
type Entry struct {
	Key   string
	Value []byte
}

// Mark is a stored position: where a source or a consumer is, and in which epoch
// that was written.
type Mark struct {
	Key   string
	Epoch uint64
	Value []byte
}

// Swap replaces a mark if its stored epoch is Was. A worker that takes over writes
// its mark with a larger epoch first; from then on whatever the former owner commits is
// refused with ErrFenced as a whole, whichever clock it trusts. A deleted mark begins anew, as if it had never been: delete only
// marks of which no owner is left.
type Swap struct {
	Mark        // what to store; a nil Value deletes the mark
	Was  uint64 // the epoch the stored mark must have; 0: there must be none
}

// PartialError is returned by an engine that cannot store a Commit as a whole and was refused some of its events. All others
// are stored, and nothing of State and Marks. Only the refused events may be put again.
type PartialError struct {
	Refused [][]int // for each Put the indexes of the events that are not stored, rising
	Err     error   // why
}

// Error implements error.
func (e *PartialError) Error() string {
	n := 0
	for _, put := range e.Refused {
		n += len(put)
	}
	return fmt.Sprintf("%d events were refused: %v", n, e.Err)
}

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Partial is implemented by an Engine whose Commit may return a *PartialError. Whoever wants the events of a
// key in order gives such an engine at most one event of a key in one Commit.
type Partial interface {
	Partial() bool
}

// Receipt tells what a Commit did.
type Receipt struct {
	// Puts says for each Put and event where it went. Only if Commit.Placed was set.
	Puts [][]Placed
}

// Placed is the place of one record.
type Placed struct {
	Shard    leat.ShardID
	Sequence leat.SequenceNumber
}

// Shard describes one shard.
type Shard struct {
	ID      leat.ShardID
	Parents []leat.ShardID // one after a split, two after a merge
	Range   HashRange
	Created time.Time
	First   leat.SequenceNumber // lower bound: every record is above it
	Last    leat.SequenceNumber // upper bound once the shard is closed, else zero
	Closed  time.Time           // zero while the shard is open

	// Tip is the number of the newest durable record, First while there was none: a reader After it is a reader from Latest. Zero where the
	// engine cannot say (AWS Kinesis).
	Tip leat.SequenceNumber
}

// Open reports whether the shard takes new records.
func (s *Shard) Open() bool { return s.Closed.IsZero() }

// Spec describes a stream to be created.
type Spec struct {
	Name   string
	Shards int // 1 to 10,000; 0: 1
	Keep   Retention
}

// Retention says what a stream keeps. What is older or more than that is
// removed, oldest first, not always at once; consumers that had not read it are told by a *GapError.
type Retention struct {
	Age   time.Duration // by arrival; 0: without limit, never negative
	Bytes int64         // keys and payloads of all shards; 0: without limit, never negative
}

// Info describes a stream.
type Info struct {
	Name    string
	Created time.Time
	Keep    Retention
	Shards  []Shard
	Records int64 // records held now
	Bytes   int64 // their keys and payloads
}

// What a Commit can be refused for. Refused errors leave nothing stored.
var (
	// ErrNoStream: the stream does not exist. Create it, or mend the name.
	ErrNoStream = errors.New("no such stream")
	// ErrExists: the stream exists already. Use it, or choose another name.
	ErrExists = errors.New("stream exists already")
	// ErrNoShard: the stream has no such shard, or no longer. List the shards again.
	ErrNoShard = errors.New("no such shard")
	// ErrFenced: another worker has taken over the mark. Stop; nothing of yours may move it.
	ErrFenced = errors.New("fenced: another worker has taken over")
	// ErrFull: the disk is nearly full and puts are refused. Try again: reads go on, and puts are
	// taken as soon as there is room.
	ErrFull = errors.New("disk nearly full, puts are refused")
	// ErrTooLarge: the commit or one record is over a limit. Repeating does not help.
	ErrTooLarge = errors.New("too large")
	// ErrInvalid: an argument is wrong in itself. Repeating does not help.
	ErrInvalid = errors.New("invalid")
	// ErrReadOnly: the engine was opened for reading only.
	ErrReadOnly = errors.New("opened read-only")
)

// ErrStopped says that the engine acknowledges nothing more: it was closed, or has met an error after which it can promise nothing. Then
// the process must end; what was acknowledged is there when it starts again.
var ErrStopped = errors.New("engine stopped")

// Refused reports whether err says that a Commit was refused as a whole, so that nothing of it is stored.
func Refused(err error) bool {
	if partial := (*PartialError)(nil); errors.As(err, &partial) {
		return false
	}
	for _, sentinel := range []error{ErrNoStream, ErrNoShard, ErrFenced, ErrFull, ErrTooLarge, ErrInvalid, ErrReadOnly} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// GapError tells of records that a reader cannot have: lost to damage, or removed by
// retention before they were read.
type GapError struct {
	Stream string
	Shard  leat.ShardID
	From   leat.SequenceNumber // first number that is missing
	To     leat.SequenceNumber // last number that is missing
	Count  int64               // how many records; 0: unknown
	Reason GapReason
	Cause  error // for GapDamaged: what was found; else nil
}

// GapReason says why records are missing.
type GapReason string

// The reasons of a GapError.
const (
	GapExpired GapReason = "expired" // removed by retention before they were read
	GapDamaged GapReason = "damaged" // unreadable, or lost by the disk
)

// Error implements error.
func (e *GapError) Error() string {
	text := fmt.Sprintf("stream %s %s: records from %s to %s are missing (%s)", e.Stream, e.Shard, e.From, e.To, e.Reason)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *GapError) Unwrap() error { return e.Cause }

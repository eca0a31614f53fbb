// Package sql is a sink that keeps a table up to date: every record becomes a row, once.
//
// The rows of a batch and the position behind them, a row of the table leat_cursor, become durable in one
// transaction. A batch that comes again, whole or in part, is recognised by that position, and a batch of an
// owner that has lost its lease by the epoch beside it. So every record has its effect once, whatever crashes
// in between, as long as nobody else writes leat_cursor.
//
//	leat_shard    text     shardId-000000000000
//	leat_seq      text     the sequence number, 56 digits; within a shard it names the record
//	leat_sub      integer  0; for records within records
//	leat_key      text     the partition key; a blob if it is not UTF-8 or has zero bytes
//	leat_arrived  text     2006-01-02T15:04:05.000Z
//	data          text     the payload; a blob if it is not UTF-8 or has zero bytes
//
// Config says what else a table can have. The database is SQLite.
package sql

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// Sink delivers to one table. Fill in the fields and use it by pointer; nothing happens before the
// first Deliver. Deliver may be called by any number of goroutines, of which one at a time writes.
type Sink struct {
	// Config says where the rows go.
	Config

	// Consumer is the name under which the positions are kept. Another name begins anew: every record
	// is delivered to it once more. Empty is a name like any other.
	Consumer string

	once   sync.Once
	turn   chan struct{} // holds one token; who has taken it owns db
	db     *database     // nil: not open
	closed bool

	fault func(point string) error // of tests: what fails instead of going on
}

// Deliver stores the records of b that are not in the table yet and returns nil when they are on the
// disk. A delivery that fails, also because ctx has ended, is in the table whole or not at all, nearly always the latter.
//
// The error wraps stream.ErrFenced if the table has seen a larger epoch for the shard. It is sink.Permanent
// if a record does not fit its column, and then names both, or if it breaks a constraint of the table. It
// is sink.Halt if the file or the table is not what the configuration says, or is filled from another stream of the same name. It is a
// *sink.BehindError if the table has lost rows that were delivered to it. Every other error,
// such as a full disk or a file that another program has locked for 5 seconds, may be gone next time.
func (s *Sink) Deliver(ctx context.Context, b leat.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("wait to write %s: %w", s.Path, err)
	}
	defer s.release()
	err := s.deliver(ctx, &b)
	var behind *sink.BehindError
	sound := err == nil || sink.IsPermanent(err) || errors.Is(err, stream.ErrFenced) || errors.As(err, &behind)
	if s.db != nil && (!sound || s.db.broken) {
		err = errors.Join(err, s.db.close()) // the next delivery opens the file again
		s.db = nil
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("deliver %d records to table %s of %s: %w", len(b.Records), s.Table, s.Path, err)
}

// Position implements sink.Positioner. Its errors are those of Deliver.
func (s *Sink) Position(ctx context.Context, stream string, shard leat.ShardID) (leat.SequenceNumber, error) {
	at := cursor{consumer: s.Consumer, stream: stream, shard: shard.String()}
	if err := s.acquire(ctx); err != nil {
		return at.seq, fmt.Errorf("wait to read %s: %w", s.Path, err)
	}
	defer s.release()
	err := s.ready(ctx)
	if err == nil {
		err = s.db.read(ctx, &at)
	}
	if err == nil {
		return at.seq, nil
	}
	if s.db != nil {
		err = errors.Join(err, s.db.close())
		s.db = nil
	}
	return at.seq, fmt.Errorf("read the position in %s: %w", s.Path, err)
}

// Close closes the file, if it is open. It is called once, after the last Deliver has returned.
func (s *Sink) Close() error {
	if err := s.acquire(context.Background()); err != nil {
		return err
	}
	defer s.release()
	s.closed = true
	if s.db == nil {
		return nil
	}
	err := s.db.close()
	s.db = nil
	if err != nil {
		return fmt.Errorf("close %s: %w", s.Path, err)
	}
	return nil
}

// ready opens the file, if it is not open.
func (s *Sink) ready(ctx context.Context) error {
	if s.closed {
		return errors.New("the sink is closed")
	}
	if s.db != nil && s.db.moved() {
		err := s.db.close()
		if s.db = nil; err != nil {
			return err
		}
	}
	if s.db == nil {
		db, err := s.open(ctx)
		if err != nil {
			return err
		}
		s.db = db
	}
	return nil
}

func (s *Sink) deliver(ctx context.Context, b *leat.Batch) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.db.write(ctx, s.Consumer, b); err != nil {
		return err
	}
	// What was committed to a file that is no longer at its path would be lost with it.
	if s.db.moved() {
		return errors.New("the file was moved or removed while it was written")
	}
	return nil
}

// acquire waits for the turn to write. A channel, not a mutex: who waits gives up when ctx ends.
func (s *Sink) acquire(ctx context.Context) error {
	s.once.Do(func() {
		s.turn = make(chan struct{}, 1)
		s.turn <- struct{}{}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Sink) release() { s.turn <- struct{}{} }

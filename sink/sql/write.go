package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// write stores what of b is new, and the cursor behind it, in one transaction.
func (d *database) write(ctx context.Context, consumer string, b *leat.Batch) (err error) {
	if _, err := d.conn.ExecContext(ctx, d.begin); err != nil {
		return d.classify(err)
	}
	defer func() {
		if err != nil {
			d.rollback()
		}
	}()
	at := cursor{consumer: consumer, stream: b.Stream, shard: b.Shard.String()}
	if err := d.read(ctx, &at); err != nil {
		return err
	}
	if err := at.judge(b); err != nil {
		return err
	}
	records := b.Records
	for len(records) > 0 && records[0].Sequence.Compare(at.seq) <= 0 {
		records = records[1:]
	}
	if len(records) == 0 && at.epoch == b.Epoch {
		d.rollback()
		return nil
	}
	if err := d.fill(ctx, at.shard, records); err != nil {
		return err
	}
	if at.epoch = b.Epoch; len(records) > 0 {
		at.seq = b.Last()
	}
	if err := d.move(&at); err != nil {
		return err
	}
	if err := errors.Join(d.fault("commit"), ctx.Err()); err != nil {
		return err
	}
	if err := d.commit(); err != nil {
		return err
	}
	return d.fault("committed")
}

// fill stores the records. The statements themselves do not look at ctx: each takes less than a millisecond, and
// one that is interrupted would cost the connection.
func (d *database) fill(ctx context.Context, shard string, records []leat.Record) error {
	r := row{shard: shard}
	for len(records) > 0 {
		if err := errors.Join(d.fault("insert"), ctx.Err()); err != nil {
			return err
		}
		n, statement := d.rows(), d.many
		if len(records) < n {
			n, statement = 1, d.one
		}
		args := d.args[:0]
		for i := range records[:n] {
			var err error
			r.Record = &records[i]
			if args, err = d.append(args, &r); err != nil {
				return sink.Permanent(err)
			}
		}
		if _, err := statement.ExecContext(context.WithoutCancel(ctx), args...); err != nil {
			return d.classify(err)
		}
		clear(args)
		d.args, records = args, records[n:]
	}
	return nil
}

// lane is the one lane of a shard: a Batch does not say which of several it is of.
const lane = "0/1"

// cursor is a row of leat_cursor: how far a shard is delivered, and by which epoch.
type cursor struct {
	consumer, stream, shard string
	epoch                   uint64
	seq                     leat.SequenceNumber
}

// judge compares the cursor with a batch that is to be stored behind it. A shard of the same name that was created later is another
// one, of a stream that has replaced the first: it begins anew.
func (c *cursor) judge(b *leat.Batch) error {
	here, there := c.seq.Created(), b.First().Created()
	switch {
	case c.seq.IsZero():
	case here.After(there):
		return sink.Halt(fmt.Errorf("the table has been filled as consumer %q from another stream %q, whose %s was created at %s and not at %s: "+
			"give this consumer another name or table, or delete its rows in leat_cursor", c.consumer, c.stream, c.shard, here.UTC(), there.UTC()))
	case here.Before(there):
		c.seq, c.epoch = leat.SequenceNumber{}, 0
	}
	if c.epoch > b.Epoch {
		return fmt.Errorf("epoch %d of %s is over, the table has seen %d: %w", b.Epoch, c.shard, c.epoch, stream.ErrFenced)
	}
	if c.seq.Compare(b.After) < 0 {
		return &sink.BehindError{Position: c.seq}
	}
	return nil
}

func (d *database) read(ctx context.Context, c *cursor) error {
	if err := d.fault("read"); err != nil {
		return err
	}
	var epoch int64
	var seq string
	err := d.load.QueryRowContext(ctx, c.consumer, c.stream, c.shard, lane).Scan(&epoch, &seq)
	if errors.Is(err, stdsql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return d.classify(err)
	}
	c.epoch = uint64(epoch)
	if err := c.seq.UnmarshalText([]byte(seq)); err != nil {
		return sink.Halt(fmt.Errorf("the row of leat_cursor for %s is damaged: %w", c.shard, err))
	}
	return nil
}

func (d *database) move(c *cursor) error {
	if err := d.fault("move"); err != nil {
		return err
	}
	_, err := d.store.ExecContext(context.Background(), c.consumer, c.stream, c.shard, lane, int64(c.epoch), c.seq.String())
	return d.classify(err)
}

// commit goes on when the context of the delivery has ended.
func (d *database) commit() error {
	_, err := d.conn.ExecContext(context.Background(), "COMMIT")
	return d.classify(err)
}

// rollback does not report its error: the database does so itself after some errors, and else closing does it.
func (d *database) rollback() {
	if _, err := d.conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		d.broken = true
	}
}

package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/leatstream/leat/sink"
)

// database is the open file with its one connection. Whoever has the Sink's turn owns it.
type database struct {
	*dialect
	*layout
	path string
	file fs.FileInfo
	pool *stdsql.DB
	conn *stdsql.Conn

	many, one   *stdsql.Stmt // store rows() rows, and one
	load, store *stdsql.Stmt // of the cursor
	args        []any        // of one statement, used again
	broken      bool         // a transaction may still be open: to be closed
	fault       func(point string) error
}

// open opens the file, creates what is to be created, and compares the table.
func (s *Sink) open(ctx context.Context) (*database, error) {
	if err := s.Check(); err != nil {
		return nil, sink.Halt(err)
	}
	layout, err := newLayout(&s.Config)
	if err != nil {
		return nil, sink.Halt(err)
	}
	d := &database{dialect: sqliteDialect, layout: layout, path: s.Path, fault: s.fault}
	if d.fault == nil {
		d.fault = func(string) error { return nil }
	}
	if err := d.connect(ctx, s.create()); err != nil {
		return nil, errors.Join(d.classify(err), d.close())
	}
	return d, nil
}

func (d *database) connect(ctx context.Context, create bool) (err error) {
	if d.pool, d.conn, err = d.open(ctx, d.path); err != nil {
		return err
	}
	if d.file, err = os.Stat(d.path); err != nil {
		return err
	}
	if err := d.tables(ctx, create); err != nil {
		return err
	}
	for _, p := range []struct {
		statement **stdsql.Stmt
		text      string
	}{
		{&d.many, d.insert(d.rows())},
		{&d.one, d.insert(1)},
		{&d.load, `SELECT epoch, seq FROM leat_cursor WHERE consumer = ? AND stream = ? AND shard = ? AND lane = ?`},
		{&d.store, `INSERT INTO leat_cursor (consumer, stream, shard, lane, epoch, seq, sub, updated)
			VALUES (?, ?, ?, ?, ?, ?, 0, CURRENT_TIMESTAMP)
			ON CONFLICT (consumer, stream, shard, lane) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, updated = excluded.updated`},
	} {
		*p.statement, err = d.conn.PrepareContext(ctx, p.text) //nolint:sqlclosecheck // closed with the connection
		if err != nil && strings.Contains(err.Error(), "ON CONFLICT") {
			err = fmt.Errorf("%w: the key needs a primary key or a unique index on exactly the columns %s", err, d.names(d.key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tables creates the tables and compares the one that the rows go to.
func (d *database) tables(ctx context.Context, create bool) (err error) {
	if _, err := d.conn.ExecContext(ctx, d.begin); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.rollback()
		}
	}()
	statements := []string{d.cursorTable}
	if create {
		statements = append(statements, d.create(d.dialect))
	}
	for _, text := range statements {
		if _, err := d.conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	table, err := d.dialect.columns(ctx, d.conn, d.table)
	if err != nil {
		return err
	}
	if len(table) == 0 {
		return sink.Halt(fmt.Errorf("table %s does not exist: create it, or set create: true", d.table))
	}
	if err := d.compare(d.dialect, table); err != nil {
		return sink.Halt(fmt.Errorf("table %s does not fit the configuration: %w", d.table, err))
	}
	return d.commit()
}

// moved reports whether the file at the path is no longer the one that is open.
func (d *database) moved() bool {
	now, err := os.Stat(d.path)
	return err != nil || !os.SameFile(now, d.file)
}

// close closes what is open. An open transaction is rolled back.
func (d *database) close() error {
	var all []error
	for _, statement := range []*stdsql.Stmt{d.many, d.one, d.load, d.store} {
		if statement != nil {
			all = append(all, statement.Close())
		}
	}
	if d.file != nil && d.moved() {
		// SQLite empties its log into the file only while the file is at its path, and a new file there
		// would overwrite the log.
		_, err := d.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		all = append(all, err)
	}
	if d.conn != nil {
		all = append(all, d.conn.Close())
	}
	if d.pool != nil {
		all = append(all, d.pool.Close())
	}
	return errors.Join(all...)
}

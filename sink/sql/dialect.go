package sql

import (
	"context"
	stdsql "database/sql"
	"strings"
)

// dialect is what differs from one database to the next. What they share is in layout.go (the columns
// and how they are filled) and database.go (the transaction).
type dialect struct {
	// open opens the database with one connection, on which a commit that has returned is on the disk.
	open func(ctx context.Context, path string) (*stdsql.DB, *stdsql.Conn, error)

	// types are the column types by kind.
	types map[string]string

	// cursorTable creates the table of cursors if it does not exist.
	cursorTable string

	// begin begins a transaction that no other writer can disturb.
	begin string

	// columns lists the columns of a table, none if it does not exist.
	columns func(ctx context.Context, conn *stdsql.Conn, table string) ([]existing, error)

	// fits reports whether a column of the declared type stores the kind unchanged.
	fits func(declared, kind string) bool

	// classify marks an error of the database as sink.Permanent or sink.Halt, or leaves it: then it is
	// tried again.
	classify func(err error) error
}

// existing is a column of a table that exists.
type existing struct {
	name     string
	declared string // its type as it was declared
	notNull  bool
	optional bool // may be left out of an INSERT
	computed bool // must be left out
}

// The kinds of values. All but the last two are types of the configuration.
const (
	kindText    = "text"
	kindInteger = "integer"
	kindReal    = "real"
	kindBoolean = "boolean"
	kindJSON    = "json"
	kindTime    = "time"
	kindData    = "data" // a text or bytes
)

// quote returns name as an identifier of SQL. It is the only way a name gets into a statement, and
// names come from the configuration alone.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/sink"
)

// Driver is the name under which database/sql opens the files: a program that imports this package can read
// them with sql.Open(Driver, path), if the path has no question mark.
const Driver = "sqlite"

// oldestLibrary is the first version without the defect that lets a checkpoint damage a file in WAL mode.
const oldestLibrary = "3.51.3"

var sqliteDialect = &dialect{
	open: openSQLite,
	types: map[string]string{
		kindText: "TEXT", kindInteger: "INTEGER", kindReal: "REAL", kindBoolean: "BOOLEAN",
		kindJSON: "TEXT", kindTime: "TEXT", kindData: "TEXT",
	},
	cursorTable: `CREATE TABLE IF NOT EXISTS leat_cursor (
		consumer TEXT NOT NULL, stream TEXT NOT NULL, shard TEXT NOT NULL, lane TEXT NOT NULL,
		epoch INTEGER NOT NULL, seq TEXT NOT NULL, sub INTEGER NOT NULL, updated TEXT NOT NULL,
		PRIMARY KEY (consumer, stream, shard, lane))`,
	begin:    "BEGIN IMMEDIATE",
	columns:  sqliteColumns,
	fits:     sqliteFits,
	classify: classifySQLite,
}

// openSQLite opens the file, and creates it if it does not exist.
func openSQLite(ctx context.Context, path string) (*stdsql.DB, *stdsql.Conn, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	if err := createFile(absolute); err != nil {
		return nil, nil, err
	}
	pool, err := stdsql.Open(Driver, dsn(absolute, "?mode=rw"))
	if err != nil {
		return nil, nil, err
	}
	conn, err := pool.Conn(ctx)
	if err == nil {
		err = prepareSQLite(ctx, conn)
	}
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return pool, conn, nil
}

// dsn returns how a file is named to the driver, whatever characters its path has.
func dsn(path, query string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + query
}

// creating is held while a file is created: closing it would take away the locks that SQLite holds on
// the same file through another Sink of this process.
var creating sync.Mutex

// createFile creates an empty file, which SQLite takes for an empty database, because SQLite itself would let
// others read it. It never opens a file that exists.
func createFile(path string) error {
	creating.Lock()
	defer creating.Unlock()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		return f.Close() // SQLite syncs the directory with the first commit
	case errors.Is(err, fs.ErrExist):
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() {
			return sink.Halt(fmt.Errorf("%s is no file: choose another path", path))
		}
		return err
	case errors.Is(err, fs.ErrNotExist):
		return sink.Halt(fmt.Errorf("%w: create the directory first", err))
	case errors.Is(err, fs.ErrPermission):
		return sink.Halt(fmt.Errorf("%w: allow the user of this process to create files there", err))
	}
	return err
}

const (
	busyTime = 5 * time.Second // how long to wait for another program that has the file locked
	walMode  = "PRAGMA journal_mode = WAL"
)

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_BUSY
}

// prepareSQLite checks the library and sets what holds for the connection.
func prepareSQLite(ctx context.Context, conn *stdsql.Conn) error {
	var version, mode string
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return err
	}
	if older(version, oldestLibrary) {
		return sink.Halt(fmt.Errorf("the SQLite library is %s, which can damage files: build with %s or later", version, oldestLibrary))
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", busyTime.Milliseconds())); err != nil {
		return err
	}
	// Another connection to a new file may be at the same, and for this step SQLite does not wait by itself.
	err := conn.QueryRowContext(ctx, walMode).Scan(&mode)
	for until := time.Now().Add(busyTime); isBusy(err) && time.Now().Before(until); err = conn.QueryRowContext(ctx, walMode).Scan(&mode) {
		if err := wait.For(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if mode != "wal" {
		return sink.Halt(fmt.Errorf("the file cannot be used in WAL mode (it is in mode %q): put it on a local disk", mode))
	}
	// fullfsync matters on macOS only; the limit cuts the log back after a large batch.
	_, err = conn.ExecContext(ctx, `PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
		PRAGMA journal_size_limit = 67108864`)
	return err
}

// older reports whether the version a is before b; both are numbers with dots.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x < y
		}
	}
	return len(as) < len(bs)
}

func sqliteColumns(ctx context.Context, conn *stdsql.Conn, table string) ([]existing, error) {
	rows, err := conn.QueryContext(ctx, `SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?)`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []existing
	for rows.Next() {
		var e existing
		var byDefault bool
		var key, hidden int
		if err := rows.Scan(&e.name, &e.declared, &e.notNull, &byDefault, &key, &hidden); err != nil {
			return nil, err
		}
		rowid := key == 1 && strings.EqualFold(e.declared, "INTEGER") // gets a value by itself
		e.notNull = e.notNull && !rowid
		e.optional = !e.notNull || byDefault
		e.computed = hidden != 0
		all = append(all, e)
	}
	return all, rows.Err()
}

// sqliteFits follows the rules by which SQLite finds the affinity of a column: a value that the
// affinity would convert does not fit.
func sqliteFits(declared, kind string) bool {
	declared = strings.ToUpper(declared)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(declared, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return kind == kindInteger || kind == kindBoolean
	case has("CHAR", "CLOB", "TEXT"):
		return kind == kindText || kind == kindJSON || kind == kindTime || kind == kindData
	case has("BLOB") || declared == "" || declared == "ANY":
		return true
	case has("REAL", "FLOA", "DOUB"):
		return kind == kindReal
	}
	// NUMERIC: numbers stay, and so does every text that does not look like a number.
	return kind == kindInteger || kind == kindBoolean || kind == kindReal || kind == kindTime || kind == kindJSON && has("JSON")
}

func classifySQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_MISMATCH, lib.SQLITE_TOOBIG:
		return sink.Permanent(err)
	case lib.SQLITE_CANTOPEN: // of many causes, some of which pass
		return fmt.Errorf("%w: the user of this process must be allowed to write the file and its directory, and to open more files", err)
	case lib.SQLITE_NOTADB:
		return sink.Halt(fmt.Errorf("%w: the file is not an SQLite database, choose another path", err))
	case lib.SQLITE_CORRUPT:
		return sink.Halt(fmt.Errorf("%w: restore the file from a copy, or move it away to begin a new one", err))
	case lib.SQLITE_READONLY:
		if e.Code() == lib.SQLITE_READONLY_DBMOVED {
			return err
		}
		return sink.Halt(fmt.Errorf("%w: allow the user of this process to write the file and its directory", err))
	case lib.SQLITE_ERROR, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		return sink.Halt(err)
	}
	return err
}

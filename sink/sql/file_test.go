package sql

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatstream/leat/sink"
)

func TestOnlyTheOwnerMayReadTheFile(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "{}"))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(s.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, want 0600", info.Name(), info.Mode())
		}
	}
}

func TestACommitIsSynced(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "{}"))
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "busy_timeout": "5000"} {
		var got string
		if err := s.db.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
}

func TestPathsThatCannotBeFilesHalt(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, part := range map[string]string{
		dir:                              "is no file",
		filepath.Join(dir, "no", "x.db"): "create the directory",
		text:                             "not an SQLite database",
		"":                               "path",
		"a\x00b":                         "path",
	} {
		s := newSink(t, func(c *Config) { c.Path = path })
		for range 2 {
			wantHalt(t, s.Deliver(t.Context(), batchOf(1, "{}")), part)
		}
	}
}

func TestAReadOnlyFileHalts(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "{}"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A file whose format is newer than the library may be read only. Unlike permissions this holds for root too.
	file, err := os.OpenFile(s.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{3}, 18); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	again := newSink(t, func(c *Config) { c.Path = s.Path })
	wantHalt(t, again.Deliver(t.Context(), batchOf(2, "{}")), "readonly", "allow the user")
}

func TestAFullDiskIsTriedAgain(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "{}"))
	if _, err := s.db.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 8"); err != nil {
		t.Fatal(err)
	}
	large := batchOf(2, `"`+strings.Repeat("x", 1<<20)+`"`, "{}")
	err := s.Deliver(t.Context(), large)
	wantError(t, err, "full")
	if sink.IsHalt(err) || sink.IsPermanent(err) {
		t.Errorf("%v is Halt or Permanent", err)
	}
	deliver(t, s, large) // opened again, without the limit
	if rows := queryAll(t, dsn(s.Path, ""), "SELECT data FROM trades"); len(rows) != 3 {
		t.Errorf("got %d rows, want 3", len(rows))
	}
}

func TestAMovedFileIsOpenedAnew(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "1"))
	if err := os.Rename(s.Path, s.Path+".old"); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, batchOf(2, "2"))
	for path, want := range map[string]string{s.Path: "2", s.Path + ".old": "1"} {
		rows := queryAll(t, dsn(path, ""), "SELECT data FROM trades")
		if len(rows) != 1 || rows[0][0] != want {
			t.Errorf("%s holds %v, want %s", path, rows, want)
		}
	}
}

func TestAFileMovedWhileWrittenIsNotAcknowledged(t *testing.T) {
	s := newSink(t, nil)
	move := false
	s.fault = func(point string) error {
		if move && point == "commit" {
			move = false
			return os.Rename(s.Path, s.Path+".old")
		}
		return nil
	}
	deliver(t, s, batchOf(1, "1"))
	move = true
	err := s.Deliver(t.Context(), batchOf(2, "2"))
	wantError(t, err, "moved or removed")
	if sink.IsHalt(err) || sink.IsPermanent(err) {
		t.Errorf("%v is Halt or Permanent", err)
	}
	deliver(t, s, batchOf(2, "2"))
	for path, want := range map[string]int{s.Path: 1, s.Path + ".old": 2} {
		if rows := queryAll(t, dsn(path, ""), "SELECT data FROM trades"); len(rows) != want {
			t.Errorf("%s holds %v, want %d rows", path, rows, want)
		}
	}
}

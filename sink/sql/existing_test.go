package sql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat/sink"
)

func TestAMissingTableHalts(t *testing.T) {
	s := newSink(t, func(c *Config) { c.Create = new(bool) })
	for range 2 {
		wantHalt(t, s.Deliver(t.Context(), batchOf(1, "{}")), "trades does not exist", "create: true")
	}
	execute(t, s, "CREATE TABLE trades (leat_shard, leat_seq, leat_sub, leat_key, leat_arrived, data)")
	deliver(t, s, batchOf(1, "{}"))
}

func TestDifferencesOfATableAreListed(t *testing.T) {
	s := newSink(t, func(c *Config) { c.Columns = columns("price", "real", "size", "integer", "flag", "boolean") })
	execute(t, s, `CREATE TABLE trades (LEAT_SHARD, leat_seq VARCHAR(64), leat_sub INT, leat_key BLOB, leat_arrived TIMESTAMP,
		price TEXT, flag BOOLEAN GENERATED ALWAYS AS (1), owner TEXT NOT NULL, id INTEGER PRIMARY KEY, made TEXT NOT NULL DEFAULT 'x')`)
	err := s.Deliver(t.Context(), batchOf(1, "{}"))
	wantHalt(t, err, "column price is declared as TEXT, want REAL", "column size (INTEGER) is missing",
		"column flag is computed", "column owner must not be NULL, has no default")
	for _, word := range []string{"leat_", "column id", "column made"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%v: %s fits", err, word)
		}
	}
}

func TestTablesOfOthersAreFilled(t *testing.T) {
	s := newSink(t, func(c *Config) {
		c.Create = new(bool)
		c.Columns = columns("id", "integer", "note", "text", "meta", "json")
	})
	execute(t, s, `CREATE TABLE trades (id BIGINT NOT NULL UNIQUE, note VARCHAR(10) CHECK (note <> 'bad'), meta JSON, extra TEXT DEFAULT 'x',
		leat_shard TEXT, leat_seq TEXT, leat_sub INTEGER, leat_key TEXT, leat_arrived TIMESTAMP)`)
	deliver(t, s, batchOf(1, `{"id":1,"note":"007","meta":{"a":1}}`))
	for payload, part := range map[string]string{
		`{"note":"x"}`:          "column id: there is no value",
		`{"id":2,"note":"bad"}`: "CHECK",
		`{"id":1}`:              "UNIQUE",
	} {
		err := s.Deliver(t.Context(), batchOf(2, payload))
		wantError(t, err, part)
		if !sink.IsPermanent(err) {
			t.Errorf("%s: %v is not Permanent", payload, err)
		}
	}
	got := fmt.Sprint(queryAll(t, dsn(s.Path, ""), "SELECT id, note, meta, extra FROM trades"))
	if want := `[[1 007 {"a":1} x]]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAKeyWithoutAnIndexHalts(t *testing.T) {
	s := newSink(t, func(c *Config) {
		c.Columns = columns("id", "integer", "note", "text")
		c.Key = []string{"id"}
	})
	execute(t, s, `CREATE TABLE trades (id INTEGER, note TEXT, leat_seq TEXT, leat_arrived TEXT)`)
	wantHalt(t, s.Deliver(t.Context(), batchOf(1, `{"id":1}`)), "unique index", `"id"`)
	execute(t, s, `CREATE UNIQUE INDEX x ON trades (id)`)
	deliver(t, s, batchOf(1, `{"id":1}`))
}

func TestMistakesInTheConfigurationHalt(t *testing.T) {
	for part, change := range map[string]func(*Config){
		"table":                         func(c *Config) { c.Table = "" },
		"reserved":                      func(c *Config) { c.Table = "LEAT_cursor" },
		"key: needs columns":            func(c *Config) { c.Key = []string{"a"} },
		"not one of":                    func(c *Config) { c.Columns, c.Key = columns("a", "text"), []string{"b"} },
		"twice":                         func(c *Config) { c.Columns, c.Key = columns("a", "text"), []string{"a", "a"} },
		"in case alone":                 func(c *Config) { c.Columns = columns("a", "text", "A", "text") },
		"want text, integer":            func(c *Config) { c.Columns = columns("a", "varchar") },
		"needs from":                    func(c *Config) { c.Columns = columns("a b", "text") },
		"columns.leat_x: leat_x: names": func(c *Config) { c.Columns = columns("leat_x", "text") },
	} {
		s := newSink(t, change)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("Check: got %v, want an error with %q", err, part)
		}
		wantHalt(t, s.Deliver(t.Context(), batchOf(1, "{}")), part)
	}
}

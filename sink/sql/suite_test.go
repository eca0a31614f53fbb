package sql

import (
	"context"
	stdsql "database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/sinktest"
)

// suite returns the conformance suite's view of a table: the column that holds the payload is named.
func suite(configure func(*Config), payload string) sinktest.Config {
	open := func(t testing.TB, dir string) sinktest.Destination {
		c := Config{Path: filepath.Join(dir, "rows.db"), Table: "clicks"}
		if configure != nil {
			configure(&c)
		}
		wrong := c
		wrong.Create, wrong.Table = new(bool), "missing"
		return sinktest.Destination{
			New:           func() sink.Sink { return &Sink{Config: c, Consumer: "archive"} },
			Broken:        func(step int) sink.Sink { return &Sink{Config: c, Consumer: "archive", fault: failAt(step)} },
			Misconfigured: func() sink.Sink { return &Sink{Config: wrong} },
			Read: func(t testing.TB) []sinktest.Row {
				return readRows(t, c.Path, `SELECT leat_shard, leat_seq, leat_key, leat_arrived, `+payload+` FROM clicks ORDER BY rowid`)
			},
		}
	}
	return sinktest.Config{Open: open, Fences: true, Remembers: true}
}

// failAt returns a fault that fails from the given step on.
func failAt(step int) func(string) error {
	return func(string) error {
		if step == 0 {
			return context.DeadlineExceeded
		}
		step--
		return nil
	}
}

func readRows(t testing.TB, path, query string) []sinktest.Row {
	t.Helper()
	var all []sinktest.Row
	for _, values := range queryAll(t, path, query) {
		shard, err := leat.ParseShardID(values[0].(string))
		if err != nil {
			t.Fatal(err)
		}
		seq, err := leat.ParseSequence(values[1].(string))
		if err != nil {
			t.Fatal(err)
		}
		arrived, err := time.Parse(time.RFC3339, values[3].(string))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sinktest.Row{
			Shard: shard, Sequence: seq, Key: bytesOf(values[2]), Arrived: arrived.UnixMilli(), Data: bytesOf(values[4]),
		})
	}
	return all
}

func bytesOf(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return v.(string)
}

// queryAll returns the rows of a query as a reader beside the sink sees them, none if there is no table.
func queryAll(t testing.TB, path, query string) [][]any {
	t.Helper()
	db, err := stdsql.Open(Driver, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables == 0 {
		return nil
	}
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]any
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWholePayloadsPassTheSuite(t *testing.T) {
	sinktest.Run(t, suite(nil, "data"))
}

func TestColumnsPassTheSuite(t *testing.T) {
	c := suite(func(c *Config) {
		c.Columns = map[string]Column{
			"payload": {From: expression.MustParse("msg")},
			"n":       {Type: kindInteger},
			"list":    {From: expression.MustParse("deep.list"), Type: kindJSON},
			"Size 0":  {From: expression.MustParse(`len(text ?? "")`), Type: kindInteger},
		}
	}, "payload")
	c.OnlyJSON = true
	c.Refused = []byte(`{"n":"twelve"}`)
	sinktest.Run(t, c)
}

func TestAKilledProcessLeavesWholeBatches(t *testing.T) {
	sinktest.Kill(t, suite(nil, "data"))
}

package sinktest_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/sinktest"
)

// ranges is a Planner that outlives its process: one file for each range.
type ranges struct {
	files
	dir  string
	late func() error // with the defect "late": the write that the next delivery does
}

func (d *ranges) Deliver(ctx context.Context, b leat.Batch) error {
	plan, err := d.Plan(b)
	if err != nil {
		return err
	}
	return d.Execute(ctx, plan, b)
}

func (d *ranges) Execute(ctx context.Context, text []byte, b leat.Batch) error {
	d.files.files = map[string][]sinktest.Row{}
	if err := d.files.Execute(ctx, text, b); err != nil {
		return err
	}
	rows, err := json.Marshal(d.files.read(nil))
	if err != nil {
		return err
	}
	name := filepath.Join(d.dir, b.First().String())
	write := func() error {
		if err := os.WriteFile(name+".tmp", rows, 0o600); err != nil {
			return err
		}
		return os.Rename(name+".tmp", name+".json")
	}
	if d.defect != "late" {
		return write()
	}
	before := d.late
	if d.late = write; before != nil {
		return before()
	}
	return nil
}

func (d *ranges) Done(_ context.Context, text []byte) (bool, error) {
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return false, err
	}
	_, err := os.Stat(filepath.Join(d.dir, p.First.String()+".json"))
	return err == nil, nil
}

func readRanges(t testing.TB, dir string) []sinktest.Row {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []sinktest.Row
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var rows []sinktest.Row
		if err := json.Unmarshal(text, &rows); err != nil {
			t.Errorf("%s is visible in part: %v", name, err)
		}
		all = append(all, rows...)
	}
	return all
}

func TestKilled(t *testing.T) {
	sinktest.Kill(t, sinktest.Config{
		Keeps: func(r sinktest.Row) sinktest.Row {
			r.Data = "" // JSON would mend what is not UTF-8
			return r
		},
		Open: func(_ testing.TB, dir string) sinktest.Destination {
			return sinktest.Destination{
				New: func() sink.Sink {
					return &ranges{files: files{mu: &mutex, defect: os.Getenv(defectOf)}, dir: dir}
				},
				Read: func(t testing.TB) []sinktest.Row {
					rows := readRanges(t, dir)
					for i := range rows {
						rows[i].Data = ""
					}
					return rows
				},
			}
		},
	})
}

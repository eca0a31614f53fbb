package sinktest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

// rig is one destination under test with the sinks that were opened over it.
type rig struct {
	Config
	Destination
	t     *testing.T
	sinks []sink.Sink
}

func open(t *testing.T, c Config) *rig {
	t.Helper()
	return &rig{Config: c, Destination: c.Open(t, t.TempDir()), t: t}
}

// fresh returns a new sink, which is closed at the end.
func (r *rig) fresh() sink.Sink { return r.keep(r.New()) }

func (r *rig) keep(s sink.Sink) sink.Sink {
	r.sinks = append(r.sinks, s)
	return s
}

// close closes all sinks, also those that were left as by a crash.
func (r *rig) close() {
	for _, s := range r.sinks {
		r.closeOne(s)
	}
	r.sinks = nil
}

// reopen closes s in order and returns a new sink.
func (r *rig) reopen(s sink.Sink) sink.Sink {
	r.sinks = slices.DeleteFunc(r.sinks, func(o sink.Sink) bool { return o == s })
	r.closeOne(s)
	return r.fresh()
}

func (r *rig) closeOne(s sink.Sink) {
	if c, ok := s.(io.Closer); ok {
		if err := c.Close(); err != nil {
			r.t.Errorf("close: %v", err)
		}
	}
}

// deliver delivers b as a consumer does, and fails the test if that fails.
func (r *rig) deliver(s sink.Sink, b leat.Batch) {
	r.t.Helper()
	if err := r.try(r.t.Context(), s, b); err != nil {
		r.t.Fatalf("deliver %s: %v", describe(b), err)
	}
}

// try delivers b: a Planner by a plan that is made now and executed.
func (r *rig) try(ctx context.Context, s sink.Sink, b leat.Batch) error {
	p, ok := s.(sink.Planner)
	if !ok {
		return s.Deliver(ctx, own(b))
	}
	plan, err := p.Plan(own(b))
	if err != nil {
		return err
	}
	return p.Execute(ctx, plan, own(b))
}

// planner returns the sink as a Planner or skips the test.
func (r *rig) planner() sink.Planner {
	p, ok := r.fresh().(sink.Planner)
	if !ok {
		r.t.Skip("not a sink.Planner")
	}
	return p
}

// check fails the test unless the destination holds exactly the records of the batches, each
// once, those of one shard in the order given.
func (r *rig) check(t rapid.TB, batches ...leat.Batch) {
	t.Helper()
	if why := r.differs(batches...); why != "" {
		t.Fatal(why)
	}
}

// differs says how the destination differs from the records of the batches, or nothing.
func (r *rig) differs(batches ...leat.Batch) string {
	r.t.Helper()
	want := r.arrange(r.rows(batches...))
	got := r.arrange(r.Read(r.t))
	if slices.Equal(got, want) {
		return ""
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("the destination holds %d rows, want %d; the first difference is row %d:\n got %s\nwant %s",
				len(got), len(want), i, got[i], want[i])
		}
	}
	if len(got) > len(want) {
		return fmt.Sprintf("the destination holds %d rows, want %d; the first too many is %s", len(got), len(want), got[len(want)])
	}
	return fmt.Sprintf("the destination holds %d rows, want %d; the first missing is %s", len(got), len(want), want[len(got)])
}

// rows returns what is to be read back of the batches.
func (r *rig) rows(batches ...leat.Batch) []Row {
	var rows []Row
	for _, b := range batches {
		for _, rec := range b.Records {
			row := Row{
				Shard: b.Shard, Sequence: rec.Sequence, Key: rec.PartitionKey,
				Arrived: rec.Arrived.UnixMilli(), Data: string(rec.Data),
			}
			if r.Keeps != nil {
				row = r.Keeps(row)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// arrange brings rows into an order that can be compared: by shard, and within a shard as they are, or
// by number and content where the destination has no order. Rows that may repeat are kept once.
func (r *rig) arrange(rows []Row) []Row {
	rows = slices.Clone(rows)
	if r.Repeats {
		seen := map[Row]bool{}
		rows = slices.DeleteFunc(rows, func(row Row) bool {
			again := seen[row]
			seen[row] = true
			return again
		})
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		if c := cmp.Compare(a.Shard, b.Shard); c != 0 || !r.Unordered {
			return c
		}
		return cmp.Or(a.Sequence.Compare(b.Sequence), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Data, b.Data))
	})
	return rows
}

// String returns r on one line, long texts cut.
func (r Row) String() string {
	cut := func(s string) string {
		if len(s) > 80 {
			return fmt.Sprintf("%.80q and %d bytes more", s, len(s)-80)
		}
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("{%s %s key %s arrived %d data %s}", r.Shard, r.Sequence, cut(r.Key), r.Arrived, cut(r.Data))
}

func describe(b leat.Batch) string {
	return fmt.Sprintf("%d records of %s from %s to %s", len(b.Records), b.Shard, b.First(), b.Last())
}

// own returns b with a slice of its own, since the receiver owns it.
func own(b leat.Batch) leat.Batch {
	b.Records = slices.Clone(b.Records)
	return b
}

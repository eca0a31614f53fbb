package sinktest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/sinktest"
	"github.com/leatstream/leat/stream"
)

// table is a destination with transactions: rows and a cursor for each shard. The defect, if any,
// is what the suite must find.
type table struct {
	defect string

	mu      sync.Mutex
	rows    []sinktest.Row
	cursors map[leat.ShardID]cursor
}

type cursor struct {
	epoch uint64
	seq   leat.SequenceNumber
}

func (d *table) read(testing.TB) []sinktest.Row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows)
}

type tableSink struct {
	*table
	steps int // until the sink breaks; negative: never
}

func (s *tableSink) Deliver(ctx context.Context, b leat.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursors == nil {
		s.cursors = map[leat.ShardID]cursor{}
	}
	if len(b.Records) == 0 {
		if s.defect == "empty" {
			s.rows = append(s.rows, sinktest.Row{})
		}
		return nil
	}
	rows, cursors := s.rows, s.cursors[b.Shard]
	if here, there := cursors.seq.Created(), b.First().Created(); !cursors.seq.IsZero() && s.defect != "replaced" {
		if here.After(there) {
			return sink.Halt(fmt.Errorf("another stream"))
		}
		if here.Before(there) {
			cursors = cursor{}
		}
	}
	if cursors.seq.Compare(b.After) < 0 && s.defect != "behind" {
		return &sink.BehindError{Position: cursors.seq}
	}
	if b.Epoch < cursors.epoch && s.defect != "fence" {
		return fmt.Errorf("epoch %d is over: %w", b.Epoch, stream.ErrFenced)
	}
	for i := range b.Records {
		if err := s.step(ctx); err != nil {
			return err
		}
		r := &b.Records[i]
		if r.Sequence.Compare(cursors.seq) <= 0 && s.defect != "repeat" {
			continue
		}
		row, err := s.row(b.Shard, r)
		if err != nil {
			return err
		}
		rows = append(rows, row)
		if s.defect == "partial" || s.defect == "order" {
			s.rows = rows
		}
	}
	if s.defect == "order" {
		slices.Reverse(s.rows)
		return nil
	}
	if s.defect != "forget" {
		s.rows = rows
	}
	if s.defect == "cursor" {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
	if s.defect == "epoch" && b.Last().Compare(cursors.seq) <= 0 {
		return nil
	}
	if b.Last().Compare(cursors.seq) > 0 {
		cursors.seq = b.Last()
	}
	cursors.epoch = max(cursors.epoch, b.Epoch)
	s.cursors[b.Shard] = cursors
	return s.step(ctx)
}

func (s *tableSink) row(shard leat.ShardID, r *leat.Record) (sinktest.Row, error) {
	data := string(r.Data)
	switch {
	case data == "refused" && s.defect == "retry":
		return sinktest.Row{}, fmt.Errorf("record %s is refused", r.Sequence)
	case data == "refused" && s.defect != "swallow":
		return sinktest.Row{}, sink.Permanent(fmt.Errorf("record %s is refused", r.Sequence))
	case s.defect == "cut" && len(data) > 1<<20:
		data = data[:1<<20]
	case s.defect == "nul":
		data, _, _ = cutNUL(data)
	}
	return sinktest.Row{
		Shard: shard, Sequence: r.Sequence, Key: r.PartitionKey, Arrived: r.Arrived.UnixMilli(), Data: data,
	}, nil
}

func cutNUL(s string) (string, string, bool) {
	for i := range len(s) {
		if s[i] == 0 {
			return s[:i], s[i:], true
		}
	}
	return s, "", false
}

func (s *tableSink) step(ctx context.Context) error {
	if s.steps == 0 {
		return context.Canceled
	}
	s.steps--
	return ctx.Err()
}

// files is a destination of named files, each written at once.
type files struct {
	defect string
	suffix string

	mu    *sync.Mutex
	files map[string][]sinktest.Row
}

type plan struct {
	Name        string
	First, Last leat.SequenceNumber
	Count       int
}

func (d *files) Deliver(ctx context.Context, b leat.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	plan, err := d.Plan(b)
	if err != nil {
		return err
	}
	return d.Execute(ctx, plan, b)
}

func (d *files) Plan(b leat.Batch) ([]byte, error) {
	p := plan{fmt.Sprint(b.Shard, b.First(), b.Last(), d.suffix), b.First(), b.Last(), len(b.Records)}
	if d.defect == "clock" {
		p.Name += fmt.Sprint(b.Behind)
	}
	return json.Marshal(p)
}

func (d *files) Execute(ctx context.Context, text []byte, b leat.Batch) error {
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	if d.defect == "settings" {
		text, _ = d.Plan(b)
		_ = json.Unmarshal(text, &p)
	}
	if d.defect != "mismatch" && (p.Count != len(b.Records) || p.First != b.First() || p.Last != b.Last() || p.Count == 0) {
		return fmt.Errorf("plan %s is not for these records", text)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	rows := make([]sinktest.Row, len(b.Records))
	for i, r := range b.Records {
		rows[i] = sinktest.Row{Shard: b.Shard, Sequence: r.Sequence, Key: r.PartitionKey, Arrived: r.Arrived.UnixMilli(), Data: string(r.Data)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.defect == "append" {
		rows = append(d.files[p.Name], rows...)
	}
	d.files[p.Name] = rows
	return nil
}

func (d *files) Done(_ context.Context, text []byte) (bool, error) {
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, done := d.files[p.Name]
	return done || d.defect == "done", nil
}

func (d *files) read(testing.TB) []sinktest.Row {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []sinktest.Row
	for _, rows := range d.files {
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(a, b sinktest.Row) int { return a.Sequence.Compare(b.Sequence) })
	return all
}

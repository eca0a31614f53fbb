package source_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// memory is an engine without timers, for simulations of years: streams of one shard, in memory, with marks that are fenced.
type memory struct {
	mu      sync.Mutex
	streams map[string][]leat.Record
	marks   map[string]stream.Mark
	state   map[string][]byte
}

func newMemory() *memory {
	return &memory{streams: map[string][]leat.Record{}, marks: map[string]stream.Mark{}, state: map[string][]byte{}}
}

func (e *memory) Shards(context.Context, string) ([]stream.Shard, error) {
	return []stream.Shard{{}}, nil
}

func (e *memory) Commit(_ context.Context, c stream.Commit) (stream.Receipt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, swap := range c.Marks {
		if e.marks[swap.Key].Epoch != swap.Was {
			return stream.Receipt{}, stream.ErrFenced
		}
		e.marks[swap.Key] = swap.Mark
	}
	for _, entry := range c.State {
		if e.state[entry.Key] = entry.Value; entry.Value == nil {
			delete(e.state, entry.Key)
		}
	}
	now := time.Now()
	for _, put := range c.Puts {
		for _, event := range put.Events {
			e.streams[put.Stream] = append(e.streams[put.Stream], leat.Record{
				PartitionKey: event.PartitionKey, Source: put.Source, ID: event.ID, Arrived: now, Time: event.Time, Data: event.Data,
			})
		}
	}
	return stream.Receipt{}, nil
}

func (e *memory) Load(_ context.Context, key string) (stream.Mark, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.marks[key], nil
}

func (e *memory) List(context.Context, string) ([]stream.Mark, error) { return nil, nil }

func (e *memory) State(_ context.Context, prefix string) (entries []stream.Entry, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, value := range e.state {
		if strings.HasPrefix(key, prefix) {
			entries = append(entries, stream.Entry{Key: key, Value: value})
		}
	}
	return entries, nil
}

func (e *memory) records(name string) []leat.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streams[name]
}

func (e *memory) Read(_ context.Context, name string, _ leat.ShardID, from stream.Position) (stream.Reader, error) {
	all := e.records(name)
	if from.Kind == stream.FromTime {
		first, _ := slices.BinarySearchFunc(all, from.Time, func(r leat.Record, t time.Time) int { return r.Arrived.Compare(t) })
		all = all[first:]
	}
	return &memoryReader{all}, nil
}

type memoryReader struct{ rest []leat.Record }

func (r *memoryReader) Next(_ context.Context, limit stream.Limit) (leat.Batch, error) {
	n := min(limit.WithDefaults().Records, len(r.rest))
	if n == 0 {
		return leat.Batch{}, io.EOF
	}
	b := leat.Batch{Records: r.rest[:n]}
	r.rest = r.rest[n:]
	return b, nil
}

func (r *memoryReader) Close() error { return nil }

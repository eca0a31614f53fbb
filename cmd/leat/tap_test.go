package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// busy is a stream of Kinesis whose shards have a new record whenever they are asked. Asking it anything else panics.
type busy struct{ engine }

func (busy) Shards(context.Context, string) ([]stream.Shard, error) {
	ranges := stream.EvenRanges(2)
	return []stream.Shard{{ID: 0, Range: ranges[0]}, {ID: 1, Range: ranges[1]}}, nil
}

func (b busy) Read(_ context.Context, _ string, shard leat.ShardID, from stream.Position) (stream.Reader, error) {
	r := &busyReader{shard: shard, next: 1}
	if from.Kind == stream.FromAt {
		r.next = from.Sequence.Index()
	}
	return r, nil
}

type busyReader struct {
	shard leat.ShardID
	next  uint64
}

func (r *busyReader) Next(ctx context.Context, _ stream.Limit) (leat.Batch, error) {
	at := time.Unix(1_000_000_000+int64(r.next), 0)
	rec := leat.Record{Sequence: leat.NewSequence(r.shard, time.Unix(1_000_000_000, 0), r.next, at), Arrived: at, Data: fmt.Append(nil, r.next)}
	b := leat.Batch{Stream: "s", Shard: r.shard, Records: []leat.Record{rec}}
	if r.next < 3 {
		b.Behind = time.Second
	}
	r.next++
	return b, ctx.Err()
}

func (*busyReader) Close() error { return nil }

// A stream that grows as fast as it is read has a newest record all the same, and no more than the last ones are shown.
func TestTapEndsOnABusyStream(t *testing.T) {
	for position, want := range map[string][]string{"oldest": {"1", "1", "2", "2", "3", "3"}, "": {"2", "3", "3"}} {
		var out, err bytes.Buffer
		tap := &tap{app: &app{streams: &streams{out: &out, err: &err}}, place: &place{}, engine: busy{}, stream: "s", position: position, last: 3, end: true, raw: true}
		if failed := tap.run(t.Context()); failed != nil {
			t.Fatal(failed)
		}
		got := strings.Fields(out.String())
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("--from %q: %q, want %q", position, got, want)
		}
	}
}

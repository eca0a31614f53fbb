package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// busy is a stream that has a new record whenever it is asked. Reading anything else of it panics.
type busy struct{ engine }

func (busy) Shards(context.Context, string) ([]stream.Shard, error) {
	return []stream.Shard{{Range: stream.HashRange{End: leat.MaxHash}}}, nil
}

func (b busy) Read(context.Context, string, leat.ShardID, stream.Position) (stream.Reader, error) {
	return new(busyReader), nil
}

type busyReader struct{ read uint64 }

func (r *busyReader) Next(ctx context.Context, _ stream.Limit) (leat.Batch, error) {
	r.read++
	now := time.Now()
	b := leat.Batch{Stream: "s", Records: []leat.Record{{Sequence: leat.NewSequence(0, now, r.read, now), Arrived: now, Data: []byte("x")}}}
	if r.read < 3 {
		b.Behind = time.Second
	}
	return b, ctx.Err()
}

func (*busyReader) Close() error { return nil }

// A stream that grows as fast as it is read has a newest record all the same.
func TestTapEndsOnABusyStream(t *testing.T) {
	for _, position := range []string{"oldest", ""} {
		var out, err bytes.Buffer
		tap := &tap{app: &app{streams: &streams{out: &out, err: &err}}, place: &place{aws: true}, engine: busy{}, stream: "s", position: position, last: 2, end: true, raw: true}
		if failed := tap.run(t.Context()); failed != nil {
			t.Fatal(failed)
		}
		if n := strings.Count(out.String(), "x\n"); n < 1 || n > 3 {
			t.Errorf("--from %q: %q", position, out.String())
		}
	}
}

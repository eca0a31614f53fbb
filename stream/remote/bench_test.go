package remote_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/remote"
	"github.com/leatstream/leat/stream/streamtest"
)

// socket serves an engine in memory on a real socket.
func socket(b *testing.B) *remote.Client {
	b.Helper()
	e := open(b)
	dir := b.TempDir()
	l, err := remote.Listen(dir)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- remote.Serve(ctx, l, remote.Handler(e, nothing)) }()
	b.Cleanup(func() {
		cancel()
		<-done
	})
	c, err := remote.Dial(dir)
	if err != nil {
		b.Fatal(err)
	}
	streamtest.Create(b, c, "s", 1)
	return c
}

func events(n, size int) []leat.Event {
	list := make([]leat.Event, n)
	for i := range list {
		list[i] = leat.Event{ID: fmt.Sprint(i), PartitionKey: fmt.Sprint("key", i%100), Data: make([]byte, size)}
	}
	return list
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			c := socket(b)
			stored := 20_000_000 / (size + 100)
			for n := stored; n > 0; n -= 500 {
				streamtest.Put(b, c, "s", events(min(n, 500), size)...)
			}
			b.ReportAllocs()
			for b.Loop() { // all of it
				tail := read(b, c, stream.Oldest())
				for got := 0; got < stored; {
					batch, err := tail.Next(b.Context(), stream.Limit{})
					if err != nil {
						b.Fatal(err)
					}
					got += len(batch.Records)
				}
				tail.Close()
			}
			b.ReportMetric(float64(b.N*stored)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 500} {
		b.Run(fmt.Sprint(n, "x100B"), func(b *testing.B) {
			c := socket(b)
			put := []stream.Put{{Stream: "s", Events: events(n, 100)}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Commit(b.Context(), stream.Commit{Puts: put}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

package kinesis_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
)

// openHouse opens an engine in memory.
func openHouse(t testing.TB, fs vfs.FS) *local.Engine {
	t.Helper()
	house, err := local.Open("house", local.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return house
}

// start opens an engine and runs it until the test ends, or stop is called.
func start(t testing.TB, c kinesis.Config, house kinesis.House) (e *kinesis.Engine, stop func()) {
	t.Helper()
	c.AccessKey, c.SecretKey = "AKIDEXAMPLE", setting.NewSecret("secret")
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	e, err := kinesis.Open(t.Context(), c, house)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return e, stop
}

func put(t testing.TB, e stream.Engine, name string, events ...leat.Event) {
	t.Helper()
	if _, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: name, Source: "feed", Events: events}}}); err != nil {
		t.Fatal(err)
	}
}

// drained waits until nothing is left in the spools.
func drained(t testing.TB, e *kinesis.Engine) {
	t.Helper()
	for {
		left := int64(0)
		for _, s := range e.Status() {
			left += s.Records
		}
		if left == 0 {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("not drained")
		}
		time.Sleep(time.Millisecond)
	}
}

func run(key string, n int) (events []leat.Event, want []string) {
	for i := range n {
		want = append(want, fmt.Sprintf("%s-%05d", key, i))
		events = append(events, leat.Event{PartitionKey: key, Data: []byte(want[i])})
	}
	return events, want
}

func TestWhatIsPutArrivesInTheOrderOfItsKey(t *testing.T) {
	for _, format := range []string{"cbor", "json"} {
		t.Run(format, func(t *testing.T) {
			f := newFake("s", 4)
			house := openHouse(t, vfs.NewMem())
			defer house.Close()
			e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Format: format, Streams: []string{"s"}}, house)
			wants := map[string][]string{}
			var all []leat.Event
			for i := range 20 {
				key := fmt.Sprintf("k%d é", i)
				events, want := run(key, 10)
				wants[key] = want
				all = append(all, events...)
			}
			put(t, e, "s", all...)
			drained(t, e)
			for key, want := range wants {
				if got := f.stored(key); !slices.Equal(got, want) {
					t.Errorf("%s: got %v", key, got)
				}
			}
			stop()
			if n := len(f.stored("")); n != 200 {
				t.Errorf("%d are stored", n)
			}
		})
	}
}

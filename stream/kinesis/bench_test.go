package kinesis_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
)

// load puts b.N events with some writers, so many events in a commit, and waits until Kinesis has them all.
func load(b *testing.B, e *kinesis.Engine, name string, writers, batch int) {
	b.Helper()
	data := make([]byte, 200)
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range writers {
		group.Go(func() {
			for {
				from := int(next.Add(int64(batch))) - batch
				if from >= b.N {
					return
				}
				events := make([]leat.Event, min(batch, b.N-from))
				for i := range events {
					events[i] = leat.Event{PartitionKey: fmt.Sprint("key-", from+i), Data: data}
				}
				if _, err := e.Commit(b.Context(), stream.Commit{Puts: []stream.Put{{Stream: name, Events: events}}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	drained(b, e)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	s := e.Status()[0]
	b.ReportMetric(float64(s.Counters.Records)/float64(s.Counters.Requests), "records/request")
	b.ReportMetric(float64(s.Counters.Retries), "retries")
}

func benchHouse(b *testing.B) *local.Engine {
	house, err := local.Open(b.TempDir(), local.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { house.Close() })
	return house
}

// BenchmarkToAServerThatDiscards is what the path from Commit to the socket costs, disk included. Run with -benchtime 1000000x.
func BenchmarkToAServerThatDiscards(b *testing.B) {
	f := newFake("s", 4)
	f.onDemand, f.discard = true, true
	house := benchHouse(b)
	e, stop := start(b, kinesis.Config{Endpoint: f.serve(b), Format: "cbor", Streams: []string{"s"}}, house)
	load(b, e, "s", 16, 500)
	stop()
	if f.total != b.N {
		b.Errorf("%d of %d arrived", f.total, b.N)
	}
}

// BenchmarkAgainst25ms is the price of distance. Run with -benchtime 40000x.
func BenchmarkAgainst25ms(b *testing.B) {
	f := newFake("s", 4)
	f.onDemand = true
	f.before = func(http.ResponseWriter, *http.Request, *putRecords) bool {
		time.Sleep(25 * time.Millisecond)
		return false
	}
	e, stop := start(b, kinesis.Config{Endpoint: f.serve(b), Streams: []string{"s"}}, benchHouse(b))
	load(b, e, "s", 16, 100)
	stop()
}

// BenchmarkOneKeyAgainst25ms is what order costs a source whose events have one key: one record, or one aggregate, in a round trip. Run with
// -benchtime 100x and, for the aggregates, 50000x.
func BenchmarkOneKeyAgainst25ms(b *testing.B) {
	for _, aggregate := range []bool{false, true} {
		b.Run(fmt.Sprint("aggregate=", aggregate), func(b *testing.B) {
			f := newFake("s", 4)
			f.onDemand = true
			f.before = func(http.ResponseWriter, *http.Request, *putRecords) bool {
				time.Sleep(25 * time.Millisecond)
				return false
			}
			e, stop := start(b, kinesis.Config{Endpoint: f.serve(b), Streams: []string{"s"}, Aggregate: aggregate}, benchHouse(b))
			data := make([]byte, 200)
			for i := 0; i < b.N; i += 100 {
				events := make([]leat.Event, min(100, b.N-i))
				for j := range events {
					events[j] = leat.Event{PartitionKey: "k", Data: data}
				}
				put(b, e, "s", events...)
			}
			drained(b, e)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			stop()
		})
	}
}

// BenchmarkFourShardsAtTheirLimit shows how much of 4,000 records in a second gets through. Run with -benchtime 60000x.
func BenchmarkFourShardsAtTheirLimit(b *testing.B) {
	f := newFake("s", 4)
	f.throttle = true
	e, stop := start(b, kinesis.Config{Endpoint: f.serve(b), Streams: []string{"s"}}, benchHouse(b))
	load(b, e, "s", 16, 100)
	stop()
}

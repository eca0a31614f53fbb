package kinesisapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/eventstream"
	"github.com/leatstream/leat/stream"
)

// BenchmarkSubscribeDrain reads a shard of 200-byte records from its beginning over loopback, the frames decoded and their records counted.
func BenchmarkSubscribeDrain(b *testing.B) {
	const records = 100_000
	r := newRig(b, kinesisapi.Config{})
	s := subscribing(b, r, 0)
	events := make([]leat.Event, 1000)
	for i := range events {
		events[i] = leat.Event{PartitionKey: fmt.Sprint("key-", i%100), Data: bytes.Repeat([]byte("x"), 200)}
	}
	for range records / len(events) {
		if _, err := r.engine.Commit(b.Context(), stream.Commit{Puts: []stream.Put{{Stream: "orders", Events: events}}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	n := 0
	for i := 0; b.Loop(); i++ {
		s.consumer = r.register(b, fmt.Sprint("c", i%19)) // each may subscribe once in 5 seconds
		n += drain(b, s, records)
		r.must(b, "DeregisterStreamConsumer", `{"ConsumerARN":"`+s.consumer+`"}`)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// drain subscribes and reads n records.
func drain(b *testing.B, s *subscriber, n int) int {
	req := s.request(b, "SubscribeToShard", `{"ConsumerARN":"`+s.consumer+`","ShardId":"0","StartingPosition":{"Type":"TRIM_HORIZON"}}`)
	answer, err := http.DefaultClient.Do(req)
	if err != nil || answer.StatusCode != http.StatusOK {
		b.Fatal(answer, err)
	}
	defer answer.Body.Close()
	var buf []byte
	part := make([]byte, 256<<10)
	for got := 0; ; {
		m, rest, err := eventstream.Decode(buf)
		if err == nil {
			got += bytes.Count(m.Payload, []byte(`"SequenceNumber"`))
			if got >= n {
				return got
			}
			buf = rest
			continue
		}
		k, err := answer.Body.Read(part)
		if k == 0 && err != nil {
			if err == io.EOF {
				b.Fatal("the subscription ended")
			}
			b.Fatal(err)
		}
		buf = append(buf, part[:k]...)
	}
}

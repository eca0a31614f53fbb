package sql

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

// BenchmarkDeliver stores batches of records of about 100 bytes; every batch is one synced transaction.
func BenchmarkDeliver(b *testing.B) {
	mapped := map[string]Column{
		"id": {Type: kindInteger}, "symbol": {}, "price": {Type: kindReal},
		"size": {From: expression.MustParse("trade.size"), Type: kindReal},
	}
	for _, c := range []struct {
		name    string
		columns map[string]Column
		key     []string
	}{{"payload", nil, nil}, {"columns", mapped, nil}, {"key", mapped, []string{"symbol"}}} {
		for _, records := range []int{100, 1_000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, records), func(b *testing.B) {
				s := &Sink{Config: Config{
					Path: filepath.Join(b.TempDir(), "rows.db"), Table: "trades", Columns: c.columns, Key: c.key,
				}}
				benchmark(b, s, records)
			})
		}
	}
}

func benchmark(b *testing.B, s *Sink, records int) {
	payloads := make([][]byte, 100)
	for i := range payloads {
		payloads[i] = fmt.Appendf(nil, `{"type":"match","id":%d,"symbol":"BTC-%d","price":%d.25,"side":"buy","trade":{"size":0.00%d}}`, 1e9+i, i, 60000+i, i+1)
	}
	next := uint64(0)
	batch := leat.Batch{Stream: "trades", Epoch: 1, Records: make([]leat.Record, records)}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range batch.Records {
			next++
			arrived := start.Add(time.Duration(next) * time.Millisecond)
			batch.Records[i] = leat.Record{
				Sequence: leat.NewSequence(0, start, next, arrived), PartitionKey: "BTC", Arrived: arrived, Data: payloads[i%len(payloads)],
			}
		}
		b.StartTimer()
		if err := s.Deliver(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "rows/s")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

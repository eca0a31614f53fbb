package jsonl

import (
	"fmt"
	"testing"
)

// BenchmarkDeliver writes files of payloads of about 100 bytes; every file is synced and named.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []Config{
		{Compression: "none"}, {Compression: "none", Envelope: true}, {Compression: "gzip"}, {Compression: "zstd"},
	} {
		for _, records := range []int{100, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s,envelope=%v/%d", c.Compression, c.Envelope, records), func(b *testing.B) {
				s := &Sink{Config: c}
				s.Path = b.TempDir()
				var payloads []string
				for i := range records {
					payloads = append(payloads, fmt.Sprintf(
						`{"type":"match","id":%d,"symbol":"BTC-%d","price":%d.25,"side":"buy","trade":{"size":0.00%d}}`, i+1e9, i%100, 60000+i%997, i%13))
				}
				batch := batchOf("trades", payloads...)
				b.SetBytes(int64(batch.Size()))
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Deliver(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

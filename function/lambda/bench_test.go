package lambda_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/functiontest"
	"github.com/leatstream/leat/function/lambda"
)

// BenchmarkCalls measures batches of 100 records of 200 bytes over four processes. "nothing" reads no JSON, "events" decodes the event into
// events.KinesisEvent as most Go functions do.
func BenchmarkCalls(b *testing.B) {
	for _, program := range [][2]string{{"go", "nothing"}, {"go", "events"}, {"node", "index.nothing"}, {"python", "deep/er.handler"}} {
		b.Run(program[0]+" "+program[1], func(b *testing.B) { benchmark(b, program[0], program[1]) })
	}
}

func benchmark(b *testing.B, language, handler string) {
	const callers, records = 4, 100
	c := program(b, language, handler)
	c.Processes = callers
	f := &lambda.Function{Config: c}
	defer f.Close()
	payloads := make([]string, records)
	for i := range payloads {
		payloads[i] = fmt.Sprintf(`{"event":"update","raceId":"race-%d","cadence":90,"resistance":40,"name":"%0125d"}`, i%3, i)
	}
	run := func(n int64) {
		var left atomic.Int64
		left.Store(n)
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				in := function.Input{Batch: functiontest.Batch(0, payloads...)}
				for left.Add(-1) >= 0 {
					if _, err := f.Invoke(b.Context(), in); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	run(callers * 50) // starts the processes and warms them up
	b.ReportAllocs()
	b.ResetTimer()
	run(int64(b.N))
	b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds(), "records/s")
}

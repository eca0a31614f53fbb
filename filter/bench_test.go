package filter_test

import (
	"encoding/json"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
)

// The payload has 200 bytes, as a message of the bike race has.
const message = `{"event":"update","deviceTimestamp":1545084650987,"second":117,"raceId":"race-7","name":"Ada Lovelace","racerId":"r-000042","classId":3,"cadence":87,"resistance":46,"output":121.5,"tags":["a","b","c"]}`

var benchmarks = []struct {
	name, pattern string
	want          filter.Verdict
}{
	{"equals", `{"data":{"event":["final"]}}`, filter.NoMatch},
	{"six fields", `{"data":{"event":["update"],"raceId":[{"prefix":"race-"}],"cadence":[{"numeric":[">",50,"<=",120]}],"classId":[1,2,3],"name":[{"anything-but":{"prefix":"bot-"}}],"tags":["c"]}}`, filter.Pass},
	{"ignore case", `{"data":{"name":[{"equals-ignore-case":"ada lovelace"}],"racerId":[{"suffix":{"equals-ignore-case":"42"}}]}}`, filter.Pass},
	{"wildcard", `{"data":{"racerId":[{"wildcard":"r-*42"}]}}`, filter.Pass},
	{"five patterns", `[{"data":{"event":["a"]}},{"data":{"event":["b"]}},{"data":{"event":["c"]}},{"data":{"second":[{"numeric":[">",200]}]}},{"data":{"$or":[{"a":[1]},{"output":[121.5]}]}}]`, filter.Pass},
	{"key only", `{"partitionKey":["race-7"]}`, filter.Pass},
}

func BenchmarkFilter(b *testing.B) {
	for _, c := range benchmarks {
		b.Run(c.name, func(b *testing.B) {
			f := parse(b, c.pattern)
			r := leat.Record{PartitionKey: "race-7", Data: []byte(message)}
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if f.Record(&r) != c.want {
					b.Fatal("it is judged otherwise")
				}
			}
		})
	}
	b.Run("decoding into a map alone", func(b *testing.B) {
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		for b.Loop() {
			var m map[string]any
			if json.Unmarshal([]byte(message), &m) != nil {
				b.Fatal("it is not decoded")
			}
		}
	})
}

func TestMatchingAllocatesNothing(t *testing.T) {
	for _, c := range benchmarks {
		f := parse(t, c.pattern)
		r := leat.Record{PartitionKey: "race-7", Data: []byte(message)}
		if n := testing.AllocsPerRun(100, func() { f.Record(&r) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

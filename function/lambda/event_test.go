package lambda

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/functiontest"
)

func BenchmarkEvent(b *testing.B) {
	payloads := make([]string, 1000)
	for i := range payloads {
		payloads[i] = strings.Repeat("x", 200)
	}
	in := function.Input{Batch: functiontest.Batch(0, payloads...)}
	e := event{identity: "arn:aws:iam::000000000000:role/leat", region: "us-east-1", streamARN: "arn", limit: maxPayload}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = e.append(buf[:0], &in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(in.Batch.Records))/b.Elapsed().Seconds(), "records/s")
}

func FuzzEvent(f *testing.F) {
	f.Add("key", []byte("data"), []byte(`{"a":1}`))
	f.Add("\x00\"\\\u2028é\xff", []byte{0, 255}, []byte(nil))
	f.Fuzz(func(t *testing.T, key string, data, state []byte) {
		if state != nil && !json.Valid(state) {
			state = nil
		}
		in := function.Input{Batch: functiontest.Batch(3, string(data), ""), Window: &function.Window{State: state}}
		in.Batch.Records[0].PartitionKey = key
		e := event{region: "us-east-1", limit: maxPayload}
		out, err := e.append(nil, &in)
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			Records []struct {
				EventID string
				Kinesis struct {
					PartitionKey, SequenceNumber string
					Data                         []byte
				}
			}
		}
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		r := back.Records[0]
		if len(back.Records) != 2 || string(r.Kinesis.Data) != string(data) || r.Kinesis.PartitionKey != string([]rune(key)) ||
			r.EventID != "shardId-000000000003:"+r.Kinesis.SequenceNumber || r.Kinesis.SequenceNumber != in.Batch.First().String() {
			t.Errorf("%q, %q became %s", key, data, out)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{"", "null", `{"batchItemFailures":[{"itemIdentifier":"x"}],"state":{"a":[]}}`, `{"batchItemFailures":[[]]}`, `[1,{}]`, "\"", `{"a":{"b":[`} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, c := range []Config{{}, {Strict: true}, {IgnoreBatchItemFailures: true}} {
			in := function.Input{Batch: functiontest.Batch(3, "a"), Window: &function.Window{}}
			r, err := c.result(&in, body)
			if err == nil && (!json.Valid(r.State) || len(r.Failed) > 0) {
				t.Errorf("%q: state %q, failed %v", body, r.State, r.Failed)
			}
		}
		errorOf(body, "kind").Trim()
	})
}

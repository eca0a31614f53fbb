package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/functiontest"
	"github.com/leatstream/leat/internal/setting"
)

func FuzzAnswers(f *testing.F) {
	for _, line := range []string{"", "null", "{}", `{"error":"x"}`, `{"put":[{"stream":"s","key":null,"data":{}}]}`, `{"put":[{"stream":"s","data_base64":"AA=="}]}`, `{"state":{}}`, `{} {}`, `{"a":1}`, "\xff", "[[["} {
		f.Add([]byte(line), []byte(`{"state":{}}`))
	}
	f.Fuzz(func(t *testing.T, line, last []byte) {
		in := function.Input{Batch: functiontest.Batch(1, "a"), Window: &function.Window{}}
		for _, c := range []Config{{}, {Output: "s"}} {
			r, err := c.result(&in, [][]byte{line, last})
			if err != nil {
				continue
			}
			if !json.Valid(r.State) || len(r.Failed) > 1 || len(r.Failed) == 1 && len(r.Puts) > 0 {
				t.Errorf("%q, %q: %+v", line, last, r)
			}
			for _, p := range r.Puts {
				if p.Stream == "" {
					t.Errorf("%q: %+v", line, r)
				}
			}
		}
	})
}

func FuzzInput(f *testing.F) {
	f.Add("key", []byte("{\"a\":\r\n 1}"), []byte("{\n}"))
	f.Add("\x00\"\xff", []byte("no\nJSON"), []byte(nil))
	f.Fuzz(func(t *testing.T, key string, data, state []byte) {
		if !json.Valid(state) {
			state = nil
		}
		in := function.Input{Batch: functiontest.Batch(1, string(data)), Window: &function.Window{State: state}}
		in.Batch.Records[0].PartitionKey = key
		lines := strings.Split(string((&Config{}).input(nil, &in)), "\n")
		if len(lines) != 3 || lines[2] != "" || !json.Valid([]byte(lines[0])) {
			t.Fatalf("%q", lines)
		}
		var back struct {
			Sequence, Key string
			Data          json.RawMessage
			Base64        []byte `json:"data_base64"`
		}
		if err := json.Unmarshal([]byte(lines[1]), &back); err != nil || back.Sequence != in.Batch.First().String() || back.Key != string([]rune(key)) {
			t.Fatalf("%v: %q", err, lines[1])
		}
		if json.Valid(data) {
			var a, b bytes.Buffer
			if json.Compact(&a, data) != nil || json.Compact(&b, back.Data) != nil || a.String() != b.String() {
				t.Errorf("%q became %q", data, back.Data)
			}
		} else if !bytes.Equal(back.Base64, data) {
			t.Errorf("%q became %q", data, back.Base64)
		}
	})
}

// answering makes this program one that answers every line with an empty one.
const answering = "LEAT_COMMAND_ANSWERS"

func TestMain(m *testing.M) {
	if os.Getenv(answering) == "" {
		os.Exit(m.Run())
	}
	in, out := bufio.NewReaderSize(os.Stdin, 64<<10), bufio.NewWriter(os.Stdout)
	for {
		if _, err := in.ReadSlice('\n'); err != nil {
			os.Exit(0)
		}
		out.WriteByte('\n')
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}

// BenchmarkCalls measures batches of 100 records of 200 bytes with one process that only answers.
func BenchmarkCalls(b *testing.B) {
	f := &Function{Config: Config{Command: []string{os.Args[0]}, Timeout: time.Hour, Environment: map[string]setting.Secret{answering: setting.NewSecret("1")}}}
	defer f.Close()
	payloads := make([]string, 100)
	for i := range payloads {
		payloads[i] = fmt.Sprintf(`{"n":%d,"text":"%0180d"}`, i, i)
	}
	in := function.Input{Batch: functiontest.Batch(1, payloads...)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Invoke(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(payloads))/b.Elapsed().Seconds(), "records/s")
}

// Package functiontest is what every function.Function must do. An adapter's own tests call Run with a way to make a function whose
// code behaves as Code describes; a new adapter begins by making them pass.
//
// # The code
//
// The payload of a record says what the code does with it. Payloads without a "do", and those that are no JSON, are taken for done.
//
//	{"do":"report"}  the record fails, and the others of the batch do not
//	{"do":"throw"}   the call fails with an error whose message holds "on purpose"
//	{"do":"exit"}    the process ends with status 3 and no answer
//	{"do":"hang"}    the call never ends
//
// In a window that goes on the code returns the state {"seen":"…"}: what was seen before, and for every record of the call its sequence number, the base64 of its
// payload, and its key, each with a line feed behind it.
package functiontest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
)

// Config says how a function is made and what it can do.
type Config struct {
	// New returns a function that runs the code in at most four calls at once, each of at most the given time. The suite closes
	// it if it is an io.Closer.
	New func(t testing.TB, limit time.Duration) function.Function

	// Largest is how many bytes of payload certainly do not fit into one call. 0: everything fits.
	Largest int

	// NoProcess: the code runs in this process, so that it can neither exit nor hang.
	NoProcess bool
}

// long is a limit that no call reaches, however busy the machine is.
const long = 10 * time.Minute

// Run runs the whole suite, every test on a function of its own.
func Run(t *testing.T, c Config) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*rig)
	}{
		{"RecordsArriveWholeAndInOrder", testOrder},
		{"StateGoesFromCallToCall", testState},
		{"FailedRecordsAreNamed", testFailed},
		{"AnErrorFailsTheBatch", testThrow},
		{"CallsRunAtTheSameTime", testTogether},
		{"ABatchThatIsTooLargeIsDivided", testLarge},
		{"AnExitFailsTheCall", testExit},
		{"ACallHasALimit", testHang},
		{"ACallIsCutOff", testCancel},
		{"ACallThatBeginsTooLateIsNotMade", testLate},
		{"AClosedFunctionIsGone", testClose},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&rig{Config: c, t: t}) })
	}
}

type rig struct {
	Config
	t *testing.T
}

func (r *rig) fresh(limit time.Duration) function.Function {
	f := r.New(r.t, limit)
	if closer, ok := f.(io.Closer); ok {
		r.t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				r.t.Errorf("close: %v", err)
			}
		})
	}
	return f
}

var (
	created = time.Unix(1_700_000_000, 0)
	arrived = time.UnixMilli(1_700_000_100_987)
)

// Batch returns a batch of records with these payloads. Their keys are awkward.
func Batch(shard leat.ShardID, payloads ...string) leat.Batch {
	keys := []string{"a", " ", `"quoted"`, "back\\slash", "tab\tline\n", "käse/../€", "\u2028<script>", strings.Repeat("\U0001f600", 64)}
	b := leat.Batch{Stream: "rides", Shard: shard, Epoch: 1}
	for i, payload := range payloads {
		at := arrived.Add(time.Duration(i) * time.Millisecond)
		b.Records = append(b.Records, leat.Record{
			Sequence: leat.NewSequence(shard, created, uint64(i), at), PartitionKey: keys[i%len(keys)], Arrived: at, Data: []byte(payload),
		})
	}
	return b
}

func window(state []byte) *function.Window {
	start := arrived.Truncate(time.Minute).UTC()
	return &function.Window{Start: start, End: start.Add(time.Minute), State: state}
}

// seen returns what code that has seen the records says of them.
func seen(records []leat.Record) string {
	var text strings.Builder
	for _, rec := range records {
		fmt.Fprintf(&text, "%s\n%s\n%s\n", rec.Sequence, base64.StdEncoding.EncodeToString(rec.Data), rec.PartitionKey)
	}
	return text.String()
}

// call calls f and wants success without failed records.
func (r *rig) call(f function.Function, in function.Input) function.Result {
	r.t.Helper()
	result, err := f.Invoke(r.t.Context(), in)
	if err != nil || len(result.Failed) > 0 {
		r.t.Fatalf("a call: %v, failed %v", err, result.Failed)
	}
	return result
}

// check calls f with a window and wants it to see exactly the records.
func (r *rig) check(f function.Function, b leat.Batch) {
	r.t.Helper()
	if got := r.seen(r.call(f, function.Input{Batch: b, Window: window(nil)})); got != seen(b.Records) {
		r.t.Fatalf("the code saw\n%.2000s\nwant\n%.2000s", got, seen(b.Records))
	}
}

func (r *rig) seen(result function.Result) string {
	r.t.Helper()
	var state struct{ Seen string }
	if err := json.Unmarshal(result.State, &state); err != nil {
		r.t.Fatalf("state %.200q: %v", result.State, err)
	}
	return state.Seen
}

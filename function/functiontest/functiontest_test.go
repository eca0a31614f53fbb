package functiontest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/functiontest"
)

// defectOf names the defect that a child process is given, so that the suite's failures are seen from outside.
const defectOf = "LEAT_FUNCTIONTEST_DEFECT"

// limit is how many bytes of payload and key fit into one call.
const limit = 1 << 20

// here runs the code of the suite in this process, with a defect.
type here struct {
	defect string
	mu     sync.Mutex
	last   []byte
	closed bool
}

func (h *here) Invoke(ctx context.Context, in function.Input) (r function.Result, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil && h.defect != "late" {
		return r, err
	}
	if h.closed && h.defect != "closed" {
		return r, function.Gone(errors.New("closed"))
	}
	if err := h.tooLarge(&in); err != nil && h.defect != "large" {
		return r, err
	}
	var state struct {
		Seen string `json:"seen"`
	}
	if in.Window != nil && in.Window.State != nil && h.defect != "forget" {
		if err := json.Unmarshal(in.Window.State, &state); err != nil {
			return r, err
		}
	}
	for i, rec := range in.Batch.Records {
		var what struct{ Do string }
		_ = json.Unmarshal(rec.Data, &what)
		if h.defect == "trim" {
			rec.Data = bytes.TrimSpace(rec.Data)
		}
		switch {
		case what.Do == "report" && (h.defect != "first" || i < 2):
			r.Failed = append(r.Failed, rec.Sequence)
		case what.Do == "throw" && h.defect == "permanent":
			return r, function.Permanent(&function.Error{Type: "E", Message: "on purpose"})
		case what.Do == "throw" && h.defect == "plain":
			return r, errors.New("on purpose")
		case what.Do == "throw" && h.defect != "swallow":
			return r, &function.Error{Type: "E", Message: "on purpose"}
		}
		state.Seen += fmt.Sprintf("%s\n%s\n%s\n", rec.Sequence, base64.StdEncoding.EncodeToString(rec.Data), rec.PartitionKey)
	}
	if r.State, err = json.Marshal(state); h.defect == "mixed" {
		r.State, h.last = h.last, r.State
	}
	return r, err
}

func (h *here) tooLarge(in *function.Input) error {
	size := 0
	for i := range in.Batch.Records {
		if size += in.Batch.Records[i].Size(); size > limit {
			e := &function.TooLargeError{Fits: i, Limit: limit}
			if i == 0 && h.defect != "alone" {
				return function.Permanent(e)
			}
			return e
		}
	}
	return nil
}

func (h *here) Close() error {
	h.closed = true
	return nil
}

func TestHere(t *testing.T) {
	functiontest.Run(t, functiontest.Config{NoProcess: true, Largest: limit + limit/10, New: func(testing.TB, time.Duration) function.Function {
		return &here{defect: os.Getenv(defectOf)}
	}})
}

// TestTheSuiteFindsDefects is the control: each defect must be found by the test that is there for it.
func TestTheSuiteFindsDefects(t *testing.T) {
	for defect, test := range map[string]string{
		"trim": "RecordsArriveWhole", "forget": "StateGoes", "first": "FailedRecords", "swallow": "AnErrorFails", "plain": "AnErrorFails", "permanent": "AnErrorFails",
		"mixed": "CallsRunAtTheSameTime", "large": "ABatchThatIsTooLarge", "alone": "ABatchThatIsTooLarge", "late": "ACallThatBeginsTooLate", "closed": "AClosedFunction",
	} {
		t.Run(defect, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestHere$/^"+test)
			cmd.Env = append(os.Environ(), defectOf+"="+defect)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestHere/"+test) {
				t.Errorf("the defect was not found (%v): %s", err, out)
			}
		})
	}
}

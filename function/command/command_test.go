package command_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/command"
	"github.com/leatstream/leat/function/functiontest"
	"github.com/leatstream/leat/internal/setting"
)

func python(t testing.TB, args ...string) command.Config {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("LEAT_TEST_ALL") == "1" {
			t.Fatal("python3 is not installed")
		}
		t.Skip("python3 is not installed")
	}
	return command.Config{Command: append([]string{"python3"}, args...), Timeout: 10 * time.Minute}
}

func open(t testing.TB, c command.Config) *command.Function {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	f := &command.Function{Config: c}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if n := f.Status().Processes; n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
	return f
}

func TestTheSuite(t *testing.T) {
	python(t) // skips here
	functiontest.Run(t, functiontest.Config{New: func(t testing.TB, limit time.Duration) function.Function {
		c := python(t, "testdata/lines.py")
		c.Timeout, c.Processes, c.Payload = limit, 4, "base64"
		return open(t, c)
	}})
}

// script returns a program that answers every line of its input, in line, with the value of an expression.
func script(expression string) string {
	return "import json, os, sys, time\nfor line in sys.stdin:\n    read = json.loads(line)\n    print(" + expression + ", flush=True)\n"
}

func call(t *testing.T, f function.Function, payloads ...string) (function.Result, error) {
	t.Helper()
	return f.Invoke(t.Context(), function.Input{Batch: functiontest.Batch(7, payloads...)})
}

func TestAnswersMayPutRecords(t *testing.T) {
	t.Parallel()
	f := open(t, python(t, "-c", script(`json.dumps(read["data"])`)))
	r, err := call(t, f,
		`{"put":[{"stream":"a","key":"k","data":{"n" : 1}},{"stream":"a","data":null}]}`, ` {"put":
			[{"stream":"b","data_base64":"AP8="}]} `, `null`, `{"error":"because"}`, `{"put":[{"stream":"a","data":2}]}`, `{"error":"later"}`)
	if err != nil {
		t.Fatal(err)
	}
	b := functiontest.Batch(7, "", "", "", "", "", "")
	if len(r.Failed) != 2 || r.Failed[0] != b.Records[3].Sequence || r.Reason != "because" {
		t.Errorf("failed %v because of %q", r.Failed, r.Reason)
	}
	if len(r.Puts) != 2 || r.Puts[0].Stream != "a" || len(r.Puts[0].Events) != 2 || r.Puts[1].Stream != "b" || len(r.Puts[1].Events) != 1 {
		t.Fatalf("puts %+v", r.Puts)
	}
	for i, want := range []leat.Event{{PartitionKey: "k", Data: []byte(`{"n": 1}`)}, {PartitionKey: b.Records[0].PartitionKey, Data: []byte("null")}, {PartitionKey: b.Records[1].PartitionKey, Data: []byte("\x00\xff")}} {
		got := append(r.Puts[0].Events, r.Puts[1].Events...)[i]
		if got.PartitionKey != want.PartitionKey || string(got.Data) != string(want.Data) {
			t.Errorf("%d: got %+v, %s, want %s", i, got, got.Data, want.Data)
		}
	}
}

func TestAnswersMayBePayloads(t *testing.T) {
	t.Parallel()
	c := python(t, "-c", script(`read.get("data", "") and json.dumps(read["data"])`))
	c.Output = "clean"
	r, err := call(t, open(t, c), `{"a":1}`, "no JSON", `[2]`)
	if err != nil || len(r.Puts) != 1 || r.Puts[0].Stream != "clean" || len(r.Puts[0].Events) != 2 || string(r.Puts[0].Events[1].Data) != "[2]" {
		t.Errorf("%v: %+v", err, r.Puts)
	}
}

func TestWrongAnswersFailTheCall(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`"no JSON"`:            "the answer to a record is wrong",
		`'{"eror":"x"}'`:       "unknown field",
		`'{} {}'`:              "more than one value",
		`'{"state":{}}'`:       "a state answers a window",
		`'{"put":[{}]}'`:       "needs a stream",
		`"{}\n{}"`:             "nobody has asked for",
		`"x" * 2000`:           "a line of more than 1KiB",
		`os._exit(6)`:          "ended with exit status 6, and 1 lines are not answered",
		`len("a" * 9) + [][1]`: "ended with exit status 1",
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			c := python(t, "-c", script(expression))
			c.MaxLine = 1024
			f := open(t, c)
			for range 3 {
				_, err := call(t, f, "{}")
				var e *function.Error
				if err == nil && expression == `"{}\n{}"` {
					continue // the second line was not there yet: the next call finds it
				}
				if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || function.IsGone(err) || function.IsPermanent(err) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func TestAProgramThatIsNotThereIsGone(t *testing.T) {
	t.Parallel()
	for _, c := range []command.Config{{Command: []string{"no-such-program"}}, {Command: []string{"/dev/null"}}, {}} {
		f := &command.Function{Config: c}
		if _, err := call(t, f, "{}"); !function.IsGone(err) {
			t.Errorf("%v: got %v, want function.Gone", c.Command, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		config command.Config
		want   string
	}{
		{command.Config{}, "command: names no program"},
		{command.Config{Command: []string{"jq -c ."}}, "each argument an item"},
		{command.Config{Command: []string{"x"}, Environment: map[string]setting.Secret{"A=B": setting.NewSecret("hunter2")}}, `environment: "A=B" is no name`},
	} {
		if err := test.config.Check(); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

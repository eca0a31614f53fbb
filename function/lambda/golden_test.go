package lambda_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/lambda"
)

// The answers that AWS was seen to take for success and for failure of the whole batch. ${first} is a number of the batch.
func TestAnswersAreReadAsOnAWS(t *testing.T) {
	t.Parallel()
	c := program(t, "python", "app.answer")
	f, _ := open(t, c)
	c.Strict = true
	strict, _ := open(t, c)
	c.Strict, c.IgnoreBatchItemFailures = false, true
	ignoring, _ := open(t, c)
	for _, test := range []struct {
		answer string
		failed string // the error, or the number of records that failed
		strict string // the same with strict, if it differs
	}{
		{answer: `""`},
		{answer: `[]`},
		{answer: `null`},
		{answer: `{}`},
		{answer: `{"batchItemFailures":[]}`},
		{answer: `{"batchItemFailures":null}`},
		{answer: `{"batchItemFailures":[{"itemIdentifier":""}]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":[{"itemIdentifier":null}]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":[{"foo":123}]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":[{"foo":null}]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":[{"itemIdentifier":123}]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":[{"itemIdentifier":"49590338271490256608559692538361571095921575989136588898"}]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":["x",7,[],null]}`, failed: "names no record"},
		{answer: `{"batchItemFailures":{"itemIdentifier":"1"}}`, failed: "no list"},
		{answer: `{"batchItemFailures":[{"itemIdentifier":"${first}"}]}`, failed: "1"},
		{answer: `{"other":1,"batchItemFailures":[{"itemIdentifier":"${first}"},{"itemIdentifier":"${first}"}]}`, failed: "2", strict: `"other"`},
		{answer: `{"batchItemFailures":[{"itemIdentifier":"${first}"},{"itemIdentifier":"1"}]}`, failed: "names no record"},
		{answer: `{"failedItems":["${first}"]}`, strict: `a member "failedItems"`},
		{answer: `"OK"`, strict: "no object"},
		{answer: `true`, strict: "no object"},
		{answer: `[1]`, strict: "no object"},
	} {
		in := input("{}")
		in.Batch.Records[0].Data = []byte(strings.ReplaceAll(test.answer, "${first}", in.Batch.First().String()))
		judge(t, f, in, test.failed)
		if test.strict == "" {
			test.strict = test.failed
		}
		judge(t, strict, in, test.strict)
		judge(t, ignoring, in, "")
	}
}

// judge calls f and wants an error with the text, or so many failed records if the text is a number.
func judge(t *testing.T, f function.Function, in function.Input, want string) {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(want, "0"))
	if err != nil {
		wants(t, f, in, want)
		return
	}
	result, err := f.Invoke(t.Context(), in)
	if err != nil || len(result.Failed) != n || n > 0 && result.Failed[0] != in.Batch.First() {
		t.Errorf("%s: %v, failed %v; want %d", in.Batch.Records[0].Data, err, result.Failed, n)
	}
}

func TestStateIsPassedOnByteForByte(t *testing.T) {
	t.Parallel()
	f, _ := open(t, program(t, "go", "echo"))
	in := function.Input{Batch: batch("{}"), Window: &function.Window{Start: time.Unix(0, 0), End: time.Unix(60, 0)}}
	for _, state := range []string{`{}`, `{"n":1.50e+10,"u":"\u00e9é","a" : [ 1,2 ]}`, `{"same":1,"same":2}`} {
		in.Window.State = []byte(state)
		result, err := f.Invoke(t.Context(), in)
		if err != nil || string(result.State) != state {
			t.Errorf("%s came back as %s, %v", state, result.State, err)
		}
	}
}

func TestAWindowThatGoesOnNeedsState(t *testing.T) {
	t.Parallel()
	f, _ := open(t, program(t, "python", "app.answer"))
	for answer, ok := range map[string]bool{`null`: false, `{}`: false, `{"state":null}`: false, `{"state":5}`: false, `{"state":{}}`: true, `{"batchItemFailures":[]}`: false} {
		in := input(answer)
		in.Window = &function.Window{Start: time.Unix(0, 0), End: time.Unix(60, 0)}
		_, err := f.Invoke(t.Context(), in)
		if (err == nil) != ok {
			t.Errorf("%s: %v", answer, err)
		}
		for _, w := range []function.Window{{Final: true}, {Early: true}} {
			in.Window = &w
			if _, err := f.Invoke(t.Context(), in); err != nil {
				t.Errorf("%s to a call of %+v: %v", answer, w, err)
			}
		}
	}
}

// The event of AWS's own guide, with our numbers: these are bytes that functions rely on.
func TestEvents(t *testing.T) {
	t.Parallel()
	c := program(t, "go", "echo")
	c.Region, c.Account = "us-east-2", "123456789012"
	f, _ := open(t, c)
	at := time.UnixMilli(1545084650987)
	sequence := leat.NewSequence(6, time.Unix(1545000000, 0), 42, at)
	in := function.Input{
		Batch: leat.Batch{Stream: "lambda-stream", Shard: 6, Records: []leat.Record{
			{Sequence: sequence, PartitionKey: `1"`, Arrived: at, Data: []byte("Hello, this is a test.")},
			{Sequence: sequence, PartitionKey: "é", Arrived: time.UnixMilli(1545084651000)},
		}},
		Window: &function.Window{Start: time.Unix(1607497440, 0), End: time.Unix(1607497560, 0)},
	}
	n := sequence.String()
	record := func(key, data, arrived string) string {
		return `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"` + key + `","sequenceNumber":"` + n + `","data":"` + data +
			`","approximateArrivalTimestamp":` + arrived + `},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:` + n +
			`","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/leat","awsRegion":"us-east-2",` +
			`"eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}`
	}
	plain := `{"Records":[` + record(`1\"`, "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==", "1545084650.987") + `,` + record("é", "", "1545084651.000") + `]`
	want := plain + `,"window":{"start":"2020-12-09T07:04:00Z","end":"2020-12-09T07:06:00Z"},"state":{},"shardId":"shardId-000000000006",` +
		`"eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream","isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}`
	check := func(want string) {
		t.Helper()
		result, err := f.Invoke(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var state struct{ Event json.RawMessage }
		if err := json.Unmarshal(result.State, &state); err != nil || string(state.Event) != want {
			t.Errorf("got  %s\nwant %s\n%v", state.Event, want, err)
		}
	}
	in.Window.State = []byte(`{"whole":true}`)
	check(strings.Replace(want, `"state":{}`, `"state":{"whole":true}`, 1))
	in.Window.Early = true
	check(strings.Replace(strings.Replace(want, `"state":{}`, `"state":{"whole":true}`, 1), `Early":false`, `Early":true`, 1))
	in.Window.Early, in.Window.Final, in.Batch.Records = false, true, nil
	check(`{"Records":[]` + strings.Replace(strings.Replace(strings.TrimPrefix(want, plain), `"state":{}`, `"state":{"whole":true}`, 1), `Window":false`, `Window":true`, 1))
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		config lambda.Config
		want   string
	}{
		{lambda.Config{Code: "f.zip"}, "code: a zip file cannot be run; unpack it"},
		{lambda.Config{Runtime: "provided", Interpreter: "node"}, "interpreter: the runtime provided has none"},
		{lambda.Config{Runtime: "python"}, "handler: the runtime python needs one; write FILE.FUNCTION"},
		{lambda.Config{Handler: "index"}, `handler: expected FILE.FUNCTION, got "index"`},
		{lambda.Config{Handler: "../index.handler"}, "handler: expected"},
		{lambda.Config{Name: "a b"}, "name: expected at most 64 letters"},
	} {
		if err := test.config.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %q", test.config, err, test.want)
		}
	}
	for _, handler := range []string{"index.handler", "src/app.a.b", "pkg.module.handler"} {
		if err := (&lambda.Config{Code: "x", Handler: handler}).Check(); err != nil {
			t.Errorf("%s: %v", handler, err)
		}
	}
	if names := environmentErrors("AWS_LAMBDA_X", "_HANDLER", "AWS_REGION", "a=b", ""); slices.Contains(names, "") {
		t.Errorf("got %q", names)
	}
	if names := environmentErrors("TZ", "AWS_ACCESS_KEY_ID", "PATH"); strings.Join(names, "") != "" {
		t.Errorf("got %q", names)
	}
}

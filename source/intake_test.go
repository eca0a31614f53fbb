package source_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source"
)

func step(t testing.TB, name string, option any) decode.Step {
	t.Helper()
	s, err := decode.NewStep(name, option)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func class(when, is string) source.Class {
	return source.Class{When: expression.MustParseCondition(when), Is: is}
}

func start(t testing.TB, in *source.Intake) *source.Intaking {
	t.Helper()
	if err := in.Check(); err != nil {
		t.Fatal(err)
	}
	taking, err := in.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(taking.Close)
	return taking
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func texts(events []leat.Event) (list []string) {
	for _, e := range events {
		list = append(list, string(e.Data))
	}
	return list
}

func TestAMessageIsHandedOnAsItIs(t *testing.T) {
	taking, message := start(t, &source.Intake{}), []byte(`{"a":1}`)
	taken, err := taking.Take(message)
	if err != nil || len(taken.Events) != 1 || &taken.Events[0].Data[0] != &message[0] {
		t.Errorf("got %+v, %v", taken, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = taking.Take(message) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	classified := start(t, &source.Intake{Classify: []source.Class{class(`type == "heartbeat" or code in ["a"]`, "heartbeat")}})
	if n := testing.AllocsPerRun(100, func() { _, _ = classified.Take(message) }); n > 0 {
		t.Errorf("with a rule: %v allocations", n)
	}
}

func TestMessagesAreClassified(t *testing.T) {
	limited := class(`code == 429`, "rate_limited")
	limited.RetryAfter = expression.MustParse("wait_ms / 1000")
	gap := class(`type == "info"`, "gap")
	gap.Why = expression.MustParseTemplate("skipped {{n}}")
	taking := start(t, &source.Intake{Classify: []source.Class{
		class(`type == "trade" and test == true`, "data"),
		class(`type in ["heartbeat", "trade"]`, "heartbeat"),
		class(`type == "ack"`, "ack"), class(`type == "note"`, "warn"), class(`type == "shutdown"`, "reconnect"),
		class(`type == "denied"`, "fatal"), limited, gap,
	}})
	for _, c := range []struct {
		message string
		events  int
		kind    source.EndKind
		after   time.Duration
		text    string // of the reason, or of the gap
	}{
		{`{"type":"trade","test":true}`, 1, "", 0, ""},
		{`{"type":"trade"}`, 0, "", 0, ""},
		{`{"type":"heartbeat"}`, 0, "", 0, ""},
		{`{"type":"ack"}`, 0, "", 0, ""},
		{`{"type":"note"}`, 0, "", 0, ""},
		{`{"type":"nobody knows it"}`, 1, "", 0, ""},
		{`no JSON`, 1, "", 0, ""},
		{`{"type":"shutdown"}`, 0, source.EndReconnect, 0, `{"type":"shutdown"}`},
		{`{"type":"denied"}`, 0, source.EndFatal, 0, `{"type":"denied"}`},
		{`{"code":429}`, 0, source.EndLimited, time.Minute, `{"code":429}`},
		{`{"code":429,"wait_ms":2500}`, 0, source.EndLimited, 2500 * time.Millisecond, `{"code":429,"wait_ms":2500}`},
		{`{"code":429,"wait_ms":1e12}`, 0, source.EndLimited, time.Hour, `{"code":429,"wait_ms":1e12}`},
		{`{"type":"info","n":7}`, 0, "", 0, `skipped 7`},
	} {
		taken, err := taking.Take([]byte(c.message))
		var end *source.EndError
		var skip *source.SkipError
		switch {
		case c.kind != "":
			if !errors.As(err, &end) || end.Kind != c.kind || end.RetryAfter != c.after || end.Reason != c.text {
				t.Errorf("%s: got %#v", c.message, err)
			}
		case c.text != "":
			if !errors.As(err, &skip) || skip.Reason != "provider" || skip.Detail != c.text || skip.Bytes != int64(len(c.message)) {
				t.Errorf("%s: got %#v", c.message, err)
			}
		case err != nil || len(taken.Events) != c.events || string(taken.Message) != c.message:
			t.Errorf("%s: got %+v, %v", c.message, taken, err)
		}
	}
	fatal := &source.EndError{Kind: source.EndFatal}
	if !fatal.Refused() {
		t.Error("a provider that will not serve us is asked again at once")
	}
}

func TestWhatCannotBeDecodedIsLeftOut(t *testing.T) {
	taking := start(t, &source.Intake{Decode: []decode.Step{step(t, "gzip", nil)}, MaxDecoded: 1024})
	var skip *source.SkipError
	if _, err := taking.Take([]byte("plain")); !errors.As(err, &skip) || skip.Reason != "decode" || skip.Bytes != 5 {
		t.Errorf("got %v", err)
	}
	if _, err := taking.Take(zipped(t, strings.Repeat("x", 1025))); !errors.As(err, &skip) || skip.Reason != "too_large" {
		t.Errorf("got %v", err)
	}
	if taken, err := taking.Take(zipped(t, `{"a":1}`)); err != nil || string(taken.Events[0].Data) != `{"a":1}` {
		t.Errorf("got %v, %v", taken, err)
	}
	stream := start(t, &source.Intake{Decode: []decode.Step{step(t, "zlib_stream", nil)}})
	if _, err := stream.Take([]byte("no zlib \x00\x00\xff\xff")); !errors.As(err, &skip) || skip.Reason != "decode" {
		t.Errorf("got %v", err)
	}
	var end *source.EndError
	if _, err := stream.Take([]byte("x")); !errors.As(err, &end) || end.Kind != source.EndProtocol {
		t.Errorf("behind a lost context got %v", err)
	}
	if _, err := (&source.Intake{Decode: []decode.Step{step(t, "zstd", "/nowhere/at/all")}}).Start(t.Context()); err == nil {
		t.Error("a dictionary that is not there passes")
	}
}

func split(t testing.TB, path string, keep any, columns ...string) *source.Split {
	t.Helper()
	s := &source.Split{Columns: columns}
	if path != "" {
		s.Path = expression.MustParsePath(path)
	}
	if keep != nil {
		if err := s.Keep.UnmarshalValue(keep); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestMessagesAreSplit(t *testing.T) {
	nested := `{"channel":"market_trades","events":[{"type":"update","trades":[{"id":1},{"id":2,"type":"own"}]},{"type":"x","trades":[{"id":3}]}]}`
	for _, c := range []struct {
		split   *source.Split
		index   string
		message string
		want    []string
	}{
		{split(t, "[]", nil), "", ` [ {"T":"t","x":"a,]\"}"} , 2,"s",[1,2],null ] `, []string{`{"T":"t","x":"a,]\"}"}`, `2`, `"s"`, `[1,2]`, `null`}},
		{split(t, "data[]", nil), "", `{"data":[{"a":1},{"a":2}]}`, []string{`{"a":1}`, `{"a":2}`}},
		{split(t, "data[]", nil), "", `{"data":[]}`, nil},
		{split(t, "data[]", nil), "", `{"data":{"a":1}}`, []string{`{"data":{"a":1}}`}},
		{split(t, "data[]", nil), "", `{"type":"ack"}`, []string{`{"type":"ack"}`}},
		{split(t, "data[]", nil), "", `{"data":[1,2`, []string{`{"data":[1,2`}},
		{split(t, "data[]", []any{"symbol"}), "n", `{"symbol":"B","data":[{"a":1},{},{"symbol":"C"},7]}`, []string{`{"symbol":"B","n":0,"a":1}`, `{"symbol":"B","n":1}`, `{"n":2,"symbol":"C"}`, `{"symbol":"B","n":3,"value":7}`}},
		{split(t, "events[].trades[]", []any{"channel", "events[].type"}), "part", nested, []string{
			`{"channel":"market_trades","type":"update","part":0,"id":1}`, `{"channel":"market_trades","part":1,"id":2,"type":"own"}`, `{"channel":"market_trades","type":"x","part":2,"id":3}`,
		}},
		{split(t, "events[].trades[]", map[string]any{"kind": "events[].type"}), "", nested, []string{`{"kind":"update","id":1}`, `{"kind":"update","id":2,"type":"own"}`, `{"kind":"x","id":3}`}},
		{split(t, "events[].trades[]", nil), "", `{"events":[{"subscriptions":{}}]}`, []string{`{"events":[{"subscriptions":{}}]}`}},
		{split(t, "states[]", []any{"time"}, "icao24", "", "country"), "", `{"time":5,"states":[["a",1,"DE",9],["b"]]}`, []string{`{"time":5,"icao24":"a","country":"DE"}`, `{"time":5,"icao24":"b"}`}},
		{split(t, "", nil, "channel", "data", "name", "pair"), "", `[119930880,[["1","2"]],"trade","XBT/USD"]`, []string{`{"channel":119930880,"data":[["1","2"]],"name":"trade","pair":"XBT/USD"}`}},
		{split(t, "", nil, "channel"), "", `{"event":"heartbeat"}`, []string{`{"event":"heartbeat"}`}},
		{split(t, "[][]", nil), "", `[[1,2],[],[3]]`, []string{`1`, `2`, `3`}},
	} {
		c.split.Index = c.index
		taken, err := start(t, &source.Intake{Split: c.split}).Take([]byte(c.message))
		got, _ := json.Marshal(texts(taken.Events))
		want, _ := json.Marshal(c.want)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of %s: got %s, %v", c.split.Path.String(), c.message, got, err)
		}
	}
}

func TestASplitIsBounded(t *testing.T) {
	var skip *source.SkipError
	many := start(t, &source.Intake{Split: split(t, "[]", nil)})
	if _, err := many.Take([]byte("[" + strings.Repeat("1,", 200_000) + "1]")); !errors.As(err, &skip) || skip.Reason != "too_large" {
		t.Errorf("got %v", err)
	}
	large := start(t, &source.Intake{Split: split(t, "d[]", []any{"big"}), MaxDecoded: 4096})
	if _, err := large.Take([]byte(`{"big":"` + strings.Repeat("x", 3000) + `","d":[` + strings.Repeat("1,", 100) + `1]}`)); !errors.As(err, &skip) || skip.Reason != "too_large" {
		t.Errorf("got %v", err)
	}
	if taken, err := large.Take([]byte(`{"big":"x","d":[1]}`)); err != nil || len(taken.Events) != 1 {
		t.Errorf("behind it got %v, %v", taken, err)
	}
}

func TestAnIntakeIsChecked(t *testing.T) {
	late := class("a == 1", "ack")
	late.RetryAfter = expression.MustParse("b")
	twice := split(t, "data[]", []any{"n"}, "a", "a")
	twice.Index = "n"
	for want, in := range map[string]source.Intake{
		"classify[0].retry_after: is for what ends": {Classify: []source.Class{late}},
		"split.path: it is missing":                 {Split: &source.Split{}},
		"split.path: it must end with []":           {Split: split(t, "data", nil)},
		"write data[].x[]":                          {Split: split(t, "data[].x", nil)},
		"split.keep: other[].x is not round":        {Split: split(t, "data[].x[]", []any{"other[].x"})},
		"split.keep: data[].x is not round":         {Split: split(t, "data[]", []any{"data[].x"})},
		"split.index: keep has \"n\", too":          {Split: twice},
		"split.columns: \"a\" is there twice":       {Split: twice},
	} {
		if err := in.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	for want, keep := range map[string]any{
		"names no member": []any{"a[0]"}, "is there twice": []any{"a.x", "b.x"}, "expected a path such as": []any{1}, "expected a list of paths": 7, "events[].trades[], got": map[string]any{"a": "b c"},
	} {
		var k source.Kept
		if err := k.UnmarshalValue(keep); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", keep, err)
		}
	}
}

func TestAnIntakeFeedsInOrder(t *testing.T) {
	taking, feed := start(t, &source.Intake{
		Classify: []source.Class{class(`h`, "heartbeat"), class(`g`, "gap"), class(`r`, "reconnect")}, Split: split(t, "d[]", nil),
	}), source.NewFeed(0)
	done := make(chan error, 1)
	go func() {
		for _, m := range []string{`{"d":[1,2]}`, `{"h":true}`, `{"g":true}`, `{"d":[3]}`, `{"r":true}`} {
			if _, err := taking.Feed(context.Background(), feed, time.Now(), []byte(m)); err != nil {
				feed.End(err)
				done <- err
				return
			}
		}
		done <- nil
	}()
	var got []string
	for {
		events, err := feed.Next(t.Context())
		got = append(got, texts(events)...)
		var skip *source.SkipError
		if errors.As(err, &skip) {
			got = append(got, skip.Reason)
			continue
		}
		var end *source.EndError
		if errors.As(err, &end) {
			got = append(got, string(end.Kind))
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(got, " ") != "1 2 provider 3 reconnect" || <-done == nil {
		t.Errorf("got %v", got)
	}
	if signs := feed.Signs(); signs.First.IsZero() || signs.Data.IsZero() {
		t.Errorf("got %+v", signs)
	}
}

// FuzzSplit holds that the parts of valid JSON are valid JSON, and exactly the elements that there are.
func FuzzSplit(f *testing.F) {
	f.Add([]byte(`{"k":1,"d":[{"a":1},[2,"x,]"],3,"\"",{"k":2}]}`))
	f.Add([]byte(`[{"d":[1]}]`))
	f.Add([]byte(`{"d":[[],{}, {"a" : "b\\"}],"k":"\u0000"}`))
	f.Add([]byte(`{"d":[1,2`))
	f.Add([]byte(`{"d":[1],"d":[2],"k":{"d":[3]}}`))
	plain := start(f, &source.Intake{Split: split(f, "d[]", nil)})
	dressed := split(f, "d[]", []any{"k"}, "a", "b")
	dressed.Index = "i"
	with := start(f, &source.Intake{Split: dressed})
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		taken, err := plain.Take(message)
		if err != nil || len(message) == 0 {
			return
		}
		if list := gjson.GetBytes(message, "d"); json.Valid(message) && list.IsArray() {
			want := list.Array()
			if len(want) != len(taken.Events) {
				t.Fatalf("%d events of %d", len(taken.Events), len(want))
			}
			for i, e := range taken.Events {
				if string(e.Data) != want[i].Raw || !json.Valid(e.Data) {
					t.Fatalf("element %d of %q is %q, want %q", i, message, e.Data, want[i].Raw)
				}
			}
		} else if len(taken.Events) != 1 || !bytes.Equal(taken.Events[0].Data, message) {
			t.Fatalf("%q becomes %q", message, texts(taken.Events))
		}
		taken, err = with.Take(message)
		if err == nil && json.Valid(message) {
			for _, e := range taken.Events {
				if !json.Valid(e.Data) {
					t.Fatalf("%q gives %q", message, e.Data)
				}
			}
		}
		if !bytes.Equal(message, before) {
			t.Fatal("the message has changed")
		}
	})
}

func BenchmarkIntake(b *testing.B) {
	message := []byte(`{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":1,"qty":2,"trade_id":3},{"symbol":"BTC/USD","side":"buy","price":1,"qty":2,"trade_id":4}]}`)
	classify := []source.Class{class(`channel == "heartbeat"`, "heartbeat"), class(`method == "subscribe"`, "ack"), class(`channel == "status"`, "control")}
	for name, in := range map[string]*source.Intake{
		"nothing": {}, "classify": {Classify: classify}, "split": {Split: split(b, "data[]", nil)}, "all": {Classify: classify, Split: split(b, "data[]", []any{"channel"})},
		"gzip": {Decode: []decode.Step{step(b, "gzip", nil)}},
	} {
		b.Run(name, func(b *testing.B) {
			taking, raw := start(b, in), message
			if name == "gzip" {
				raw = zipped(b, string(message))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := taking.Take(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

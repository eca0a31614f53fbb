package expression_test

import (
	"encoding/json"
	"testing"

	"github.com/leatstream/leat/internal/expression"
	"pgregory.net/rapid"
)

func TestPaths(t *testing.T) {
	const message = `{"a":{"b":[{"c":1},{"c":2}],"x-y":3},"$type":"t","0":{"7":8},"n":null}`
	for _, c := range []struct {
		source, want string
		arrays       int
		name         string
	}{
		{"a.b", `[{"c":1},{"c":2}]`, 0, "b"},
		{"a.b[1]", `{"c":2}`, 0, ""},
		{"a.b[1].c", `2`, 0, "c"},
		{"a.x-y", `3`, 0, "x-y"},
		{"$type", `"t"`, 0, "$type"},
		{"0.7", `8`, 0, "7"},
		{"n", `null`, 0, "n"},
		{"a.nothing", ``, 0, "nothing"},
		{"a.b[]", `[{"c":1},{"c":2}]`, 1, ""},
		{"[]", message, 1, ""},
		{"[][]", message, 2, ""},
		{"a.b[].c", `[{"c":1},{"c":2}]`, 1, "c"},
	} {
		p, err := expression.ParsePath(c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		first := p.Part(0)
		raw, at, ok := first.Find(message)
		if raw != c.want || ok != (c.want != "") || p.Arrays() != c.arrays || p.Name() != c.name {
			t.Errorf("%s: got %q, %v, %d arrays, name %q", c.source, raw, ok, p.Arrays(), p.Name())
		}
		if ok && message[at:at+len(raw)] != raw {
			t.Errorf("%s: it does not begin at %d", c.source, at)
		}
	}
	for _, source := range []string{"", ".", "a..b", "a.", ".a", "a[", "a]b", "a[x]", "a.[0]", `a["b"]`, "a b", "a[-1]"} {
		if p, err := expression.ParsePath(source); err == nil {
			t.Errorf("%q is taken as %v", source, p)
		}
	}
	outer := expression.MustParsePath("events[].trades[]")
	for source, want := range map[string]bool{"channel": true, "events[].type": true, "events[].trades[].id": true, "other[].type": false, "events[].trades[].a[]": false} {
		if p := expression.MustParsePath(source); p.Inside(&outer) != want {
			t.Errorf("%s: got %v", source, !want)
		}
	}
}

func holds(source, message string) bool {
	var l expression.Look
	l.Reset([]byte(message))
	c := expression.MustParseCondition(source)
	return c.Holds(&l)
}

func TestConditions(t *testing.T) {
	const message = `{"type":"heartbeat","code":402,"ok":true,"data":{"kind":"x\ny","no":null},"list":[{"T":"error","msg":"auth-required: now"}]}`
	for source, want := range map[string]bool{
		`type == "heartbeat"`:                        true,
		`type != "heartbeat"`:                        false,
		`type in ["a", "heartbeat"]`:                 true,
		`type not in ["a", "b"]`:                     true,
		`code == 402`:                                true,
		`code in [401, 402]`:                         true,
		`code > 400 and code < 500`:                  true,
		`ok`:                                         true,
		`not ok`:                                     false,
		`ok == true && !(code == 1)`:                 true,
		`data.kind == "x\ny"`:                        true,
		`data.no == nil`:                             true,
		`data.other == nil`:                          true,
		`data.other != "x"`:                          true,
		`nothing.other != "x"`:                       false,
		`nothing.other == nil`:                       false,
		`nothing?.other == nil`:                      true,
		`nothing == nil or nothing.other == 1`:       true,
		`list[0].T == "error"`:                       true,
		`list[1].T == "error"`:                       false,
		`list[0].msg startsWith "auth-required:"`:    true,
		`list[0].msg contains "now" and type == "x"`: false,
		`list[0].msg endsWith "now"`:                 true,
		`code startsWith "4"`:                        false,
		`msg.type == "heartbeat"`:                    true,
		`msg.code == "402"`:                          false,
		`len(list) == 1`:                             true,
		`type`:                                       false,
		`msg == nil`:                                 false,
		`data == 1`:                                  false,
	} {
		if holds(source, message) != want {
			t.Errorf("%s: want %v", source, want)
		}
	}
	if holds(`msg[0] == "EOSE"`, `["EOSE","sub"]`) != true || holds(`msg[2].T == 1`, `["EOSE","sub"]`) {
		t.Error("arrays")
	}
	var l expression.Look
	if zero := (expression.Condition{}); zero.Holds(&l) || !zero.IsZero() {
		t.Error("a condition that is not set holds")
	}
}

// The answer without decoding is that of the language.
func TestConditionsAreThoseOfTheLanguage(t *testing.T) {
	values := rapid.SampledFrom([]any{nil, true, false, 0, 1, -1, 1.5, 9007199254740993, "a", "ab", "", "1", []any{}, []any{"a", 1}, map[string]any{}, map[string]any{"b": "a"}, map[string]any{"b": nil, "c": 1}, []any{map[string]any{"b": 1}}})
	paths := rapid.SampledFrom([]string{"a", "b", "a.b", "a.c", "msg.a", "msg", "a[0]", "a[0].b", "msg[0]", "type", "len", "a[1]", "msg.a.b.c"})
	constants := rapid.SampledFrom([]string{`"a"`, `"ab"`, `""`, `"1"`, `1`, `0`, `-1`, `nil`, `true`, `false`, `1.5`})
	rapid.Check(t, func(rt *rapid.T) {
		var build func(depth int) string
		build = func(depth int) string {
			path := paths.Draw(rt, "path")
			switch n := rapid.IntRange(0, 9).Draw(rt, "form"); {
			case n < 2 && depth > 0:
				return "(" + build(depth-1) + " and " + build(depth-1) + ")"
			case n < 4 && depth > 0:
				return "(" + build(depth-1) + " or " + build(depth-1) + ")"
			case n == 4 && depth > 0:
				return "not (" + build(depth-1) + ")"
			case n == 5:
				return path + " in [" + rapid.SampledFrom([]string{`"a", "1"`, `"a"`, `"", "a"`, `""`}).Draw(rt, "list of texts") + "]"
			case n == 6:
				return path + " " + rapid.SampledFrom([]string{"startsWith", "endsWith", "contains"}).Draw(rt, "operator") + ` "a"`
			case n == 7:
				return path + " != " + constants.Draw(rt, "constant")
			case n == 8:
				return path
			}
			return path + " == " + constants.Draw(rt, "constant")
		}
		source := build(3)
		message := any(map[string]any{"a": values.Draw(rt, "a"), "type": values.Draw(rt, "type")})
		if rapid.Bool().Draw(rt, "list") {
			message = []any{values.Draw(rt, "first"), message}
		}
		text, err := json.Marshal(message)
		if err != nil {
			rt.Fatal(err)
		}
		v, err := expression.Parse("true and (" + source + ")") // no fast path, and as strict about truth
		if err != nil {
			rt.Skip(err)
		}
		if _, err := expression.ParseCondition(source); err != nil {
			rt.Skip(err)
		}
		m := expression.NewMessage(text)
		want, _ := v.Text(&m)
		if got := holds(source, string(text)); got != (want == "true") {
			rt.Fatalf("%s of %s: got %v, the language says %q", source, text, got, want)
		}
	})
}

func TestEvaluateKeepsTypes(t *testing.T) {
	m := expression.NewMessage([]byte(`{"d":{"interval":41250,"f":1.5},"s":"x","n":null}`))
	for source, want := range map[string]any{"d.interval": 41250, "d.f": 1.5, "s": "x", "d.interval / 1000.0": 41.25} {
		v := expression.MustParse(source)
		if got, ok := v.Evaluate(&m); !ok || got != want {
			t.Errorf("%s: got %v, %v", source, got, ok)
		}
	}
	for _, source := range []string{"n", "nothing", "nothing.at"} {
		v := expression.MustParse(source)
		if got, ok := v.Evaluate(&m); ok {
			t.Errorf("%s: got %v", source, got)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	message := []byte(`{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":1,"qty":2,"trade_id":3}]}`)
	for _, source := range []string{`channel == "heartbeat" or method == "subscribe"`, `channel + "" == "heartbeat"`} {
		c := expression.MustParseCondition(source)
		b.Run(source, func(b *testing.B) {
			b.ReportAllocs()
			var l expression.Look
			for b.Loop() {
				l.Reset(message)
				c.Holds(&l)
			}
		})
	}
}

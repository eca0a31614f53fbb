package expression_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/leatstream/leat/internal/expression"
)

func TestValues(t *testing.T) {
	const order = `{"method":"book","params":{"symbol":"BTC","sequence":9007199254740993,"price":1.50,"on":true,"no":null},"ids":[7,8],"a b":1}`
	for _, c := range []struct{ message, source, want string }{
		{order, `method`, `book`},
		{order, `params.sequence`, `9007199254740993`},
		{order, `params.price`, `1.50`},
		{order, `params.on`, `true`},
		{order, `ids`, `[7,8]`},
		{order, `ids[1]`, `8`},
		{order, `msg.method`, `book`},
		{order, `msg["a b"]`, `1`},
		{order, `[method, params.symbol, params.sequence]`, `["book","BTC",9007199254740993]`},
		{order, `params.stamp ?? params.sequence`, `9007199254740993`},
		{order, `method + "/" + params.symbol`, `book/BTC`},
		{order, `method == "book" ? params.symbol : nil`, `BTC`},
		{order, `method == "other" ? params.symbol : nil`, ``},
		{order, `params.no`, ``},
		{order, `nothing.at.all`, ``},
		{order, `nothing + 1`, ``},
		{`[{"T":"t","i":3},{"i":4}]`, `msg[1].i`, `4`},
		{`[{"T":"t","i":3}]`, `map(msg, .i)`, `[3]`},
		{`{"type":"match","last":3,"max":9,"list":[1,2]}`, `type == "match" ? [type, last] : nil`, `["match",3]`},
		{`{"type":"match","last":3,"max":9,"list":[1,2]}`, `last < max ? len(list) : 0`, `2`},
		{`{"type":"match","last":3,"max":9,"list":[1,2]}`, `type(last) + type`, `intmatch`},
		{`{"type":"match","last":3,"max":9,"list":[1,2]}`, `max(list) + sum(map(list, # * 2))`, `8`},
		{`{"type":"t","id":18446744073709551615}`, `[type, id]`, `["t",18446744073709551615]`},
		{`{"type":"t","id":18446744073709551614}`, `[type, id]`, `["t",18446744073709551614]`},
		{`{"type":"t","id":-18446744073709551614}`, `type == "t" ? id : nil`, `-18446744073709551614`},
		{`{"wei":1000000000000000000000,"list":[1e999]}`, `wei > 10 ? "much" : "little"`, `much`},
		{`{"wei":1000000000000000000000,"list":[1e999]}`, `wei / 1000000000000000000`, `1000`},
		{`{"wei":1000000000000000000000,"list":[1e999]}`, `[wei, list]`, `[1000000000000000000000,[1e999]]`},
		{`"x\ny"`, `msg`, `"x\ny"`},
		{`not json`, `a + "b"`, ``},
		{`{"msg":1,"true":2}`, `true`, `true`},
	} {
		v, err := expression.Parse(c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		m := expression.NewMessage([]byte(c.message))
		if got, ok := v.Text(&m); got != c.want || ok != (c.want != "") {
			t.Errorf("%s of %s: got %q, %v; want %q", c.source, c.message, got, ok, c.want)
		}
	}
}

func TestAListWithANullIsNoIdentity(t *testing.T) {
	for _, c := range []struct{ message, source, want string }{
		{`{"type":"trade","id":3,"list":[null]}`, `[type, id]`, `["trade",3]`},
		{`{"type":"trade","id":3,"list":[null]}`, `[type, list]`, `["trade",[null]]`},
		{`{"type":"trade","id":3,"list":[null]}`, `list`, ``},
		{`{"type":"trade","id":3,"list":[null]}`, `id`, `3`},
		{`{"type":"trade","id":"[null]"}`, `[id]`, `["[null]"]`},
		{`{"type":"trade","id":"[null] and more"}`, `id`, `[null] and more`},
		{`{"type":"heartbeat","sequence":1}`, `[type, product, id]`, ``},
		{`{"type":"heartbeat","sequence":1}`, `id`, ``},
	} {
		v, m := expression.MustParse(c.source), expression.NewMessage([]byte(c.message))
		if got, ok := v.Identity(&m); got != c.want || ok != (c.want != "") {
			t.Errorf("%s of %s: got %q, %v; want %q", c.source, c.message, got, ok, c.want)
		}
	}
}

func TestPathsAndProgramsAgree(t *testing.T) {
	const message = `{"a":{"b":[{"c":"x"},{"c":12}]},"d":"é\"q"}`
	for _, path := range []string{"a.b[0].c", "a.b[1].c", "d", "a.b[9].c", "a.x"} {
		plain, program := expression.MustParse(path), expression.MustParse("("+strings.ReplaceAll(path, ".", "?.")+")")
		m := expression.NewMessage([]byte(message))
		want, wantOK := plain.Text(&m)
		if got, ok := program.Text(&m); got != want || ok != wantOK {
			t.Errorf("%s: the path gives %q, %v, the program %q, %v", path, want, wantOK, got, ok)
		}
	}
}

func TestHostileNestingTakesLinearTime(t *testing.T) {
	for _, message := range []string{strings.Repeat("[", 5<<20), strings.Repeat(`{"a":`, 1<<20), strings.Repeat("[", 9000) + strings.Repeat("]", 9000)} {
		m := expression.NewMessage([]byte(message))
		for _, source := range []string{`a + "b"`, "a.b.c", "msg"} {
			v := expression.MustParse(source)
			v.Text(&m)
		}
	}
}

func TestErrorsNameTheColumn(t *testing.T) {
	for source, want := range map[string]string{"a +": "column", "": "empty", "a b": "column 3", `"x`: "column", `a = 1`: "write =="} {
		if _, err := expression.Parse(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", source, err, want)
		}
	}
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct{ source, cursor, want string }{
		{"wss://x/?c={{cursor}}&d=1", "a&b", "wss://x/?c=a%26b&d=1"},
		{"no braces", "", "no braces"},
		{`{{ cursor == "" ? "live" : cursor }}`, "", "live"},
		{`{{"}}"}}{{nothing}}`, "", "%7D%7D"},
		{`{"a":{"b":1}}`, "", `{"a":{"b":1}}`},
	} {
		tpl, err := expression.ParseTemplate(c.source)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		if got, err := tpl.Expand(map[string]any{"cursor": c.cursor}, url.QueryEscape); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.source, got, err, c.want)
		}
	}
	for _, source := range []string{"{{", "{{cursor", "{{a +}}", `{{"}}`} {
		if _, err := expression.ParseTemplate(source); err == nil {
			t.Errorf("%s: want an error", source)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("wss://x/?c={{cursor}}", "1")
	f.Add(`{{"}}"}}`, "")
	f.Fuzz(func(t *testing.T, source, cursor string) {
		if tpl, err := expression.ParseTemplate(source); err == nil {
			_, _ = tpl.Expand(map[string]any{"cursor": cursor}, url.QueryEscape)
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add("a.b[0]", `{"a":{"b":[1]}}`)
	f.Add("a ?? b", `[`)
	f.Fuzz(func(t *testing.T, source, message string) {
		v, err := expression.Parse(source)
		if err != nil {
			return
		}
		m := expression.NewMessage([]byte(message))
		v.Text(&m)
	})
}

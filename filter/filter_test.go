package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/setting"
)

func parse(t testing.TB, pattern string) filter.Filter {
	t.Helper()
	f, err := filter.Parse(pattern)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	return f
}

// fits reports whether a list fits the member x of payloads.
func fits(t *testing.T, list string, yes, no []string) {
	t.Helper()
	f := parse(t, `{"data":{"x":`+list+`}}`)
	for _, text := range yes {
		if v := f.Record(&leat.Record{Data: []byte(`{"x":` + text + `}`)}); v != filter.Pass {
			t.Errorf("%s does not fit %s: %s", list, text, v)
		}
	}
	for _, text := range no {
		if v := f.Record(&leat.Record{Data: []byte(`{"x":` + text + `}`)}); v == filter.Pass {
			t.Errorf("%s fits %s", list, text)
		}
	}
}

func TestOperators(t *testing.T) {
	for _, c := range []struct {
		list    string
		yes, no []string
	}{
		{`["a"]`, []string{`"a"`, `"\u0061"`, `["b","a"]`, `[["a"]]`, `[{},"a"]`}, []string{`"A"`, `"ab"`, `1`, `null`, `{}`, `[]`, `{"a":"a"}`}},
		{`["a","b"]`, []string{`"a"`, `"b"`}, []string{`"c"`}},
		{`["a","b","c","d","e","f","g","h","i","j"]`, []string{`"a"`, `"j"`}, []string{`"k"`, `1`}},
		{`[""]`, []string{`""`, `["",1]`}, []string{`null`, `" "`, `[]`}},
		{`[null]`, []string{`null`, `[1,null]`}, []string{`"null"`, `0`, `false`, `[]`}},
		{`[true]`, []string{`true`}, []string{`false`, `"true"`, `1`}},
		{`[300]`, []string{`300`, `300.0`, `3.0e2`, `3E2`}, []string{`"300"`, `301`, `-300`, `300.5`}},
		{`[12345678901234567890]`, []string{`12345678901234567890`}, []string{`12345678901234567891`, `1.2345678901234567890e19`}},
		{`["äö😀\n"]`, []string{`"äö😀\n"`, `"\u00e4\u00F6\ud83d\ude00\u000a"`}, []string{`"ao"`}},
		{`[{"prefix":"us-"}]`, []string{`"us-"`, `"us-east"`}, []string{`"us"`, `"US-1"`, `["eu-us-"]`, `1`}},
		{`[{"prefix":{"equals-ignore-case":"Us-ß"}}]`, []string{`"uS-ß1"`, `"us-ẞ"`}, []string{`"us-"`, `"us-s"`}},
		{`[{"suffix":".png"}]`, []string{`".png"`, `"a.png"`}, []string{`"png"`, `"a.PNG"`}},
		{`[{"suffix":{"equals-ignore-case":".Png"}}]`, []string{`".pNG"`, `"ä.PNG"`}, []string{`"png"`}},
		{`[{"equals-ignore-case":"Straße Kelvin"}]`, []string{`"straße \u212aelvin"`, `"STRAẞE KELVIN"`}, []string{`"strasse kelvin"`, `"straße kelvin "`}},
		{`[{"anything-but":"a"}]`, []string{`"b"`, `1`, `null`, `["a","b"]`}, []string{`"a"`, `["a"]`, `{}`, `[]`}},
		{`[{"anything-but":["a","b"]}]`, []string{`"c"`}, []string{`"a"`, `"b"`}},
		{`[{"anything-but":[1,2]}]`, []string{`3`, `"1"`}, []string{`1`, `2.0`}},
		{`[{"anything-but":{"prefix":"bot-"}}]`, []string{`"robot-"`, `1`}, []string{`"bot-1"`}},
		{`[{"anything-but":{"prefix":["a","b"]}}]`, []string{`"c"`}, []string{`"a1"`, `"b1"`}},
		{`[{"anything-but":{"suffix":".tmp"}}]`, []string{`"a.png"`}, []string{`"a.tmp"`}},
		{`[{"anything-but":{"suffix":{"equals-ignore-case":".tmp"}}}]`, []string{`"a.png"`}, []string{`"a.TMP"`}},
		{`[{"anything-but":{"equals-ignore-case":["a","b"]}}]`, []string{`"c"`}, []string{`"A"`, `"B"`}},
		{`[{"anything-but":{"wildcard":"a*b"}}]`, []string{`"ba"`}, []string{`"ab"`, `"acb"`}},
		{`[{"numeric":[">",0,"<=",5]}]`, []string{`5`, `0.1`, `5.0`}, []string{`0`, `-1`, `5.1`, `"3"`, `null`}},
		{`[{"numeric":["=",3.0e2]}]`, []string{`300`, `3e2`}, []string{`301`}},
		{`[{"numeric":["<",10]}]`, []string{`-1e300`, `9.99`}, []string{`10`, `1e999`}},
		{`[{"numeric":[">=",-1]}]`, []string{`-1`, `1e999`}, []string{`-1.1`}},
		{`[{"exists":true}]`, []string{`1`, `null`, `""`, `[1]`, `[{},1]`}, []string{`{}`, `{"a":1}`, `[]`, `[{"a":1}]`}},
		{`[{"exists":false}]`, []string{`{}`, `{"a":1}`, `[]`, `[[],{"a":1}]`}, []string{`1`, `null`, `[1]`}},
		{`[{"wildcard":"a*b*c"}]`, []string{`"abc"`, `"a1b2c"`, `"abbcbc"`}, []string{`"ab"`, `"acb"`, `"abcd"`}},
		{`[{"wildcard":"*"}]`, []string{`""`, `"a"`}, []string{`1`}},
		{`[{"wildcard":"aa*aa"}]`, []string{`"aaaa"`}, []string{`"aaa"`}},
		{`[{"wildcard":"*\\*\\\\*"}]`, []string{`"*\\"`, `"a*\\b"`}, []string{`"\\*"`}},
		{`[{"wildcard":"ab"}]`, []string{`"ab"`}, []string{`"abc"`}},
		{`[{"cidr":"10.0.0.7/8"}]`, []string{`"10.255.1.2"`}, []string{`"11.0.0.0"`, `"10.1"`, `"x"`, `10`}},
		{`[{"cidr":"2001:db8::/32"}]`, []string{`"2001:db8::1"`, `"2001:DB8:1::"`}, []string{`"2001:db9::1"`, `"10.0.0.1"`, `"2001:db8::1%a"`}},
		{`["a",{"numeric":[">",1]}]`, []string{`"a"`, `2`}, []string{`"b"`, `1`}},
	} {
		fits(t, c.list, c.yes, c.no)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		name, pattern, data string
		want                filter.Verdict
	}{
		{"fields are joined by and", `{"data":{"a":[1],"b":[2]}}`, `{"b":2,"a":1}`, filter.Pass},
		{"one of them differs", `{"data":{"a":[1],"b":[2]}}`, `{"b":3,"a":1}`, filter.NoMatch},
		{"one of them is missing", `{"data":{"a":[1],"b":[2]}}`, `{"a":1}`, filter.MissingField},
		{"objects nest", `{"data":{"a":{"b":{"c":[1]}}}}`, `{"a":{"b":{"c":1}}}`, filter.Pass},
		{"a name with dots is one name", `{"data":{"a.b":[1]}}`, `{"a":{"b":1}}`, filter.MissingField},
		{"what is missing below", `{"data":{"a":{"b":[{"exists":false}]}}}`, `{}`, filter.Pass},
		{"what is missing below a text", `{"data":{"a":{"b":[{"exists":false}]}}}`, `{"a":"x"}`, filter.Pass},
		{"one object of an array must fit whole", `{"data":{"a":{"b":[1],"c":[2]}}}`, `{"a":[{"b":1,"c":3},{"b":2,"c":2}]}`, filter.NoMatch},
		{"and one does", `{"data":{"a":{"b":[1],"c":[2]}}}`, `{"a":[{"b":1,"c":3},[{"b":1,"c":2}],7]}`, filter.Pass},
		{"arrays in the objects of arrays", `{"data":{"a":{"b":{"c":[1],"d":[2]}}}}`, `{"a":[{"b":[{"c":1}]},{"b":[{"d":2},{"c":1,"d":2}]}]}`, filter.Pass},
		{"one of the alternatives", `{"data":{"$or":[{"a":[1]},{"b":[2],"c":[3]}],"d":[4]}}`, `{"b":2,"c":3,"d":4}`, filter.Pass},
		{"none of them", `{"data":{"$or":[{"a":[1]},{"b":[2],"c":[3]}],"d":[4]}}`, `{"b":2,"d":4}`, filter.NoMatch},
		{"alternatives of alternatives", `{"data":{"$or":[{"a":[1]},{"b":[2],"$or":[{"c":[3]},{"d":[4]}]}]}}`, `{"b":2,"d":4}`, filter.Pass},
		{"alternatives in one object of an array", `{"data":{"a":{"$or":[{"b":[1],"c":[2]},{"d":[3]}]}}}`, `{"a":[{"b":1},{"c":2}]}`, filter.NoMatch},
		{"alternatives at the top", `{"$or":[{"partitionKey":["k"]},{"data":{"a":[1]}}]}`, `no JSON`, filter.Pass},
		{"a field of the name $or", `{"data":{"$or":[1]}}`, `{"$or":1}`, filter.Pass},
		{"an object of that name", `{"data":{"$or":{"prefix":[1],"a":[2]}}}`, `{"$or":{"prefix":1,"a":2}}`, filter.Pass},
		{"several patterns are joined by or", `[{"data":{"a":[1]}},{"data":{"a":[2],"b":[1]}}]`, `{"a":2,"b":1}`, filter.Pass},
		{"no pattern fits", `[{"data":{"a":[1]}},{"data":{"a":[2],"b":[1]}}]`, `{"a":2}`, filter.NoMatch},
		{"every pattern lacks something", `[{"data":{"a":[1]}},{"data":{"b":[1]}}]`, `{"c":2}`, filter.MissingField},
		{"of members with one name the last counts", `{"data":{"a":[1]}}`, `{"a":1,"a":2}`, filter.NoMatch},
		{"also of nested ones", `{"data":{"a":{"b":[1]}}}`, `{"a":{"b":1},"a":{}}`, filter.NoMatch},
		{"the payload is no object", `{"data":["a"]}`, ` "a" `, filter.Pass},
		{"metadata alone does not look at the payload", `{"partitionKey":["k"]}`, `no JSON`, filter.Pass},
		{"a payload that is not JSON", `{"data":{"a":[1]}}`, `no JSON`, filter.NotJSON},
		{"nor are two of them", `{"data":{"a":[1]}}`, `{"a":1}{}`, filter.NotJSON},
		{"nor is nothing", `{"data":{"a":[{"exists":false}]}}`, ``, filter.NotJSON},
		{"nor is half of one, whatever was found", `{"data":{"a":[1]}}`, `{"a":1`, filter.NotJSON},
		{"it fits without", `[{"data":{"a":[1]}},{"partitionKey":[{"prefix":"k"}]}]`, `no JSON`, filter.Pass},
		{"64 deep", `{"data":{"a":[1]}}`, `{"b":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `,"a":1}`, filter.Pass},
		{"65 deep", `{"data":{"a":[1]}}`, `{"b":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,"a":1}`, filter.TooDeep},
		{"65 deep in a field", `{"data":{"a":[1]}}`, `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, filter.TooDeep},
	} {
		f := parse(t, c.pattern)
		if got := f.Record(&leat.Record{PartitionKey: "k", Data: []byte(c.data)}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestManyFieldsAndPatternsAreReadOnce(t *testing.T) {
	var patterns []string
	for i := range 60 {
		patterns = append(patterns, fmt.Sprintf(`{"data":{"f%d":[%d],"g":{"h%d":[%d]},"list":[{"anything-but":%d}]}}`, i, i, i, i, i))
	}
	f := parse(t, "["+strings.Join(patterns, ",")+"]")
	if got := f.Record(&leat.Record{Data: []byte(`{"f1":1,"f59":59,"g":[{"h59":58},{"h59":59}],"list":1}`)}); got != filter.Pass {
		t.Error(got)
	}
	if got := f.Record(&leat.Record{Data: []byte(`{"f1":1,"f59":59,"g":[{"h59":59}],"list":59}`)}); got != filter.NoMatch {
		t.Error(got)
	}
}

func TestMetadata(t *testing.T) {
	at := time.UnixMilli(1545084650987)
	r := &leat.Record{
		Sequence: leat.NewSequence(1, at, 7, at), PartitionKey: "race-7", Source: "feed", ID: "e1", Arrived: at, Time: at.Add(-time.Second), Data: []byte(`{}`),
	}
	for pattern, want := range map[string]filter.Verdict{
		`{"partitionKey":["race-7"]}`:                                                      filter.Pass,
		`{"partitionKey":["race-8"]}`:                                                      filter.NoMatch,
		`{"sequenceNumber":["` + r.Sequence.String() + `"]}`:                               filter.Pass,
		`{"sequenceNumber":[1]}`:                                                           filter.NoMatch,
		`{"approximateArrivalTimestamp":[1545084650.987]}`:                                 filter.Pass,
		`{"approximateArrivalTimestamp":[{"numeric":[">=",1545084650,"<",1545084651]}]}`:   filter.Pass,
		`{"approximateArrivalTimestamp":[{"numeric":["<",1545084650.987]}]}`:               filter.NoMatch,
		`{"kinesisSchemaVersion":["1.0"]}`:                                                 filter.Pass,
		`{"source":["feed"],"id":[{"prefix":"e"}],"time":[{"numeric":["<",1545084650]}]}`:  filter.Pass,
		`{"source":["feed"],"id":[{"exists":false}]}`:                                      filter.NoMatch,
		`{"partitionKey":["race-7"],"data":{"a":[{"exists":false}]}}`:                      filter.Pass,
		`[{"partitionKey":[{"anything-but":"race-7"}]},{"source":[{"wildcard":"f*d"}]}]`:   filter.Pass,
		`[{"partitionKey":[{"anything-but":"race-7"}]},{"source":[{"wildcard":"f*d*d"}]}]`: filter.NoMatch,
	} {
		f := parse(t, pattern)
		if got := f.Record(r); got != want {
			t.Errorf("%s: got %s, want %s", pattern, got, want)
		}
	}
	f := parse(t, `{"id":[{"exists":false}],"time":[{"exists":false}],"source":[{"exists":false}]}`)
	if got := f.Record(&leat.Record{}); got != filter.Pass {
		t.Errorf("a record without identity: %s", got)
	}
}

func TestEarlyFiltersKnowOnlyEvents(t *testing.T) {
	f := parse(t, `{"partitionKey":["k"],"id":["1"],"time":[1],"data":{"a":[1]}}`)
	if err := f.Early("filter"); err != nil {
		t.Error(err)
	}
	if got := f.Event(&leat.Event{PartitionKey: "k", ID: "1", Time: time.Unix(1, 0), Data: []byte(`{"a":1}`)}); got != filter.Pass {
		t.Error(got)
	}
	for pattern, field := range map[string]string{
		`{"sequenceNumber":["1"]}`: ".sequenceNumber",
		`[{"id":["1"]},{"$or":[{"id":["2"]},{"approximateArrivalTimestamp":[1]}]}]`: "[1].$or[1].approximateArrivalTimestamp",
		`{"source":["a"]}`: ".source",
	} {
		f := parse(t, pattern)
		var about *setting.FieldError
		if err := f.Early("filter"); !errors.As(err, &about) || about.Field != "filter"+field {
			t.Errorf("%s: got %v", pattern, err)
		}
	}
}

func TestTheZeroFilterLetsEverythingPass(t *testing.T) {
	var f filter.Filter
	if !f.IsZero() || f.Record(&leat.Record{}) != filter.Pass || f.Event(&leat.Event{}) != filter.Pass || f.Early("filter") != nil || f.String() != "" || f.Patterns() != 0 {
		t.Error("it does not")
	}
}

func TestValuesAndTextsMakeTheSameFilter(t *testing.T) {
	var f filter.Filter
	value := map[string]any{"data": map[string]any{"a": []any{"<x>", 1, 2.5, true, nil, map[string]any{"numeric": []any{">", 0}}}}}
	if err := f.UnmarshalValue(value); err != nil {
		t.Fatal(err)
	}
	const want = `{"data":{"a":["<x>",1,2.5,true,null,{"numeric":[">",0]}]}}`
	if f.String() != want {
		t.Errorf("got %s", f.String())
	}
	var again filter.Filter
	if err := again.UnmarshalText([]byte(" " + want)); err != nil || again.String() != want {
		t.Errorf("got %s, %v", again.String(), err)
	}
}

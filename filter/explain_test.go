package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat"
)

func TestExplainNamesTheConditionsThatDoNotHold(t *testing.T) {
	const pattern = `{"partitionKey":["k"],"data":{"event":["final"],"x":{"n":[1],"m":[2]},"$or":[{"a":[1]},{"b":[{"exists":false}]}]}}`
	for _, c := range []struct{ pattern, data, want string }{
		{pattern, `{"event":"final","x":[{"n":1},{"n":1,"m":2}],"a":1}`, ""},
		{pattern, `{"event":"update","x":{"n":1,"m":2}}`, "0 data.event: nothing in its list holds"},
		{pattern, `{"event":"final","x":{"n":1},"a":1}`, "0 data.x.m: there is no value"},
		{pattern, `{"x":{"n":1,"m":2},"a":2,"b":[1]}`, "0 data.event: there is no value, 0 data.$or[0].a: nothing in its list holds, 0 data.$or[1].b: nothing in its list holds"},
		{`{"data":{"a":[1]}}`, `no JSON`, "0 data.a: the payload is not JSON"},
		{`{"data":{"a":[1]}}`, strings.Repeat("[", 65), "0 data.a: the payload is nested more than 64 deep"},
		{`[{"data":{"a":[1]}},{"partitionKey":["x"]}]`, `{}`, "0 [0].data.a: there is no value, 1 [1].partitionKey: nothing in its list holds"},
	} {
		f := parse(t, c.pattern)
		var got []string
		for _, r := range f.Explain(&leat.Record{PartitionKey: "k", Data: []byte(c.data)}) {
			got = append(got, fmt.Sprintf("%d %s: %s", r.Pattern, r.Path, r.What))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.pattern, c.data, text, c.want)
		}
	}
}

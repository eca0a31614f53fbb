package filter_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
)

// The reference decodes everything and looks things up, as the guide says it: slow, and made of other parts.

// referenceFits reports whether the data of one of some patterns fits a payload.
func referenceFits(t testing.TB, patterns, payload any) bool {
	list, ok := patterns.([]any)
	if !ok {
		list = []any{patterns}
	}
	return slices.ContainsFunc(list, func(p any) bool { return object(t, p.(map[string]any), map[string]any{"data": payload}) })
}

// object reports whether a pattern fits an object.
func object(t testing.TB, pattern, value map[string]any) bool {
	for name, want := range pattern {
		if alternatives, ok := or(name, want); ok {
			if !slices.ContainsFunc(alternatives, func(a any) bool { return object(t, a.(map[string]any), value) }) {
				return false
			}
			continue
		}
		scalars, objects := apart(value[name])
		if _, there := value[name]; !there {
			scalars = nil
		}
		switch want := want.(type) {
		case []any:
			if !list(t, want, scalars) {
				return false
			}
		case map[string]any:
			if len(objects) == 0 {
				objects = []map[string]any{{}}
			}
			if !slices.ContainsFunc(objects, func(o map[string]any) bool { return object(t, want, o) }) {
				return false
			}
		}
	}
	return true
}

func or(name string, want any) ([]any, bool) {
	list, ok := want.([]any)
	if name != "$or" || !ok || len(list) < 2 {
		return nil, false
	}
	for _, item := range list {
		o, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		for _, word := range []string{"exactly", "exists", "numeric", "prefix", "suffix", "equals-ignore-case", "anything-but", "wildcard", "cidr"} {
			if _, ok := o[word]; ok {
				return nil, false
			}
		}
	}
	return list, true
}

// apart takes arrays apart.
func apart(value any) (scalars []any, objects []map[string]any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			s, o := apart(item)
			scalars, objects = append(scalars, s...), append(objects, o...)
		}
	case map[string]any:
		objects = append(objects, value)
	default:
		scalars = append(scalars, value)
	}
	return scalars, objects
}

func list(t testing.TB, tests, scalars []any) bool {
	if len(scalars) == 0 {
		return slices.ContainsFunc(tests, func(test any) bool {
			o, ok := test.(map[string]any)
			return ok && o["exists"] == false
		})
	}
	return slices.ContainsFunc(tests, func(test any) bool {
		return slices.ContainsFunc(scalars, func(s any) bool { return holds(t, test, s) })
	})
}

func holds(t testing.TB, test, value any) bool {
	o, ok := test.(map[string]any)
	if !ok {
		a, aNumber := test.(json.Number)
		b, bNumber := value.(json.Number)
		if aNumber && bNumber {
			return a == b || float(a) == float(b) && math.Abs(float(a)) < 1<<53
		}
		return test == value
	}
	text, isText := value.(string)
	for name, arg := range o {
		switch name {
		case "exists":
			return arg == true
		case "numeric":
			n, ok := value.(json.Number)
			return ok && compare(arg.([]any), float(n))
		case "anything-but":
			return !but(t, arg, value)
		case "prefix", "suffix":
			return isText && affix(name, arg, text)
		case "equals-ignore-case":
			return isText && strings.EqualFold(text, arg.(string))
		case "wildcard":
			return isText && glob(arg.(string)).MatchString(text)
		case "cidr":
			a, err := netip.ParseAddr(text)
			return isText && err == nil && netip.MustParsePrefix(arg.(string)).Contains(a)
		}
	}
	t.Fatalf("there is no operator in %v", o)
	return false
}

func but(t testing.TB, arg, value any) bool {
	switch arg := arg.(type) {
	case []any:
		return slices.ContainsFunc(arg, func(a any) bool { return holds(t, a, value) })
	case map[string]any:
		for name, inner := range arg {
			several, ok := inner.([]any)
			if !ok {
				several = []any{inner}
			}
			return slices.ContainsFunc(several, func(a any) bool { return holds(t, map[string]any{name: a}, value) })
		}
	}
	return holds(t, arg, value)
}

func affix(name string, arg any, text string) bool {
	equal := func(a, b string) bool { return a == b }
	if o, ok := arg.(map[string]any); ok {
		arg, equal = o["equals-ignore-case"], strings.EqualFold
	}
	for i := range len(text) + 1 {
		if i < len(text) && !utf8.RuneStart(text[i]) {
			continue
		}
		if part := text[:i]; name == "prefix" && equal(part, arg.(string)) {
			return true
		}
		if part := text[i:]; name == "suffix" && equal(part, arg.(string)) {
			return true
		}
	}
	return false
}

var globs sync.Map

func glob(pattern string) *regexp.Regexp {
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\':
			i++
			out.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case pattern[i] == '*':
			out.WriteString(`.*`)
		default:
			out.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	text := `(?s)^` + out.String() + `$`
	compiled, ok := globs.Load(text)
	if !ok {
		compiled, _ = globs.LoadOrStore(text, regexp.MustCompile(text))
	}
	return compiled.(*regexp.Regexp)
}

func compare(arg []any, n float64) bool {
	for i := 0; i < len(arg); i += 2 {
		bound := float(arg[i+1].(json.Number))
		ok := map[any]bool{"=": n == bound, "<": n < bound, "<=": n <= bound, ">": n > bound, ">=": n >= bound}[arg[i]]
		if !ok {
			return false
		}
	}
	return true
}

func float(n json.Number) float64 {
	f, _ := strconv.ParseFloat(string(n), 64)
	return f
}

func decoded(text []byte) (value any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return value, d.Decode(&value) == nil && json.Valid(text)
}

// agree compares a Filter with the reference, and reports whether the patterns say something about the payload.
func agree(t testing.TB, patterns string, payload []byte) (said, fit bool) {
	t.Helper()
	f, err := filter.Parse(patterns)
	if err != nil || !utf8.ValidString(patterns) || !utf8.Valid(payload) {
		return false, false
	}
	want, ok := decoded([]byte(patterns))
	if !ok {
		t.Fatalf("%s is taken and is not JSON", patterns)
	}
	for _, p := range wrap(want) {
		if _, only := p.(map[string]any)["data"]; !only || len(p.(map[string]any)) > 1 {
			return false, false
		}
	}
	got := f.Record(&leat.Record{Data: payload})
	value, ok := decoded(payload)
	switch {
	case got == filter.TooDeep && bytes.Count(payload, []byte("["))+bytes.Count(payload, []byte("{")) > 64:
		return false, false
	case ok != !got.Unreadable():
		t.Fatalf("%s of %s: %s, but JSON is %v", patterns, payload, got, ok)
	case !ok:
		return false, false
	}
	if fit = referenceFits(t, want, value); fit != (got == filter.Pass) {
		t.Fatalf("%s of %s: %s, the reference says %v", patterns, payload, got, fit)
	}
	return true, fit
}

func wrap(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// maker makes patterns and payloads of few names and values, so that they often fit.
type maker struct{ *rand.Rand }

func (m maker) pick(from ...string) string { return from[m.IntN(len(from))] }

func (m maker) value(depth int) string {
	if depth > 0 && m.IntN(3) == 0 {
		return m.object(depth - 1)
	}
	if depth > 0 && m.IntN(4) == 0 {
		var items []string
		for range m.IntN(4) {
			items = append(items, m.value(depth-1))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return m.pick(`"a"`, `"ab"`, `"B"`, `"\u0061b"`, `""`, `"10.1.2.3"`, `"a*b"`, `0`, `1`, `1.0`, `10e-1`, `-2`, `5`, `1e400`, `true`, `false`, `null`, `[]`, `{}`, `"\ud83d\ude00"`)
}

func (m maker) object(depth int) string {
	var members []string
	for range m.IntN(5) {
		members = append(members, m.pick(`"x"`, `"y"`, `"z"`, `"\u0078"`, `"$or"`)+m.pick(":", " : ")+m.value(depth))
	}
	return "{" + strings.Join(members, m.pick(",", " ,\n")) + "}"
}

func (m maker) pattern(depth int) string {
	names := []string{`"x"`, `"y"`, `"z"`}
	m.Shuffle(3, func(i, j int) { names[i], names[j] = names[j], names[i] })
	var members []string
	for _, name := range names[:1+m.IntN(2)] {
		if depth > 0 && m.IntN(3) == 0 {
			members = append(members, name+":"+m.pattern(depth-1))
			continue
		}
		var tests []string
		for range 1 + m.IntN(2) {
			tests = append(tests, m.test())
		}
		members = append(members, name+":["+strings.Join(tests, ",")+"]")
	}
	if depth > 0 && m.IntN(4) == 0 {
		members = append(members, `"$or":[`+m.pattern(depth-1)+","+m.pattern(depth-1)+"]")
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (m maker) test() string {
	return m.pick(`"a"`, `"ab"`, `1`, `0`, `true`, `null`, `""`, `{"exists":true}`, `{"exists":false}`, `{"exists":false}`, `{"prefix":"a"}`, `{"suffix":"b"}`,
		`{"prefix":{"equals-ignore-case":"A"}}`, `{"suffix":{"equals-ignore-case":"b"}}`, `{"equals-ignore-case":"AB"}`, `{"numeric":[">",0]}`, `{"numeric":[">=",-2,"<",5]}`,
		`{"wildcard":"a*"}`, `{"wildcard":"*b"}`, `{"wildcard":"a\\**"}`, `{"cidr":"10.0.0.0/8"}`, `{"anything-but":"a"}`, `{"anything-but":["a","ab"]}`, `{"anything-but":[0,1]}`, `{"anything-but":null}`,
		`{"anything-but":{"prefix":"a"}}`, `{"anything-but":{"suffix":["a","b"]}}`, `{"anything-but":{"wildcard":"*b*"}}`, `{"anything-but":{"equals-ignore-case":"b"}}`)
}

func (m maker) patterns() string {
	one := func() string { return `{"data":` + m.pattern(2) + `}` }
	if m.IntN(3) > 0 {
		return one()
	}
	return "[" + one() + "," + one() + "]"
}

var pairs = flag.Int("pairs", 20000, "how many patterns and payloads TestFiltersAgreeWithASlowEvaluator compares")

func TestFiltersAgreeWithASlowEvaluator(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 2))}
	fitting := 0
	for range *pairs {
		patterns, payload := m.patterns(), m.object(3)
		said, fit := agree(t, patterns, []byte(payload))
		if !said {
			t.Fatalf("%s of %s is not judged", patterns, payload)
		}
		if fit {
			fitting++
		}
	}
	if fitting < *pairs/20 || fitting > *pairs/2 {
		t.Errorf("%d of %d pairs fit: they test too little", fitting, *pairs)
	}
}

func FuzzFilter(f *testing.F) {
	m := maker{rand.New(rand.NewPCG(3, 4))}
	for range 20 {
		f.Add(m.patterns(), []byte(m.object(3)))
	}
	f.Add(`{"data":{"a":[1]}}`, []byte(`{"a":"\ud800","b":[[{"a":1}]],"a":1.0e0}`))
	f.Add(`{"data":["a"]}`, []byte(`"a"`))
	f.Fuzz(func(t *testing.T, patterns string, payload []byte) {
		agree(t, patterns, payload)
	})
}

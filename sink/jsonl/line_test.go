package jsonl

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
)

func TestLines(t *testing.T) {
	for payload, want := range map[string]string{
		`{"a":1}`:                        `{"a":1}`,
		"12":                             `12`,
		"{\r\n  \"a\": 1\n}\n":           `{    "a": 1 }`,
		"plain":                          `{"leat_text":"plain"}`,
		"":                               `{"leat_text":""}`,
		"\"a\nb\"":                       `{"leat_text":"\"a\nb\""}`,
		"\t\x00\\é\u2028":                `{"leat_text":"\u0009\u0000\\é` + "\u2028" + `"}`,
		"\xff\x00":                       `{"leat_base64":"/wA="}`,
		"\"\xff\"":                       `{"leat_base64":"Iv8i"}`,
		`{"leat_text":1}`:                `{"leat_text":"{\"leat_text\":1}"}`,
		` {"leat\u005fbase64":"","b":1}`: `{"leat_text":" {\"leat\\u005fbase64\":\"\",\"b\":1}"}`,
		`{"a":1,"leat_text":2}`:          `{"a":1,"leat_text":2}`,
		`["leat_text"]`:                  `["leat_text"]`,
		`{}`:                             `{}`,
	} {
		r := leat.Record{Data: []byte(payload)}
		got := string(appendLine(nil, "shardId-000000000000", &r, false))
		if got != strings.ReplaceAll(want, "\n", `\n`)+"\n" {
			t.Errorf("%q gives %s want %s", payload, got, want)
		}
	}
}

func TestEnvelopes(t *testing.T) {
	at := time.Date(2026, 11, 21, 5, 59, 59, 123e6, time.FixedZone("", 3600))
	seq := leat.NewSequence(1, at, 1, at)
	for want, r := range map[string]leat.Record{
		`"key":"k\"","arrived":"2026-11-21T04:59:59.123Z","time":"2026-11-21T05:59:59.123Z","id":"7","data":{"a":1}`: {
			PartitionKey: `k"`, ID: "7", Time: at.Add(time.Hour), Data: []byte("{\"a\":1}\n"),
		},
		`"key":"","arrived":"2026-11-21T04:59:59.123Z","data_text":""`: {},
		`"key_base64":"/w==","arrived":"2026-11-21T04:59:59.123Z","id_base64":"/g==","data_base64":"/Q=="`: {
			PartitionKey: "\xff", ID: "\xfe", Data: []byte("\xfd"),
		},
	} {
		r.Arrived, r.Sequence = at, seq
		want = `{"shard":"shardId-000000000001","sequence_number":"` + seq.String() + `",` + want + "}\n"
		if got := string(appendLine(nil, "shardId-000000000001", &r, true)); got != want {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}

func TestDeepPayloadsAreNoJSON(t *testing.T) {
	deep := []byte(strings.Repeat("[", 5<<20) + strings.Repeat("]", 5<<20))
	if isJSON(deep) {
		t.Error("a payload of ten million brackets is taken for JSON")
	}
	if wide := []byte("[" + strings.Repeat("[],", 20_000) + "0]"); !isJSON(wide) {
		t.Error("many brackets side by side are not taken for JSON")
	}
}

func FuzzLine(f *testing.F) {
	for _, payload := range []string{"", "{}", "{\"leat_text\":\"x\"}", "\xff", "a\nb", "[1,\n2]", "\"\\ud800\"", `{"leat_text":1,"leat_text":2}`} {
		f.Add([]byte(payload), "key", "id", false)
		f.Add([]byte(payload), "\xff", "", true)
	}
	f.Fuzz(func(t *testing.T, payload []byte, key, id string, envelope bool) {
		r := leat.Record{PartitionKey: key, ID: id + "x", Time: start, Arrived: start, Data: payload, Sequence: leat.NewSequence(0, start, 1, start)}
		line := appendLine(nil, "shardId-000000000000", &r, envelope)
		if bytes.IndexByte(line, '\n') != len(line)-1 || bytes.IndexByte(line, '\r') >= 0 {
			t.Fatalf("%q is not one line", line)
		}
		var row struct{ key, data string }
		if envelope {
			got, err := readLine(line[:len(line)-1])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			row.key, row.data = got.Key, got.Data
		} else {
			data, err := unwrap(line[:len(line)-1])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			row.key, row.data = key, data
		}
		want := string(payload)
		if isJSON(payload) && (envelope || !wrapped(payload)) {
			want = strings.NewReplacer("\n", " ", "\r", " ").Replace(strings.Trim(want, " \t\r\n"))
		}
		if row.data != want || row.key != key {
			t.Errorf("%q and key %q come back as %q and %q", want, key, row.data, row.key)
		}
	})
}

func TestElements(t *testing.T) {
	for name, want := range map[string]string{
		"clicks":    "clicks",
		"a.b_c-d=e": "a.b_c-d=e",
		"":          "%he3b0c44298fc1c14",
		".":         "%2E",
		"..":        "%2E.",
		"a/b":       "a%2Fb",
		"a%2Fb":     "a%252%hce8b7fb5f5d4d6e5",
		"é":         "%C3%A9",
		"Clicks":    "Clicks%h",
	} {
		got := element(name)
		if got != want && !(strings.Contains(want, "%h") && strings.HasPrefix(got, want[:strings.Index(want, "%h")])) {
			t.Errorf("%q gives %q, want %q", name, got, want)
		}
	}
	if long := element(strings.Repeat("a", 200)); len(long) > 128 {
		t.Errorf("%q has %d bytes", long, len(long))
	}
}

func FuzzElement(f *testing.F) {
	for _, name := range []string{"", ".", "..", "a", "A", "a%h0", "%2E", "a/b", "\x00", "con", "ä", strings.Repeat("x", 300)} {
		f.Add(name, "a")
	}
	allowed := regexp.MustCompile(`^[A-Za-z0-9_=%-][A-Za-z0-9_.=%-]{0,127}$`)
	dir := filepath.Join(os.TempDir(), "base")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := element(a), element(b)
		if !allowed.MatchString(x) || filepath.Dir(filepath.Join(dir, x)) != dir {
			t.Errorf("%q gives %q", a, x)
		}
		if a != b && strings.EqualFold(x, y) {
			t.Errorf("%q and %q both give %q", a, b, x)
		}
	})
}

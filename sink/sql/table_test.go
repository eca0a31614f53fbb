package sql

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/sink"
)

// columns returns Columns from pairs of a name and a type, each from the member of its name.
func columns(pairs ...string) map[string]Column {
	all := map[string]Column{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = Column{Type: pairs[i+1]}
	}
	return all
}

func TestTheDefaultTable(t *testing.T) {
	s := newSink(t, nil)
	b := batchOf(7, `{"a":1}`)
	deliver(t, s, b)
	got := queryAll(t, dsn(s.Path, ""), "SELECT * FROM trades")
	want := [][]any{{
		"shardId-000000000000", b.First().String(), int64(0), "key", "2026-05-01T12:00:00.007Z", `{"a":1}`,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	got = queryAll(t, dsn(s.Path, ""), "SELECT group_concat(name || ' ' || type, ', ') FROM pragma_table_info('trades')")
	const types = "leat_shard TEXT, leat_seq TEXT, leat_sub INTEGER, leat_key TEXT, leat_arrived TEXT, data TEXT"
	if got[0][0] != types {
		t.Errorf("got the columns %s, want %s", got[0][0], types)
	}
}

func TestPayloadsAreTextsWhereTheyCanBe(t *testing.T) {
	s := newSink(t, nil)
	payloads := []string{"", `{"a":"ü"}`, "plain", "a\x00b", "\xff"}
	deliver(t, s, batchOf(1, payloads...))
	for i, want := range []string{"text", "text", "text", "blob", "blob"} {
		got := queryAll(t, dsn(s.Path, ""), "SELECT data, typeof(data) FROM trades")[i]
		if bytesOf(got[0]) != payloads[i] || got[1] != want {
			t.Errorf("%q is stored as %q of the type %s, want %s", payloads[i], got[0], got[1], want)
		}
	}
}

func TestNamesAreQuoted(t *testing.T) {
	s := newSink(t, func(c *Config) {
		c.Table = `tr"ades; DROP TABLE x --`
		c.Columns = columns("select", "text", "größe", "integer")
		c.Columns[`a"b'c `] = Column{From: expression.MustParse("a")}
		c.Key = []string{"select", `a"b'c `}
	})
	deliver(t, s, batchOf(1, `{"select":"x","a":"y","größe":5}`, `{"select":"x","a":"y","größe":6}`))
	got := queryAll(t, dsn(s.Path, ""), `SELECT "select", "a""b'c ", "größe" FROM "tr""ades; DROP TABLE x --"`)
	if want := [][]any{{"x", "y", int64(6)}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestColumnsTakeTheirTypes(t *testing.T) {
	s := newSink(t, func(c *Config) {
		c.Columns = columns("t", "text", "i", "integer", "r", "real", "b", "boolean", "j", "json")
	})
	deliver(t, s, batchOf(1,
		`{"t":"x","i":9223372036854775807,"r":1.5,"b":true,"j":{"x":[1, 2]}}`,
		`{"t":7,"i":"12","r":"3","b":false,"j":"text"}`,
		`{"t":{"a":1},"i":1e3,"r":-2e-3,"j":null}`,
		`{"t":"a\u0000b"}`,
		`[1]`,
	))
	got := queryAll(t, dsn(s.Path, ""), "SELECT t, i, r, CAST(b AS INTEGER), j FROM trades ORDER BY rowid")
	want := [][]any{
		{"x", int64(math.MaxInt64), 1.5, int64(1), `{"x":[1, 2]}`},
		{"7", int64(12), 3.0, int64(0), `"text"`},
		{`{"a":1}`, int64(1000), -0.002, nil, nil},
		{[]byte("a\x00b"), nil, nil, nil, nil},
		{nil, nil, nil, nil, nil},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestValuesThatDoNotFitNameRecordAndColumn(t *testing.T) {
	for payload, part := range map[string]string{
		`{"i":"x"}`:                 `column i: "x" is not an integer`,
		`{"i":1.5}`:                 "column i",
		`{"i":9223372036854775808}`: "column i",
		`{"i":true}`:                "column i",
		`{"r":"0x10"}`:              "column r",
		`{"r":"NaN"}`:               "column r",
		`{"r":1e400}`:               "column r",
		`{"r":"1_0"}`:               "column r",
		`{"r":""}`:                  "column r",
		`{"b":1}`:                   "column b: \"1\" is neither true nor false",
		`not json`:                  "not JSON",
		``:                          "not JSON",
		`{"i":1}{"i":2}`:            "not JSON",
		strings.Repeat("[", 1<<20):  "not JSON",
	} {
		s := newSink(t, func(c *Config) { c.Columns = columns("i", "integer", "r", "real", "b", "boolean") })
		b := batchOf(1, `{"i":1}`, payload, `{"i":3}`)
		err := s.Deliver(t.Context(), b)
		wantError(t, err, part, b.Records[1].Sequence.String())
		if !sink.IsPermanent(err) || sink.IsHalt(err) {
			t.Errorf("%.40s: %v is not Permanent", payload, err)
		}
		if len(err.Error()) > 600 {
			t.Errorf("%.40s: the error has %d bytes", payload, len(err.Error()))
		}
		if rows := queryAll(t, dsn(s.Path, ""), "SELECT * FROM trades"); len(rows) != 0 {
			t.Errorf("%.40s: %d rows are left", payload, len(rows))
		}
		b.Records = append(b.Records[:1], b.Records[2])
		deliver(t, s, b)
	}
}

func TestTheNewestRecordOfAKeyWins(t *testing.T) {
	s := newSink(t, func(c *Config) {
		c.Columns = columns("id", "integer", "venue", "text", "price", "real")
		c.Key = []string{"venue", "id"}
	})
	prices := func(first uint64, shard leat.ShardID, list ...string) leat.Batch {
		b := batchOf(first, list...)
		b.Shard = shard
		for i := range b.Records {
			b.Records[i].Sequence = leat.NewSequence(shard, start, first+uint64(i), b.Records[i].Arrived)
		}
		return b
	}
	deliver(t, s, prices(10, 0, `{"venue":"a","id":1,"price":1}`, `{"venue":"b","id":1,"price":2}`, `{"venue":"a","id":1,"price":3}`))
	deliver(t, s, prices(20, 0, `{"venue":"b","id":1}`))
	deliver(t, s, prices(11, 1, `{"venue":"a","id":1,"price":99}`, `{"venue":"c","id":2,"price":5}`)) // arrived before what is there
	same := prices(30, 0, `{"venue":"d","id":1,"price":1}`, `{"venue":"d","id":1,"price":2}`)
	same.Records[1].Arrived = same.Records[0].Arrived // the later one of the same millisecond wins
	deliver(t, s, same)
	got := fmt.Sprint(queryAll(t, dsn(s.Path, ""), "SELECT venue, id, price, leat_arrived FROM trades ORDER BY venue"))
	want := "[[a 1 3 2026-05-01T12:00:00.012Z] [b 1 <nil> 2026-05-01T12:00:00.020Z] [c 2 5 2026-05-01T12:00:00.012Z] " +
		"[d 1 2 2026-05-01T12:00:00.030Z]]"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	err := s.Deliver(t.Context(), prices(40, 0, `{"venue":"a","price":1}`))
	wantError(t, err, "column id", "must not be NULL")
	if !sink.IsPermanent(err) {
		t.Errorf("%v is not Permanent", err)
	}
}

func TestColumnsAreTextsOrMappings(t *testing.T) {
	for value, want := range map[string]string{
		"trade.price ?? 0":                  `trade.price ?? 0 as ""`,
		`{"from":"a.b"}`:                    `a.b as ""`,
		`{"type":"real"}`:                   ` as "real"`,
		`{"from":"a + 1","type":"integer"}`: `a + 1 as "integer"`,
		"a +":                               "column",
		`{"from":"a +"}`:                    "from: ",
		`{"from":1}`:                        "from: expected a text",
		`{"form":"a"}`:                      `unknown field "form"`,
		`["a"]`:                             "expected a member path",
	} {
		c := Column{Type: "json", From: expression.MustParse("before")}
		var structured any
		err := json.Unmarshal([]byte(value), &structured)
		if err == nil {
			err = c.UnmarshalValue(structured)
		} else {
			err = c.UnmarshalText([]byte(value))
		}
		got := fmt.Sprintf("%s as %q", &c.From, c.Type)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s gives %s, want %s", value, got, want)
		}
	}
}

func TestDefaultsNeedNoFilling(t *testing.T) {
	config := Config{Path: "x", Table: "t"}
	setting.Default(&config)
	if want := (Config{Path: "x", Table: "t"}); !reflect.DeepEqual(config, want) {
		t.Errorf("got %+v, want %+v", config, want)
	}
}

func TestOldLibrariesAreRefused(t *testing.T) {
	for version, want := range map[string]bool{"3.51.2": true, "3.9.9": true, "3.51.3": false, "3.54.1": false, "4.0": false, "3.51": true} {
		if got := older(version, oldestLibrary); got != want {
			t.Errorf("%s: got %v", version, got)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, text := range []string{"1", "-9223372036854775808", "1.0", "1e3", "true", "NaN", "0x1p4", "{}", "a\x00", "\xff", `"\ud800"`, ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []string{kindText, kindInteger, kindReal, kindBoolean, kindJSON} {
			value, err := convert(kind, text)
			switch v := value.(type) {
			case float64:
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%q is %v", text, v)
				}
			case string:
				if kind == kindJSON && !expression.Valid([]byte(v)) {
					t.Errorf("%q gives %q, which is not JSON", text, v)
				}
			case nil:
				if err == nil {
					t.Errorf("%q as %s gives nothing", text, kind)
				}
			}
		}
	})
}

package source

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

var ruleBase = time.UnixMilli(1_700_000_000_000)

func ruleOf(form string) *GapRule {
	r := &GapRule{Form: form}
	setting.Default(r)
	return r
}

// play gives a tracker one message a millisecond and returns what it has found an hour later.
func play(t *testing.T, rule *GapRule, messages ...string) []string {
	t.Helper()
	setting.Default(rule)
	if err := rule.Check(); err != nil {
		t.Fatal(err)
	}
	tr := newTracker(rule)
	now := ruleBase
	for _, text := range messages {
		connection, text, found := strings.Cut(text, ">")
		if !found {
			connection, text = "0", connection
		}
		m := expression.NewMessage([]byte(text))
		o := rule.look(&m, connection)
		now = now.Add(time.Millisecond)
		tr.observe(&o, now)
	}
	tr.tick(now.Add(time.Hour))
	var said []string
	for _, f := range tr.take() {
		first, last := f.bounds()
		text := fmt.Sprintf("%s %s..%s", f.key, first, last)
		if f.repaired {
			text += " repaired"
		}
		said = append(said, strings.TrimSpace(text))
	}
	return said
}

func TestGapRules(t *testing.T) {
	e := expression.MustParse
	next := func() *GapRule { return &GapRule{Field: e("n"), Per: e("k"), Reorder: Reorder{Events: 3}} }
	ranged := &GapRule{Form: formRange, First: e("U"), Last: e("u")}
	chain := &GapRule{Form: formPrevious, Field: e("id"), Previous: e("prev")}
	reset := &GapRule{Field: e("n"), Reset: e(`type == "snapshot"`)}
	heartbeat := &GapRule{Form: formCounter, Field: e("n"), Last: e("last")}
	counter := &GapRule{Form: formCounter, Last: e("count")}
	connection := &GapRule{Field: e("n"), Per: e("connection")}
	two := &GapRule{Field: e("n"), Per: e("k"), Keys: 2}
	n := func(numbers ...int) (messages []string) {
		for _, n := range numbers {
			messages = append(messages, fmt.Sprintf(`{"k":"a","n":%d}`, n))
		}
		return messages
	}
	for _, c := range []struct {
		name     string
		rule     *GapRule
		messages []string
		want     []string
	}{
		{"in order", next(), n(5, 6, 7), nil},
		{"one is missing", next(), n(5, 7), []string{"a 6..6"}},
		{"some are missing", next(), n(5, 9), []string{"a 6..8"}},
		{"equal is a duplicate", next(), n(5, 5, 6, 6, 6, 7), nil},
		{"out of order", next(), n(5, 7, 6, 8), nil},
		{"the first ones are out of order", next(), n(6, 5, 7), nil},
		{"too late", next(), n(5, 7, 8, 9, 10, 6), []string{"a 6..6", "a 6..6 repaired"}},
		{"a part comes late", next(), n(5, 9, 10, 11, 12, 7, 13), []string{"a 6..8", "a 7..7 repaired"}},
		{"some come late, together", next(), n(5, 9, 10, 11, 12, 6, 7, 8), []string{"a 6..8", "a 6..6 repaired", "a 7..7 repaired", "a 8..8 repaired"}},
		{"it begins anew", next(), n(100, 101, 1, 2, 3), nil},
		{"it begins anew with a gap", next(), n(100, 101, 1, 3), []string{"a 2..2"}},
		{"one is far behind", next(), n(100, 101, 1, 102, 103), nil},
		{"what was missing before it began anew", next(), n(100, 102, 1, 2), []string{"a 101..101"}},
		{"not judged", next(), append(n(5), `{"k":"a"}`, `{"n":8}`, `x`, `{"k":"a","n":-1}`, `{"k":"a","n":"x"}`, `{"k":"a","n":9223372036854775807}`), nil},
		{"keys", next(), []string{`{"k":"a","n":1}`, `{"k":"b","n":5}`, `{"k":"a","n":2}`, `{"k":"b","n":7}`}, []string{"b 6..6"}},
		{"numbers in texts", next(), []string{`{"k":"a","n":"1"}`, `{"k":"a","n":"3"}`}, []string{"a 2..2"}},
		{"ranges", ranged, []string{`{"U":1,"u":4}`, `{"U":5,"u":5}`, `{"U":5,"u":7}`, `{"U":10,"u":12}`}, []string{"8..9"}},
		{"a range comes late", ranged, []string{`{"U":1,"u":4}`, `{"U":10,"u":12}`, `{"U":5,"u":9}`}, nil},
		{"a range without sense", ranged, []string{`{"U":1,"u":4}`, `{"U":12,"u":10}`}, nil},
		{"a chain", chain, []string{`{"id":"a"}`, `{"id":"b","prev":"a"}`, `{"id":"c","prev":"b"}`, `{"id":"c","prev":"b"}`}, nil},
		{"a chain is broken", chain, []string{`{"id":"a"}`, `{"id":"c","prev":"b"}`, `{"id":"d","prev":"c"}`}, []string{"..b"}},
		{"a chain out of order", chain, []string{`{"id":"a"}`, `{"id":"c","prev":"b"}`, `{"id":"b","prev":"a"}`, `{"id":"d","prev":"c"}`}, nil},
		{"two are missing of a chain, one comes", chain, []string{`{"id":"a"}`, `{"id":"d","prev":"c"}`, `{"id":"c","prev":"b"}`}, []string{"..b"}},
		{"a chain begins anew", chain, []string{`{"id":"a"}`, `{"id":"c","prev":"b"}`, `{"id":"x"}`, `{"id":"y","prev":"x"}`}, []string{"..b"}},
		{"a reset", reset, []string{`{"n":1}`, `{"n":9,"type":"snapshot"}`, `{"n":10}`, `{"n":12}`}, []string{"11..11"}},
		{"a heartbeat names the last", heartbeat, []string{`{"n":1}`, `{"last":1}`, `{"last":3}`, `{"n":4}`}, []string{"2..3"}},
		{"a heartbeat is early", heartbeat, []string{`{"n":1}`, `{"last":3}`, `{"n":2}`, `{"n":3}`, `{"last":3}`, `{"last":2}`}, nil},
		{"heartbeats count", counter, []string{`{}`, `{"count":7}`, `{}`, `{}`, `{"count":9}`, `{}`, `{"count":12}`, `{}`, `{"count":13}`}, []string{"11..12"}},
		{"heartbeats count anew", counter, []string{`{"count":7}`, `{}`, `{"count":0}`, `{}`, `{"count":1}`}, nil},
		{"connections", connection, []string{`1>{"n":1}`, `2>{"n":50}`, `1>{"n":2}`, `2>{"n":51}`, `1>{"n":3}`, `2>{"n":52}`}, nil},
		{"a connection lacks what the other has", connection, []string{`1>{"n":1}`, `2>{"n":50}`, `1>{"n":2}`, `2>{"n":51}`, `1>{"n":4}`, `2>{"n":53}`, `2>{"n":52}`}, nil},
		{"both lack something", connection, []string{`1>{"n":1}`, `2>{"n":50}`, `1>{"n":3}`, `2>{"n":52}`}, []string{"1 2..2", "2 51..51"}},
		{"too many keys", two, []string{`{"k":"a","n":1}`, `{"k":"a","n":3}`, `{"k":"b","n":1}`, `{"k":"c","n":1}`, `{"k":"a","n":9}`, `{"k":"a","n":11}`}, []string{"a 2..2", "a 10..10"}},
	} {
		if got := play(t, c.rule, c.messages...); !slices.Equal(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
}

// arrival is an event as it comes in.
type arrival struct {
	key    string
	number int64
	at     time.Duration
}

// Whatever is lost, late or repeated, and whenever the process is stopped: what is told missing and not repaired is what has not come, and
// what comes within the bounds is never told.
func TestGapRulesAgreeWithAnOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := ruleOf("next")
		rule.Field, rule.Per = expression.MustParse("n"), expression.MustParse("k")
		punctual := rapid.Bool().Draw(rt, "punctual")
		arrivals, lost := drawArrivals(rt, punctual)
		tr := newTracker(rule)
		open := map[string]map[int64]bool{"a": {}, "b": {}, "c": {}}
		note := func() {
			for _, f := range tr.take() {
				if punctual && (f.repaired || !lost[f.key][f.lo] || !lost[f.key][f.hi]) {
					rt.Fatalf("%s %d..%d was told (repaired %v), though everything came in time", f.key, f.lo, f.hi, f.repaired)
				}
				for n := f.lo; n <= f.hi; n++ {
					if open[f.key][n] == !f.repaired {
						rt.Fatalf("%s %d is told twice (repaired %v)", f.key, n, f.repaired)
					}
					open[f.key][n] = !f.repaired
				}
			}
		}
		stored := map[string][]byte{}
		restart := rapid.IntRange(0, 20).Draw(rt, "restart")
		came, first, top := map[string]map[int64]bool{"a": {}, "b": {}, "c": {}}, map[string]int64{}, map[string]int64{}
		for i, a := range arrivals {
			now := ruleBase.Add(a.at)
			tr.tick(now)
			tr.observe(&observation{kind: obsEvent, key: a.key, lo: a.number, hi: a.number}, now)
			if _, begun := first[a.key]; !begun {
				first[a.key] = a.number
			}
			came[a.key][a.number], top[a.key] = true, max(top[a.key], a.number)
			note()
			for _, e := range tr.changes("s") {
				stored[e.Key] = e.Value
			}
			if restart > 0 && i%restart == restart-1 {
				tr = restored(rt, rule, stored, now)
			}
		}
		tr.tick(ruleBase.Add(time.Hour))
		note()
		for key := range open {
			for n := first[key] + 1; n < top[key]; n++ {
				if open[key][n] == came[key][n] {
					rt.Fatalf("%s %d: it came: %v, told missing: %v", key, n, came[key][n], open[key][n])
				}
			}
		}
	})
}

// drawArrivals returns what comes of three counts, in the order in which it comes, and what does not.
func drawArrivals(rt *rapid.T, punctual bool) (arrivals []arrival, lost map[string]map[int64]bool) {
	lost = map[string]map[int64]bool{"a": {}, "b": {}, "c": {}}
	next := map[string]int64{"a": 1, "b": 1000, "c": 5}
	for i := range rapid.IntRange(10, 150).Draw(rt, "events") {
		key := rapid.SampledFrom([]string{"a", "a", "b", "c"}).Draw(rt, "key")
		n := next[key]
		next[key]++
		at := time.Duration(i) * 50 * time.Millisecond
		fate := rapid.IntRange(0, 19).Draw(rt, "fate")
		switch {
		case fate == 0 && n > 1:
			lost[key][n] = true
			continue
		case fate == 1:
			at += time.Duration(rapid.IntRange(1, 1900).Draw(rt, "delay")) * time.Millisecond
		case fate == 2 && !punctual:
			at += time.Duration(rapid.IntRange(1, 20).Draw(rt, "long delay")) * time.Second
		case fate == 3:
			arrivals = append(arrivals, arrival{key, n, at + 10*time.Millisecond})
		}
		arrivals = append(arrivals, arrival{key, n, at})
	}
	sort.SliceStable(arrivals, func(i, j int) bool { return arrivals[i].at < arrivals[j].at })
	return arrivals, lost
}

// restored is the tracker of a process that begins where another one has ended.
func restored(t interface{ Fatalf(string, ...any) }, rule *GapRule, stored map[string][]byte, now time.Time) *tracker {
	var entries []stream.Entry
	for _, key := range slices.Sorted(maps.Keys(stored)) {
		entries = append(entries, stream.Entry{Key: key, Value: stored[key]})
	}
	tr := newTracker(rule)
	if err := tr.restore("s", entries, now); err != nil {
		t.Fatalf("restore: %v", err)
	}
	return tr
}

func TestChainsSurviveARestart(t *testing.T) {
	rule := ruleOf(formPrevious)
	tr := newTracker(rule)
	stored := map[string][]byte{}
	ids := []string{"a", "b", "d", "c", "e", "g"}
	for i, id := range ids {
		now := ruleBase.Add(time.Duration(i) * time.Second)
		tr.observe(&observation{kind: obsLinked, id: id, previous: string(id[0] - 1)}, now)
		for _, e := range tr.changes("s") {
			stored[e.Key] = e.Value
		}
		tr = restored(t, rule, stored, now)
	}
	tr.tick(ruleBase.Add(time.Hour))
	if found := tr.take(); len(found) != 1 || found[0].id != "f" || found[0].after != "e" {
		t.Errorf("found %+v, want f after e", found)
	}
}

func TestKnownEventsProveAndNeverAccuse(t *testing.T) {
	tr := newTracker(ruleOf("next"))
	for _, o := range []observation{{lo: 10, hi: 10}, {lo: 3, hi: 3, known: true}, {lo: 4, hi: 4, known: true}, {lo: 500, hi: 500, known: true}, {lo: 11, hi: 11, known: true}, {lo: 12, hi: 12}} {
		o.kind = obsEvent
		tr.observe(&o, ruleBase)
	}
	tr.tick(ruleBase.Add(time.Hour))
	if found := tr.take(); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

// A provider that sends numbers at random costs no more than the bounds allow.
func TestGapRulesAreBounded(t *testing.T) {
	rule := ruleOf("next")
	rule.Keys = 5
	tr := newTracker(rule)
	for i := range int64(10_000) {
		tr.observe(&observation{kind: obsEvent, key: fmt.Sprint(i * i % 11), lo: i * i % 9973 * 7, hi: i * i % 9973 * 7}, ruleBase)
		tr.take()
	}
	size, holes := 0, 0
	for _, e := range tr.changes("s") {
		size += len(e.Value)
	}
	for _, b := range tr.buckets {
		for _, s := range b {
			holes = max(holes, len(s.holes))
		}
	}
	if tr.recent.Len() != 5 || tr.forgotten == 0 || holes > maxHoles || size > 5*maxHoles*40 {
		t.Errorf("%d counts, %d forgotten, %d holes, %d bytes", tr.recent.Len(), tr.forgotten, holes, size)
	}
}

func FuzzCounts(f *testing.F) {
	tr := newTracker(ruleOf(formPrevious))
	for _, id := range []string{"b", "d"} {
		tr.observe(&observation{kind: obsLinked, id: id, previous: string(id[0] - 1)}, ruleBase)
	}
	for _, e := range tr.changes("s") {
		f.Add(e.Value)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		counts, err := decodeCounts(data)
		if err != nil {
			return
		}
		byKey := map[string]*sequence{}
		for _, s := range counts {
			byKey[s.key] = s
		}
		once := encodeCounts(byKey)
		again, err := decodeCounts(once)
		if err != nil || len(again) != len(byKey) {
			t.Fatalf("decoded again: %v", err)
		}
		for _, s := range again {
			byKey[s.key] = s
		}
		if twice := encodeCounts(byKey); !bytes.Equal(once, twice) {
			t.Fatalf("encoded again: %x, then %x", once, twice)
		}
	})
}

func BenchmarkGapRule(b *testing.B) {
	rule := ruleOf("next")
	rule.Field, rule.Per = expression.MustParse("n"), expression.MustParse("k")
	tr := newTracker(rule)
	messages := make([][]byte, 1000)
	for i := range messages {
		messages[i] = fmt.Appendf(nil, `{"type":"trade","k":"K%d","price":"1.25","n":%d}`, i%100, i/100)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m := expression.NewMessage(messages[i%1000])
		o := rule.look(&m, "connection 1")
		tr.observe(&o, ruleBase)
	}
}

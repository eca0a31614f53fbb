package source_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
)

// archive is the memory of a provider that sends an event a second, the n-th in second n, but for some that it lost itself.
type archive struct {
	mu       sync.Mutex
	begun    time.Time
	lost     map[int]bool
	nameless map[int]bool // without a number in answers
	newest   bool         // comes first, and "after" is what an answer lies before
	page     int          // events of an answer
	statuses []int        // of the first answers
	asked    []string
}

// ServeHTTP answers what is behind "after", or from "from" on, up to "to": times in milliseconds, or numbers.
func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := r.URL.Query()
	a.asked = append(a.asked, r.URL.RawQuery)
	if len(a.statuses) > 0 {
		status := a.statuses[0]
		a.statuses = a.statuses[1:]
		http.Error(w, "not now", status)
		return
	}
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(q.Get(name)); err == nil {
			return n
		}
		return otherwise
	}
	second := func(name string, otherwise int) int {
		ms := number(name, -1)
		if ms < 0 {
			return otherwise
		}
		return int(time.UnixMilli(int64(ms)).Sub(a.begun) / time.Second)
	}
	first := max(1, second("from", number("first", 1)), number("after", 0)+1)
	last := min(int(time.Since(a.begun)/time.Second), second("to", number("last", 1<<40)))
	if a.newest {
		a.backwards(w, min(last, number("after", 1<<40)-1))
		return
	}
	items, next := []string{}, ""
	for n := first; n <= last; n++ {
		if a.lost[n] {
			continue
		}
		if len(items) == a.page {
			next = strconv.Itoa(n - 1)
			break
		}
		event := a.event(n)
		if a.nameless[n] {
			event = `{}`
		}
		items = append(items, event)
	}
	_, _ = fmt.Fprintf(w, `{"items":[%s],"next":%q}`, strings.Join(items, ","), next)
}

func (a *archive) backwards(w http.ResponseWriter, from int) {
	items := []string{}
	for n := from; n > max(0, from-a.page); n-- {
		items = append(items, a.event(n))
	}
	_, _ = fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
}

func (a *archive) event(n int) string {
	return fmt.Sprintf(`{"seq":%d,"at":%d}`, n, a.begun.Add(time.Duration(n)*time.Second).UnixMilli())
}

func (a *archive) queries() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// live is a Source that sends the events of an archive while it is up, and drops some.
type live struct {
	of   *archive
	down []outage
	drop map[int]bool
}

func (l *live) Open(context.Context, leat.Cursor) (source.Conn, error) {
	if within(l.down, time.Now()) != nil {
		return nil, errors.New("away")
	}
	return &liveConn{live: l, next: int(time.Since(l.of.begun)/time.Second) + 1, closed: make(chan struct{})}, nil
}

type liveConn struct {
	*live
	next   int
	once   sync.Once
	closed chan struct{}
}

func (c *liveConn) Next(context.Context) ([]leat.Event, error) {
	for {
		t := time.NewTimer(time.Until(c.of.begun.Add(time.Duration(c.next) * time.Second)))
		select {
		case <-t.C:
		case <-c.closed:
			t.Stop()
			return nil, errors.New("closed")
		}
		if within(c.down, time.Now()) != nil {
			return nil, errors.New("cut")
		}
		n := c.next
		c.next++
		if !c.drop[n] && !c.of.lost[n] {
			return []leat.Event{{Data: []byte(c.of.event(n))}}, nil
		}
	}
}

func (c *liveConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// fillRig is an archive, a connection to what it archives, and an engine.
type fillRig struct {
	t       *testing.T
	archive *archive
	live    *live
	engine  *memory
	net     *pipenet.Network
	logs    bytes.Buffer
	tiers   []source.Tier
	change  func(*source.Settings)
}

// filling runs do in a bubble over a rig whose connection is down from second 60 to 120.
func filling(t *testing.T, do func(r *fillRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &archive{begun: time.Now(), lost: map[int]bool{}, page: 20}
		r := &fillRig{t: t, archive: a, engine: newMemory(), net: pipenet.New(), live: &live{of: a, drop: map[int]bool{}}}
		r.live.down = []outage{{a.begun.Add(60*time.Second + time.Millisecond), a.begun.Add(120 * time.Second)}}
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		listener := r.net.Listen("archive:80")
		go func() { served <- provider.Serve(ctx, listener, a) }()
		do(r)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}

// tier returns a tier that asks with a query.
func tier(query map[string]string) source.Tier {
	var t source.Tier
	t.URL = expression.MustParseTemplate("http://archive/")
	t.Query = map[string]expression.Template{}
	for name, text := range query {
		t.Query[name] = expression.MustParseTemplate(text)
	}
	t.Items = expression.MustParsePath("items")
	t.Next = "next"
	return t
}

func byTime() source.Tier {
	return tier(map[string]string{"from": "{{gap_from_ms}}", "to": "{{gap_to_ms}}", "after": "{{page}}"})
}

func byNumber() source.Tier {
	return tier(map[string]string{"first": "{{gap_first}}", "last": "{{gap_last}}", "after": "{{page}}"})
}

func (r *fillRig) run(d time.Duration) *source.Manager {
	r.t.Helper()
	s := source.Settings{
		EventID: expression.MustParse("seq"), EventTime: expression.MustParse("at"), Backfill: r.tiers, MaxBackoff: time.Second,
		DedupeWindow: 10 * time.Minute,
	}
	if r.change != nil {
		r.change(&s)
	}
	for i := range s.Backfill {
		if err := s.Backfill[i].Check(); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := s.Check(); err != nil {
		r.t.Fatal(err)
	}
	p := &producer.Producer{Engine: r.engine, Stream: "events", Source: "feed", Remember: producer.Remember{Window: s.DedupeWindow, Events: 100_000}}
	m := &source.Manager{
		Name: "feed", Source: r.live, Settings: s, Producer: p, Gaps: "feed.gaps", Dial: r.net.DialContext,
		Log: slog.New(slog.NewTextHandler(&r.logs, nil)),
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		r.t.Fatal(err)
	}
	return m
}

// missing returns which events up to the last are not stored. It fails where one is stored twice.
func (r *fillRig) missing() (missing []int) {
	r.t.Helper()
	y := year{t: r.t, engine: r.engine}
	ids := y.ids()
	last := 0
	for id, n := range ids {
		last = max(last, id)
		if n > 1 {
			r.t.Errorf("%d is stored %d times", id, n)
		}
	}
	for id := 1; id <= last; id++ {
		if ids[id] == 0 {
			missing = append(missing, id)
		}
	}
	return missing
}

func (r *fillRig) judge() *source.Completeness {
	y := year{t: r.t, engine: r.engine}
	c := source.Judge("feed", y.gaps(), r.archive.begun, time.Now())
	return &c
}

func TestATimeThatWasMissedIsAskedFor(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.tiers = []source.Tier{byTime()}
		m := r.run(5 * time.Minute)
		status, judged := m.Status(), r.judge()
		if missing := r.missing(); len(missing) > 0 || !judged.Complete() || judged.Repaired < 55 || status.Backfilled != judged.Repaired || status.RepairsWaiting > 0 {
			t.Errorf("missing %v, judged %+v, status %+v", missing, judged, status)
		}
		if asked := r.archive.queries(); len(asked) != 4 {
			t.Errorf("asked %q", asked)
		}
		y := year{t: t, engine: r.engine}
		if gaps := y.gaps(); len(gaps) != 2 || gaps[1].RepairedAt.IsZero() || gaps[0].How != gaps[1].How || !gaps[0].From.Equal(gaps[1].From) || !gaps[0].To.Equal(gaps[1].To) {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

func TestNumbersThatAreMissingAreAskedFor(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.live.down = nil
		for _, n := range []int{30, 70, 71, 72, 73, 150} {
			r.live.drop[n] = true
		}
		r.archive.lost[72] = true
		r.tiers = []source.Tier{byNumber()}
		r.tiers[0].Mark = "repaired"
		r.change = func(s *source.Settings) { s.GapRule = &source.GapRule{Field: expression.MustParse("seq")} }
		m := r.run(5 * time.Minute)
		judged := r.judge()
		if missing := r.missing(); !slices.Equal(missing, []int{72}) || judged.MissingEvents != 1 || judged.Missing[0].First != "72" || judged.Repaired != 5 {
			t.Errorf("missing %v, judged %+v", missing, judged)
		}
		if status := m.Status(); status.Backfilled != 5 || status.RepairsFailed != 1 || status.RepairsWaiting != 0 {
			t.Errorf("status %+v", status)
		}
		for _, record := range r.engine.records("events") {
			var e struct {
				Seq      int
				Repaired bool
			}
			if err := json.Unmarshal(record.Data, &e); err != nil || e.Repaired != r.live.drop[e.Seq] {
				t.Errorf("%s: %v", record.Data, err)
			}
		}
	})
}

// With a gap rule a time that was missed is told twice: how long, and what. Both are filled by what is asked for once.
func TestATimeFillsTheNumbersInIt(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.tiers = []source.Tier{byTime()}
		r.change = func(s *source.Settings) { s.GapRule = &source.GapRule{Field: expression.MustParse("seq")} }
		r.run(5 * time.Minute)
		if missing, judged := r.missing(), r.judge(); len(missing) > 0 || !judged.Complete() {
			t.Errorf("missing %v, judged %+v", missing, judged)
		}
		if asked := r.archive.queries(); len(asked) > 8 {
			t.Errorf("asked %q", asked)
		}
	})
}

func TestTheFirstTierThatFitsIsAsked(t *testing.T) {
	filling(t, func(r *fillRig) {
		near, far := byTime(), byTime()
		near.Within = 30 * time.Second
		far.Query["which"] = expression.MustParseTemplate("far {{outage_minutes}} {{outage_seconds > 60}}")
		r.tiers = []source.Tier{near, byNumber(), far}
		r.change = func(s *source.Settings) { s.GapRule = &source.GapRule{Field: expression.MustParse("other")} }
		r.run(5 * time.Minute)
		asked := r.archive.queries()
		if missing := r.missing(); len(missing) > 0 || len(asked) != 4 || !strings.Contains(asked[0], "which=far+2+true") {
			t.Errorf("missing %v, asked %q", missing, asked)
		}
	})
}

func TestATierThatFailsIsLeft(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses []int
		tiers    int
		asked    int
		filled   bool
	}{
		{"for now", []int{503, 429, 500}, 1, 3 + 4, true},
		{"for good", []int{403}, 1, 1, false},
		{"too often", []int{503, 503, 503, 503, 503, 503, 503}, 1, 6, false},
		{"for the next", []int{403}, 2, 1 + 4, true},
	} {
		filling(t, func(r *fillRig) {
			r.archive.statuses = c.statuses
			for range c.tiers {
				r.tiers = append(r.tiers, byTime())
			}
			m := r.run(10 * time.Minute)
			missing, judged, asked := r.missing(), r.judge(), r.archive.queries()
			if c.filled != (len(missing) == 0) || c.filled != judged.Complete() || len(asked) != c.asked || c.filled == (m.Status().RepairsFailed > 0) {
				t.Errorf("%s: missing %v, judged %+v, asked %q", c.name, missing, judged, asked)
			}
			if told := strings.Count(r.logs.String(), "the gap stays"); c.filled != (told == 0) || told > 1 {
				t.Errorf("%s: log %s", c.name, r.logs.String())
			}
		})
	}
}

// The position behind the last event is where the next page begins, for providers that take one.
func TestPagesGoOnBehindTheLastEvent(t *testing.T) {
	filling(t, func(r *fillRig) {
		one := tier(map[string]string{"from": `{{page == "" ? gap_from_ms : nil}}`, "after": "{{page}}"})
		one.Next, one.NextFrom = "", expression.MustParse("seq")
		r.tiers = []source.Tier{one}
		r.run(5 * time.Minute)
		if missing, judged, asked := r.missing(), r.judge(), r.archive.queries(); len(missing) > 0 || !judged.Complete() || len(asked) > 5 {
			t.Errorf("missing %v, judged %+v, asked %q", missing, judged, asked)
		}
	})
}

// Providers that send the newest first begin behind the gap, and go back through it.
func TestPagesGoBackThroughTheGap(t *testing.T) {
	for _, change := range []func(*source.Settings){nil, func(s *source.Settings) { s.GapRule = &source.GapRule{Field: expression.MustParse("seq")} }} {
		filling(t, func(r *fillRig) {
			r.archive.newest = true
			one := tier(map[string]string{"after": "{{page}}"})
			one.Next, one.NextFrom, one.Delay = "", expression.MustParse("seq"), time.Minute
			r.tiers, r.change = []source.Tier{one}, change
			r.run(5 * time.Minute)
			if missing, judged, asked := r.missing(), r.judge(), r.archive.queries(); len(missing) > 0 || !judged.Complete() || len(asked) > 9 {
				t.Errorf("missing %v, judged %+v, asked %q", missing, judged, asked)
			}
		})
	}
}

// Where answers hold what cannot be stored, nobody can say that everything has come.
func TestAGapStaysWhereEventsAreLeftOut(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.archive.nameless = map[int]bool{90: true}
		r.tiers = []source.Tier{byTime()}
		m := r.run(5 * time.Minute)
		if missing, judged := r.missing(), r.judge(); !slices.Equal(missing, []int{90}) || judged.Complete() || m.Status().RepairsFailed != 1 {
			t.Errorf("missing %v, judged %+v, status %+v", missing, judged, m.Status())
		}
	})
	filling(t, func(r *fillRig) {
		one := tier(map[string]string{"from": `{{page == "" ? gap_from_ms : nil}}`, "after": "{{page}}"})
		one.Next, one.NextFrom = "", expression.MustParse("elsewhere")
		r.tiers = []source.Tier{one}
		if r.run(5 * time.Minute); r.judge().Complete() {
			t.Errorf("missing %v, judged %+v", r.missing(), r.judge())
		}
	})
}

// A stop in the middle loses no page and asks for none again that is stored.
func TestARestartGoesOnWithTheRepair(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.tiers = []source.Tier{byTime()}
		r.tiers[0].Pace = 10 * time.Second
		r.run(135 * time.Second)
		first := len(r.archive.queries())
		if first == 0 || first > 3 {
			t.Errorf("%d requests before the stop", first)
		}
		r.run(3 * time.Minute)
		if missing, asked := r.missing(), r.archive.queries(); len(missing) > 0 || len(asked) > 4+1 || !r.judge().Complete() {
			t.Errorf("missing %v, judged %+v, asked %q", missing, r.judge(), asked)
		}
	})
}

// Without tiers what waits is forgotten: nothing would count how long ago it was found.
func TestARepairEndsWithItsTiers(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.tiers = []source.Tier{byTime()}
		r.tiers[0].Pace = time.Minute
		r.run(130 * time.Second)
		r.tiers = nil
		r.run(30 * time.Minute)
		r.tiers = []source.Tier{byTime()}
		asked := len(r.archive.queries())
		r.archive.page = 1000
		m := r.run(10 * time.Second)
		if len(r.archive.queries()) > asked+1 || m.Status().RepairsWaiting > 0 {
			t.Errorf("asked %q, status %+v", r.archive.queries(), m.Status())
		}
		r.missing()
	})
}

// Beyond half of the time for which identities are remembered, nothing is stored twice because nothing is asked for.
func TestARepairIsGivenUpBeforeItStoresTwice(t *testing.T) {
	filling(t, func(r *fillRig) {
		r.archive.page = 1
		r.tiers = []source.Tier{byTime()}
		r.tiers[0].MaxPages, r.tiers[0].Pace = 1000, 7*time.Second
		r.change = func(s *source.Settings) { s.DedupeWindow = time.Minute }
		r.run(10 * time.Minute)
		if asked := len(r.archive.queries()); asked < 3 || asked > 6 || r.judge().Complete() || !strings.Contains(r.logs.String(), "dedupe_window") {
			t.Errorf("asked %d times, judged %+v, log %s", asked, r.judge(), r.logs.String())
		}
		r.missing()
	})
}

func TestBackfillIsChecked(t *testing.T) {
	for field, change := range map[string]func(*source.Settings){
		"backfill": func(s *source.Settings) { s.EventID = expression.Value{}; s.Backfill = []source.Tier{byTime()} },
		"backfill[1]": func(s *source.Settings) {
			s.Backfill = []source.Tier{byTime(), byNumber()}
		},
	} {
		s := source.Settings{EventID: expression.MustParse("seq")}
		change(&s)
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got %v", field, err)
		}
	}
	for field, change := range map[string]func(*source.Tier){
		"url":       func(t *source.Tier) { t.URL = expression.MustParseTemplate("ws://h/") },
		"next":      func(t *source.Tier) { t.Next = "" },
		"next_from": func(t *source.Tier) { t.NextFrom = expression.MustParse("seq") },
	} {
		one := byTime()
		change(&one)
		if err := one.Check(); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

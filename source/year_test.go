package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// long is a provider over a long time: it numbers its events, cuts every connection at some age, is away now and then, goes back to a cursor as far as
// its history reaches, without a word if that is not far enough, and forgets to send a message here and there.
type long struct {
	interval time.Duration
	history  time.Duration
	started  time.Time
	outages  []outage
	short    []outage // when connections live for 15 minutes, and not for a day
	dropOne  int      // one of so many messages is not sent over a connection
	dropAll  int      // one of so many is not sent at all

	mu   sync.Mutex
	dice *rand.Rand
	sent map[int64]bool
	cuts int

	asked int // for its memory
}

type outage struct{ from, to time.Time }

func within(all []outage, now time.Time) *outage {
	for i := range all {
		if !now.Before(all[i].from) && now.Before(all[i].to) {
			return &all[i]
		}
	}
	return nil
}

// newLong plans a number of days.
func newLong(days int, seed uint64) *long {
	p := &long{
		interval: 10 * time.Minute, history: 4 * time.Hour, started: time.Now(), dropOne: 50, dropAll: 400,
		dice: rand.New(rand.NewPCG(seed, 1)), sent: map[int64]bool{},
	}
	day := 24 * time.Hour
	end := p.started.Add(time.Duration(days) * day)
	for at := p.started.Add(day); at.Before(end.Add(-4 * day)); at = at.Add(time.Duration(1+p.dice.IntN(6)) * day) {
		from := at.Add(time.Duration(p.dice.Int64N(int64(day))))
		length := 10*time.Second + time.Duration(p.dice.Int64N(int64(20*time.Minute)))
		switch p.dice.IntN(8) {
		case 0:
			length = time.Duration(p.dice.Int64N(int64(2 * day)))
		case 1, 2:
			length = time.Duration(p.dice.Int64N(int64(8 * time.Hour)))
		}
		p.outages = append(p.outages, outage{from, from.Add(length)})
	}
	for at := p.started; at.Before(end); at = at.Add(2 * day) {
		p.short = append(p.short, outage{at, at.Add(day)})
	}
	return p
}

// due is in the middle of no round time, so that nothing else happens in that moment.
func (p *long) due(id int64) time.Time {
	return p.started.Add(time.Duration(id)*p.interval + 123*time.Millisecond)
}

// newest is the last event that was due.
func (p *long) newest(now time.Time) int64 {
	return int64((now.Sub(p.started) - 123*time.Millisecond) / p.interval)
}

func (p *long) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if within(p.outages, now) != nil {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/history" {
		p.remember(w, r.URL.Query())
		return
	}
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	next := p.newest(now) + 1
	if cursor, err := strconv.ParseInt(r.URL.Query().Get("cursor"), 10, 64); err == nil {
		next = max(cursor, next-int64(p.history/p.interval))
	}
	p.play(ctx, c, next, p.cutAt(now))
	p.mu.Lock()
	p.cuts++
	p.mu.Unlock()
}

// remember answers with what was due, a page behind another one, and mostly.
func (p *long) remember(w http.ResponseWriter, q url.Values) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked++; p.dice.IntN(8) == 0 {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(q.Get(name), 10, 64)
		return n
	}
	first, last := number("first"), number("last")
	if first == 0 {
		first, last = p.newest(time.UnixMilli(number("from"))), p.newest(time.UnixMilli(number("to")))
	}
	items := []json.RawMessage{}
	next := int64(0)
	for id := max(first, number("page")); id <= min(last, p.newest(time.Now())); id++ {
		if len(items) == 50 {
			next = id
			break
		}
		if id%int64(p.dropAll) != 7 {
			items = append(items, fmt.Appendf(nil, `{"id":%d}`, id))
			p.sent[id] = true
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "next": map[bool]any{true: next}[next > 0]})
}

// cutAt is when a connection ends that is opened now.
func (p *long) cutAt(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	life := 24*time.Hour - time.Duration(p.dice.Int64N(int64(time.Minute)))
	if within(p.short, now) != nil {
		life = 15*time.Minute - time.Duration(p.dice.Int64N(int64(30*time.Second)))
	}
	end := now.Add(life)
	for _, o := range p.outages {
		if o.from.After(now) && o.from.Before(end) {
			end = o.from
		}
	}
	if second := end.Sub(p.started) % p.interval; second < time.Second {
		end = end.Add(2 * time.Second) // what is sent has arrived before
	}
	return end
}

// play sends what is due until the connection is cut: with a goodbye or without.
func (p *long) play(ctx context.Context, c *ws.Conn, next int64, cut time.Time) {
	for ; p.due(next).Before(cut); next++ {
		if !sleepUntil(ctx, p.due(next)) {
			return
		}
		if !p.sends(next) {
			continue
		}
		if err := c.Write(ctx, ws.MessageText, fmt.Appendf(nil, `{"id":%d}`, next)); err != nil {
			return
		}
		p.mu.Lock()
		p.sent[next] = true
		p.mu.Unlock()
	}
	if sleepUntil(ctx, cut) && next%2 == 0 {
		_ = c.Close(ws.StatusGoingAway, "")
	}
}

func (p *long) sends(id int64) bool {
	if id%int64(p.dropAll) == 7 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dice.IntN(p.dropOne) != 0
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// year is a rig with an engine that has no timers.
type year struct {
	t        *testing.T
	net      *pipenet.Network
	engine   *memory
	settings func(*source.Settings, *websocket.Config)
	stop     context.CancelFunc
	ended    chan error
}

func newYear(t *testing.T, h http.Handler) *year {
	y := &year{t: t, net: pipenet.New(), engine: newMemory()}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- provider.Serve(ctx, y.net.Listen("feed:80"), h) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return y
}

func (y *year) run() {
	settings := source.Settings{EventID: expression.MustParse("id")}
	config := websocket.Config{URL: expression.MustParseTemplate("ws://feed:80/"), Compression: "off"}
	y.settings(&settings, &config)
	p := &producer.Producer{Engine: y.engine, Stream: "events", Source: "feed", Remember: producer.Remember{Window: 10 * time.Minute, Events: 100_000}}
	m := &source.Manager{
		Name: "feed", Settings: settings, Producer: p, Gaps: "feed.gaps", Log: slog.New(slog.DiscardHandler),
		Source: &websocket.Source{Config: config, Dial: y.net.DialContext}, Dial: y.net.DialContext,
	}
	ctx, stop := context.WithCancel(context.Background())
	y.stop, y.ended = stop, make(chan error, 1)
	go func() { y.ended <- m.Run(ctx) }()
}

func (y *year) leave() {
	y.t.Helper()
	y.stop()
	if err := <-y.ended; err != nil {
		y.t.Errorf("the manager ended with %v", err)
	}
}

func (y *year) ids() map[int]int {
	ids := map[int]int{}
	for _, record := range y.engine.records("events") {
		id, err := strconv.Atoi(record.ID)
		if err != nil {
			y.t.Fatal(err)
		}
		ids[id]++
	}
	return ids
}

func (y *year) gaps() (gaps []source.Gap) {
	for _, record := range y.engine.records("feed.gaps") {
		var g source.Gap
		if err := json.Unmarshal(record.Data, &g); err != nil {
			y.t.Fatal(err)
		}
		gaps = append(gaps, g)
	}
	return gaps
}

// A season with ten thousand disconnects, over three connections, with outages longer than the provider's memory, and with a leat that is stopped
// now and then: whatever the provider sent is stored once, and the gap records name exactly what it did not send. LEAT_TEST_YEARS=1 makes it a
// year, in about ten seconds.
func TestAYearOfDisconnects(t *testing.T) { season(t, nil) }

// The same where what was missed is asked for afterwards: what is not told as repaired is exactly what the provider no longer has, or was not asked for.
func TestAYearIsFilled(t *testing.T) {
	tier := func(within time.Duration, query map[string]string) source.Tier {
		one := source.Tier{Within: within}
		one.URL = expression.MustParseTemplate("http://feed:80/history")
		one.Query = map[string]expression.Template{"page": expression.MustParseTemplate("{{page}}")}
		for name, text := range query {
			one.Query[name] = expression.MustParseTemplate(text)
		}
		one.Items, one.Next = expression.MustParsePath("items"), "next"
		return one
	}
	season(t, []source.Tier{
		tier(7*24*time.Hour, map[string]string{"first": "{{gap_first}}", "last": "{{gap_last}}"}),
		tier(12*time.Hour, map[string]string{"from": "{{gap_from_ms}}", "to": "{{gap_to_ms}}"}),
	})
}

func season(t *testing.T, tiers []source.Tier) {
	t.Helper()
	days := 120
	if years, err := strconv.Atoi(os.Getenv("LEAT_TEST_YEARS")); err == nil {
		days = 365 * years
	}
	synctest.Test(t, func(t *testing.T) {
		feed := newLong(days, 7)
		y := newYear(t, feed)
		y.settings = func(s *source.Settings, w *websocket.Config) {
			s.Connections, s.Stall, s.MaxBackoff = 3, 45*time.Minute, 10*time.Minute
			s.Cursor, s.CursorMode = expression.MustParse("id"), "inclusive"
			s.GapRule = &source.GapRule{Field: expression.MustParse("id"), Reorder: source.Reorder{Time: 10 * time.Second}}
			s.Backfill = tiers
			w.Ping = setting.Off
			w.Query = map[string]expression.Template{"cursor": expression.MustParseTemplate("{{cursor}}")}
		}
		y.run()
		for month := range days / 30 {
			time.Sleep(30*24*time.Hour + 17*time.Second)
			y.leave()
			time.Sleep(time.Duration(month*month) * 7 * time.Minute)
			y.run()
		}
		time.Sleep(24*time.Hour + time.Minute)
		y.leave()
		feed.check(t, y)
		if tiers != nil {
			feed.filled(t, y)
		}
	})
}

// filled compares what the statement of completeness says with what is stored.
func (p *long) filled(t *testing.T, y *year) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := y.ids()
	first, last := p.due(int64(slices.Min(slices.Collect(maps.Keys(ids))))), p.due(int64(slices.Max(slices.Collect(maps.Keys(ids)))))
	c := source.Judge("feed", y.gaps(), first, last)
	missing := map[int64]bool{}
	for _, g := range c.Missing {
		from, _ := strconv.ParseInt(g.First, 10, 64)
		to, _ := strconv.ParseInt(g.Last, 10, 64)
		for id := from; id <= to; id++ {
			missing[id] = true
		}
	}
	beyond := 0 // what the provider still has, and leat lacks
	for id := p.newest(first) + 1; !p.due(id).After(last); id++ {
		if missing[id] != (ids[int(id)] == 0) {
			t.Errorf("%d is stored %d times, called missing: %v", id, ids[int(id)], missing[id])
		}
		if missing[id] && id%int64(p.dropAll) != 7 {
			beyond++
		}
	}
	t.Logf("%d requests; %d events repaired; %d missing, of which the provider has %d; unknown for %v at %d times", p.asked, c.Repaired, c.MissingEvents, beyond, c.UnknownTime, len(c.Unknown))
	for _, g := range c.Unknown {
		if g.To.Sub(g.From) < 12*time.Hour-10*time.Minute {
			t.Errorf("it was not filled: %+v", g)
		}
	}
	if c.Repaired == 0 || beyond > 0 {
		t.Errorf("%d events were not asked for", beyond)
	}
}

// check compares what was sent with what is stored and what is reported.
func (p *long) check(t *testing.T, y *year) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	ids, reported := y.ids(), map[int64]bool{}
	first, last := int64(0), int64(0)
	for id := range ids {
		if first == 0 || int64(id) < first {
			first = int64(id)
		}
		last = max(last, int64(id))
	}
	records := map[string]int{}
	for _, g := range y.gaps() {
		records[g.How]++
		if g.How != source.GapSequence {
			continue
		}
		from, _ := strconv.ParseInt(g.First, 10, 64)
		to, _ := strconv.ParseInt(g.Last, 10, 64)
		for id := from; id <= to; id++ {
			if reported[id] == g.RepairedAt.IsZero() {
				t.Errorf("%d is told twice: %+v", id, g)
			}
			reported[id] = g.RepairedAt.IsZero()
		}
	}
	lost, twice, missing := 0, 0, 0
	for id := first; id <= last; id++ {
		n := ids[int(id)]
		switch {
		case n > 1:
			twice++
		case n == 0 && p.sent[id]:
			lost++
		case n == 0:
			missing++
		}
		if reported[id] != (n == 0) {
			t.Errorf("%d is stored %d times, reported as missing: %v", id, n, reported[id])
		}
	}
	t.Logf("%d events, %d disconnects, %d outages; %d not sent, %d lost, %d stored twice; gap records %v", last-first+1, p.cuts, len(p.outages), missing, lost, twice, records)
	if lost > 0 || twice > 0 || missing == 0 || p.cuts < 10_000 {
		t.Fail()
	}
}

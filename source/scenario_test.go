package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// rig is a whole way from a simulated provider into the embedded engine, in virtual time over a network in memory.
type rig struct {
	t      *testing.T
	net    *pipenet.Network
	engine *local.Engine
	logs   *logBook
	wrap   func(source.Producer) source.Producer // may be nil

	manager *source.Manager
	stop    context.CancelFunc
	ended   chan error
}

// newRig serves the provider. The caller is inside a synctest bubble.
func newRig(t *testing.T, h http.Handler) *rig {
	t.Helper()
	r := &rig{t: t, net: pipenet.New(), logs: &logBook{}}
	ctx, stop := context.WithCancel(context.Background())
	served, listener := make(chan error, 1), r.net.Listen("feed:80")
	go func() { served <- provider.Serve(ctx, listener, h) }()
	e, err := local.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	r.engine = e
	streamtest.Create(t, e, "events", 4)
	streamtest.Create(t, e, "feed.gaps", 1)
	t.Cleanup(func() {
		r.leave()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = e.Close()
	})
	return r
}

// run starts a Manager with the settings, changed as the test wants.
func (r *rig) run(change func(*source.Settings, *websocket.Config)) {
	r.t.Helper()
	settings := source.Settings{EventID: expression.MustParse("id"), PartitionKey: expression.MustParse("id")}
	config := websocket.Config{URL: expression.MustParseTemplate("ws://feed:80/"), Compression: "off"}
	if change != nil {
		change(&settings, &config)
	}
	p := &producer.Producer{Engine: r.engine, Stream: "events", Source: "feed"}
	if !settings.EventID.IsZero() {
		p.Remember = producer.Remember{Window: 10 * time.Minute, Events: 100_000}
	}
	r.manager = &source.Manager{
		Name: "feed", Settings: settings, Producer: p, Gaps: "feed.gaps", Log: slog.New(r.logs),
		Source: &websocket.Source{Config: config, Dial: r.net.DialContext},
	}
	if r.wrap != nil {
		r.manager.Producer = r.wrap(p)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ended = stop, make(chan error, 1)
	go func() { r.ended <- r.manager.Run(ctx) }()
}

// leave ends the Manager as a stop of the process would.
func (r *rig) leave() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Errorf("the manager ended with %v", err)
	}
	r.stop = nil
}

// ids returns how often each id is stored.
func (r *rig) ids() map[int]int {
	r.t.Helper()
	ids := map[int]int{}
	for _, record := range streamtest.ReadStream(r.t, r.engine, "events") {
		var event struct{ ID int }
		if err := json.Unmarshal(record.Data, &event); err != nil {
			r.t.Fatalf("stored %q: %v", record.Data, err)
		}
		ids[event.ID]++
	}
	return ids
}

func (r *rig) gaps() []source.Gap {
	r.t.Helper()
	var gaps []source.Gap
	for _, record := range streamtest.ReadAll(r.t, r.engine, "feed.gaps", 0, stream.Oldest()) {
		var g source.Gap
		if err := json.Unmarshal(record.Data, &g); err != nil {
			r.t.Fatal(err)
		}
		gaps = append(gaps, g)
	}
	return gaps
}

// logBook is a slog.Handler that keeps every line.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logBook) WithGroup(string) slog.Handler            { return l }
func (l *logBook) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logBook) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logBook) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// missing compares what was produced with what is stored.
func (r *rig) missing(produced int64) (missing []int, repeated int) {
	r.t.Helper()
	ids := r.ids()
	for id := 1; id <= int(produced); id++ {
		switch n := ids[id]; {
		case n == 0:
			missing = append(missing, id)
		case n > 1:
			repeated++
		}
	}
	return missing, repeated
}

// scenario1 is S1: 110 s at 100 events a second, an abrupt close at 20 s, a half-open stall at 70 s, no replay.
func scenario1(t *testing.T, connections int, stall time.Duration, silence func(*provider.Ticker)) (r *rig, begun time.Time, missing []int) {
	t.Helper()
	feed := &provider.Ticker{Interval: 10 * time.Millisecond}
	r = newRig(t, feed)
	begun = time.Now()
	feed.Start()
	r.run(func(s *source.Settings, _ *websocket.Config) { s.Connections, s.Stall = connections, stall })
	time.Sleep(20 * time.Second)
	feed.CutOldest()
	time.Sleep(50 * time.Second)
	silence(feed)
	time.Sleep(40 * time.Second)
	produced := feed.Stop()
	time.Sleep(time.Second)
	r.leave()
	missing, repeated := r.missing(produced)
	if repeated > 0 {
		t.Errorf("%d events are stored more than once", repeated)
	}
	t.Logf("%d connections, stall %v: %d of %d events lost, %d gap records, %d connections opened",
		connections, stall, len(missing), produced, len(r.gaps()), r.manager.Status().Opened)
	return r, begun, missing
}

func TestS1TwoConnectionsLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, missing := scenario1(t, 2, 2*time.Second, func(f *provider.Ticker) { f.SilenceOldest() })
		if len(missing) > 0 || len(r.gaps()) > 0 {
			t.Errorf("lost %d events, gaps %v", len(missing), r.gaps())
		}
	})
}

// With one connection the loss is bounded by the stall time, and the gap record names exactly the time of the events that are missing.
func TestS1OneConnectionReportsWhatItLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall = 2 * time.Second
		r, begun, missing := scenario1(t, 1, stall, func(f *provider.Ticker) { f.SilenceAll() })
		if most := int(stall/(10*time.Millisecond)) + 30; len(missing) > most {
			t.Errorf("lost %d events, want at most %d", len(missing), most)
		}
		checkGaps(t, r, begun, 10*time.Millisecond, missing)
	})
}

// Even when every connection falls silent at once, which redundancy cannot help, the loss is bounded and reported.
func TestS1AllConnectionsSilentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall = 2 * time.Second
		r, begun, missing := scenario1(t, 2, stall, func(f *provider.Ticker) { f.SilenceAll() })
		if most := int(stall/(10*time.Millisecond)) + 30; len(missing) > most || len(missing) == 0 {
			t.Errorf("lost %d events, want at most %d", len(missing), most)
		}
		checkGaps(t, r, begun, 10*time.Millisecond, missing)
	})
}

// checkGaps makes sure that every missing event lies in a reported gap, and no stored one.
func checkGaps(t *testing.T, r *rig, begun time.Time, interval time.Duration, missing []int) {
	t.Helper()
	gaps := r.gaps()
	lost := map[int]bool{}
	for _, id := range missing {
		lost[id] = true
	}
	inGap := func(at time.Time, or time.Duration) bool { // or beside it
		for _, g := range gaps {
			if at.After(g.From.Add(-or)) && at.Before(g.To.Add(or)) {
				return true
			}
		}
		return false
	}
	for id := range r.ids() {
		if at := begun.Add(time.Duration(id) * interval); inGap(at, 0) {
			t.Errorf("event %d is stored, but its time %v lies inside a reported gap", id, at)
		}
	}
	for id := range lost {
		if at := begun.Add(time.Duration(id) * interval); !inGap(at, 1) { // an event of the very moment may be on either side
			t.Errorf("event %d is lost, and its time %v lies in no reported gap", id, at)
		}
	}
	for _, g := range gaps {
		t.Logf("gap %v to %v (%v): %s", g.From.Sub(begun), g.To.Sub(begun), g.To.Sub(g.From), g.Reason)
	}
}

func TestS2AcceptThenCloseIsNotHammered(t *testing.T) {
	for _, connections := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			feed := &provider.AcceptThenClose{}
			r := newRig(t, feed)
			r.run(func(s *source.Settings, _ *websocket.Config) { s.Connections = connections })
			time.Sleep(15*time.Second - time.Nanosecond)
			n := feed.Counts().Connections
			status := r.manager.Status()
			t.Logf("%d wanted: %d connections in 15 s, state %s: %s", connections, n, status.State, status.LastEnd)
			if n > 10 || n < 2 {
				t.Errorf("%d connections in 15 s, want at most 10", n)
			}
			if status.State != source.Failing || status.LastEnd == "" || r.logs.count("WARN connection ended") != int(n) || r.logs.count("INFO not connected") != connections {
				t.Errorf("status %+v", status)
			}
		})
	}
}

func TestS3CloseCodeAndReasonAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.CloseWith{Code: 1008, Reason: "subscription refused: bad api key"}
		r := newRig(t, feed)
		r.run(nil)
		time.Sleep(15 * time.Second)
		status := r.manager.Status()
		t.Logf("%d connections in 15 s, state %s: %s", feed.Counts().Connections, status.State, status.LastEnd)
		if n := feed.Counts().Connections; n != 1 {
			t.Errorf("%d connections in 15 s; a refused key does not heal, want 1", n)
		}
		if status.State != source.Failing || !strings.Contains(status.LastEnd, `1008 "subscription refused: bad api key"`) {
			t.Errorf("status %+v", status)
		}
		if status.Ends[source.End{Kind: source.EndClose, Code: 1008}] != 1 || r.logs.count("code=1008 reason=subscription refused: bad api key") == 0 {
			t.Errorf("ends %v, log %q", status.Ends, r.logs.lines)
		}
	})
}

func TestS4SilentProvidersAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			stall   time.Duration
			ping    time.Duration
			kind    source.EndKind
			atLeast int64
		}{
			{"by the ping", setting.Off, 0, source.EndPing, 6},
			{"by the stall time", 30 * time.Second, setting.Off, source.EndStall, 5},
		} {
			feed := &provider.SilentAfter{Messages: 1}
			r := newRig(t, feed)
			r.run(func(s *source.Settings, w *websocket.Config) { s.Stall, w.Ping = c.stall, c.ping })
			time.Sleep(185 * time.Second)
			status := r.manager.Status()
			t.Logf("%s: %d connections in 185 s, %s", c.name, feed.Counts().Connections, status.LastEnd)
			if n := feed.Counts().Connections; n < c.atLeast || n > 20 {
				t.Errorf("%s: %d connections in 185 s", c.name, n)
			}
			if status.Ends[source.End{Kind: c.kind}] == 0 {
				t.Errorf("%s: ends %v", c.name, status.Ends)
			}
			r.leave()
		}
	})
}

func handler(h any) http.Handler { return h.(http.Handler) }

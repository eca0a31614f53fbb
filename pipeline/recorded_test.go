package pipeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/pipeline"
	sqlsink "github.com/leatstream/leat/sink/sql"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// dataDir returns the folder of recorded sessions and expected numbers, and skips the test where it is absent.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LEAT_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "ORACLES.json")); err != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatalf("the recorded sessions are not there: %v", err)
		}
		t.Skipf("the recorded sessions are not there (%s): set LEAT_DATA to their folder", dir)
	}
	return dir
}

type oracles struct {
	WS map[string]struct {
		Inbound int `json:"inbound"`
	} `json:"ws"`
	Redundant map[string]struct {
		Distinct int `json:"distinct_union"`
	} `json:"redundant"`
}

func readOracles(t *testing.T, dir string) (o oracles) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ORACLES.json"))
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func recorded(t *testing.T, dir, name string) *provider.Session {
	t.Helper()
	s, err := provider.ReadSessionFile(filepath.Join(dir, "ws-cryptofeed", name+".zst"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve serves a provider on this machine and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- provider.Serve(ctx, l, h) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return fmt.Sprintf("ws://%s/", l.Addr())
}

// running is a pipeline that was made of nothing but a configuration.
type running struct {
	p    *pipeline.Pipeline
	data string
	db   string
	stop context.CancelFunc
	done chan error
}

// start loads a file and runs it against a provider.
func start(t *testing.T, file, url string) *running {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := map[string]string{"FEED_URL": url, "DATA": filepath.Join(dir, "data"), "DB": filepath.Join(dir, "feed.db")}
	c, d := config.Load([]config.Input{{Name: file, Text: text}}, pipeline.Adapters(), func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	if len(d) > 0 {
		_ = d.Print(os.Stderr, config.PrintOptions{})
		t.Fatalf("%s is not in order", file)
	}
	p, err := pipeline.Open(t.Context(), c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{p: p, data: env["DATA"], db: env["DB"], stop: stop, done: make(chan error, 1)}
	go func() { r.done <- p.Run(ctx) }()
	return r
}

// until waits for a condition over the status, and fails the test if the pipeline ends before.
func (r *running) until(t *testing.T, what string, is func(pipeline.Status) bool) {
	t.Helper()
	for !is(r.p.Status()) {
		select {
		case err := <-r.done:
			t.Fatalf("the pipeline ended before %s: %v", what, err)
		case <-t.Context().Done():
			t.Fatalf("not %s: %+v", what, r.p.Status())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func (r *running) rows(t *testing.T, query string) (n int) {
	t.Helper()
	db, err := sql.Open(sqlsink.Driver, r.db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// stored counts the records of the stream and those that the table has.
func stored(s pipeline.Status) (inStream, delivered int64) {
	for i := range s.Sources {
		inStream += s.Sources[i].Stored
	}
	for _, c := range s.Consumers {
		for i := range c.Shards {
			delivered += c.Shards[i].Delivered
		}
	}
	return inStream, delivered
}

// noData says of what an exchange sends, decoded by the standard library, whether it is no event.
var noData = map[string]func(m map[string]any) bool{
	"ascendex":   func(m map[string]any) bool { return m["m"] == "ping" || m["m"] == "connected" || m["m"] == "sub" },
	"binance":    func(m map[string]any) bool { return m["data"] == nil },
	"binance_us": func(m map[string]any) bool { return m["data"] == nil },
	"bitmex":     func(m map[string]any) bool { return m["table"] == nil },
	"bitstamp":   func(m map[string]any) bool { return strings.HasPrefix(fmt.Sprint(m["event"]), "bts:") },
	"bittrex":    func(m map[string]any) bool { list, _ := m["M"].([]any); return len(list) == 0 },
	"coinbase":   func(m map[string]any) bool { return m["type"] == "subscriptions" },
	"dydx":       func(m map[string]any) bool { return m["type"] == "connected" },
	"gemini":     func(m map[string]any) bool { return m["type"] == "heartbeat" },
	"hitbtc":     func(m map[string]any) bool { return m["method"] == nil },
	"huobi":      func(m map[string]any) bool { return m["ping"] != nil || m["subbed"] != nil },
	"kraken":     func(m map[string]any) bool { return m["event"] != nil },
	"okx":        func(m map[string]any) bool { return m["event"] != nil },
	"phemex":     func(m map[string]any) bool { return m["result"] != nil },
	"poloniex":   func(m map[string]any) bool { return m["event"] != nil },
	"upbit":      func(m map[string]any) bool { return m["ty"] == nil },
}

// dataOf returns how often each message comes that is an event, how many there are, and what has to be said to the pings among the others.
func dataOf(t *testing.T, exchange string, messages []provider.Message) (data map[string]int, n int, pongs []string) {
	t.Helper()
	data = map[string]int{}
	for _, m := range messages {
		text := m.Data
		if zipped, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
			if text, err = io.ReadAll(zipped); err != nil {
				t.Fatal(err)
			}
		}
		var object map[string]any // nil of a list
		_ = json.Unmarshal(text, &object)
		switch {
		case object["m"] == "ping":
			pongs = append(pongs, `{"op":"pong"}`)
		case exchange == "huobi" && object["ping"] != nil:
			pongs = append(pongs, fmt.Sprintf(`{"pong":%.0f}`, object["ping"]))
		}
		if !noData[exchange](object) {
			data[string(text)]++
			n++
		}
	}
	return data, n, pongs
}

// Of every recorded exchange each event is stored and delivered, and nothing else, with nothing but a file of configuration: byte for byte. Its pings are answered,
// and its numbers, where it has any, show no gap.
func TestEveryRecordedExchangeNeedsOnlyConfiguration(t *testing.T) {
	dir := dataDir(t)
	want := readOracles(t, dir)
	if len(want.WS) != 22 {
		t.Fatalf("%d sessions, want 22", len(want.WS))
	}
	for name, session := range want.WS {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exchange, _, _ := strings.Cut(strings.ToLower(name), ".")
			replay := &provider.Replay{Session: recorded(t, dir, name)}
			data, n, pongs := dataOf(t, exchange, replay.Session.Inbound())
			r := start(t, filepath.Join("testdata", "exchanges", exchange+".yaml"), serve(t, replay))
			r.until(t, "delivered", func(s pipeline.Status) bool {
				_, delivered := stored(s)
				return delivered >= int64(n) && replay.Counts().Sent >= int64(session.Inbound) && len(heard(replay)) >= len(pongs)
			})
			r.end(t)
			s := r.p.Status().Sources[0]
			if int(replay.Counts().Sent) != session.Inbound || s.Duplicates != 0 || s.Gaps != 0 || s.Opened != 1 || s.Unknown != 0 || s.Skipped != 0 {
				t.Errorf("%d of %d messages sent, %d stored, %d duplicates, %d gaps, %d unknown, %d connections", replay.Counts().Sent, session.Inbound, s.Stored, s.Duplicates, s.Gaps, s.Unknown, s.Opened)
			}
			if rows := r.rows(t, "SELECT count(*) FROM messages"); rows != n || int(s.Stored) != n {
				t.Errorf("%d records and %d rows, want %d", s.Stored, rows, n)
			}
			for _, text := range r.payloads(t) {
				if data[text]--; data[text] < 0 {
					t.Fatalf("stored, though it is no event of the recording, or once too often: %.200s", text)
				}
			}
			if got := heard(replay); !slices.Equal(got, pongs) {
				t.Errorf("pings were answered by %q, want %q", got, pongs)
			}
			t.Logf("%d of %d messages are events, %d pings were answered", n, session.Inbound, len(pongs))
		})
	}
}

// heard returns what a provider has heard but for subscriptions.
func heard(p *provider.Replay) (all []string) {
	for _, text := range p.Received() {
		if bytes.Contains(text, []byte("pong")) {
			all = append(all, string(text))
		}
	}
	return all
}

// Four simultaneous connections give the union of what they carry, each event once, also when one of them loses messages and another is cut off
// again and again.
func TestRedundantConnectionsGiveTheUnion(t *testing.T) {
	dir := dataDir(t)
	want := readOracles(t, dir).Redundant["HITBTC"].Distinct
	if want != 758 {
		t.Fatalf("%d distinct events, want 758", want)
	}
	for _, c := range []struct {
		name   string
		damage func(replays []*provider.Replay)
	}{
		{"as recorded", func([]*provider.Replay) {}},
		{"one drops, one is cut", func(r []*provider.Replay) { r[1].DropEvery, r[2].CutEvery = 5, 100 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			replays := make([]*provider.Replay, 4)
			for i := range replays {
				replays[i] = &provider.Replay{Session: recorded(t, dir, fmt.Sprintf("HITBTC.ws.%d.0", i+1)), Speed: 8}
			}
			c.damage(replays)
			url := serve(t, &provider.Endpoints{Replays: replays})
			r := start(t, filepath.Join("testdata", "redundant.yaml"), url+"api/2/ws/public")
			r.until(t, "live with four connections", func(s pipeline.Status) bool { return s.Sources[0].Opened >= 4 })
			r.until(t, "through", func(s pipeline.Status) bool {
				return replays[0].Counts().Sent >= 800 && replays[3].Counts().Sent >= 800
			})
			r.until(t, "delivered", func(s pipeline.Status) bool {
				sent := int64(0)
				for _, replay := range replays {
					sent += replay.Counts().Sent // all of which arrive
				}
				in, out := stored(s)
				return s.Sources[0].Events >= sent && out >= in
			})
			r.end(t)
			distinct, records := map[string]bool{}, 0
			for _, record := range r.records(t) {
				if record != "" {
					distinct[record] = true
					records++
				}
			}
			if len(distinct) != want || records != want {
				t.Errorf("stored %d events, %d of them distinct; want %d; status %+v", records, len(distinct), want, r.p.Status().Sources[0])
			}
			s := r.p.Status().Sources[0]
			t.Logf("%d messages over %d connections, %d events stored, %d duplicates dropped, ends %v", s.Events, s.Opened, records, s.Duplicates, s.Ends)
			if s.Slots[0].State != source.Live && s.Opened < 4 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// records returns the identities of all records of the stream.
func (r *running) records(t *testing.T) (ids []string) {
	t.Helper()
	r.read(t, func(record *leat.Record) { ids = append(ids, record.ID) })
	return ids
}

// payloads returns what is stored.
func (r *running) payloads(t *testing.T) (all []string) {
	t.Helper()
	r.read(t, func(record *leat.Record) { all = append(all, string(record.Data)) })
	return all
}

func (r *running) read(t *testing.T, each func(*leat.Record)) {
	t.Helper()
	e, err := local.Open(r.data, local.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, record := range streamtest.ReadStream(t, e, "feed") {
		each(&record)
	}
}

package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// trouble is one hostile provider and what must be said of it.
type trouble struct {
	name  string
	kind  string // of the source
	more  string // settings beside the usual ones
	serve server
	says  string // a line with the name of the source must fit this expression
}

const second = time.Second

// clocks are times that are none, or not of this age.
var clocks = []string{
	`"2024-01-01T00:00:00+24:00"`, `"9999-12-31T23:59:59-12:00"`, `"0000-01-01T00:00:00+12:00"`, `9223372036854775807`, `-9223372036854775808`,
	`1e300`, `99999999999999999999`, `4102444800`, `1`, `"2262-04-12T00:00:00Z"`, `"1678-01-01T00:00:00Z"`, `{}`, `null`, `""`,
}

var troubles = []trouble{
	{
		name: "bomb-websocket", kind: "websocket", says: `too_large.* the limit is 16MiB`,
		serve: over(&provider.Bomb{Size: 256 << 20}),
	},
	{
		name: "bomb-poll", kind: "poll", more: "interval: 1s\n    max_answer: 4MiB", says: `too_large.*the limit is 4MiB`,
		serve: answer(func(w io.Writer) { letters(w, " ", 256<<20) }),
	},
	{
		name: "giant-websocket", kind: "websocket", says: `message of 1000000000 bytes left out: too_large: the limit is 16MiB`,
		serve: upgraded(func(ctx context.Context, c net.Conn) {
			go silence(c)
			_, _ = c.Write(frame(1e9))
			letters(c, "a", 1e9)
			<-ctx.Done()
		}),
	},
	{
		name: "giant-line", kind: "tcp", says: `a message of more than 1073741824 bytes`,
		serve: raw(func(_ context.Context, c net.Conn) { letters(c, "a", 2<<30) }),
	},
	{
		name: "drip-sse", kind: "sse", says: `kind=stall .*message.*still not whole`,
		serve: over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for wait.For(r.Context(), 50*time.Millisecond) == nil {
				_, _ = io.WriteString(w, "d")
				_ = http.NewResponseController(w).Flush()
			}
		})),
	},
	{
		name: "drip-poll", kind: "poll", more: "interval: 1s", says: `the answer took longer than 2s`,
		serve: over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for wait.For(r.Context(), 50*time.Millisecond) == nil {
				_, _ = io.WriteString(w, "[")
				_ = http.NewResponseController(w).Flush()
			}
		})),
	},
	{
		name: "redirects-poll", kind: "poll", more: "interval: 1s", says: `kind=dial .*more than three redirects`,
		serve: over(http.RedirectHandler("/next", http.StatusFound)),
	},
	{
		name: "redirects-websocket", kind: "websocket", says: `kind=dial .*more than three redirects`,
		serve: over(http.RedirectHandler("/next", http.StatusFound)),
	},
	{
		name: "utf8", kind: "websocket", more: "event_id: id", says: `events are not UTF-8`,
		serve: texts(100, 10*time.Millisecond, func(n int) string { return fmt.Sprintf(`{"id":%d,"name":"%s"}`, n, "\xff\xfe\xc0\x80\xed\xa0\x80") }),
	},
	{
		name: "length-frame", kind: "websocket", says: `kind=(read|protocol) `,
		serve: upgraded(func(_ context.Context, c net.Conn) {
			_, _ = c.Write(append(frame(1<<63-1), "short"...))
		}),
	},
	{
		name: "length-prefix", kind: "httpstream", more: "framing: length32", says: `kind=(read|protocol) .*unexpected EOF`,
		serve: over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\xff\xff\xff\xffshort") })),
	},
	{
		name: "length-content", kind: "poll", more: "interval: 1s", says: `unexpected EOF`,
		serve: raw(func(_ context.Context, c net.Conn) {
			go silence(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n[1,2")
		}),
	},
	{
		name: "length-chunk", kind: "httpstream", says: `kind=(read|protocol) .*chunk`,
		serve: raw(func(_ context.Context, c net.Conn) {
			go silence(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345678\r\nfffffffffffffffffff\r\n")
		}),
	},
	{
		name: "length-less", kind: "poll", more: "interval: 1s", says: `the answer is no JSON`,
		serve: raw(func(_ context.Context, c net.Conn) {
			go silence(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1,"+strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1000))
		}),
	},
	{
		name: "length-packet", kind: "mqtt", says: `kind=(read|protocol) `,
		serve: broker(func(_ context.Context, c net.Conn) {
			_, _ = io.WriteString(c, "\x30\xff\xff\xff\x7f\x00\x01t\x00short")
		}),
	},
	{
		name: "half-open", kind: "websocket", says: `kind=(ping|stall) .*no (answer to a ping|data)`,
		serve: over(&provider.SilentAfter{Messages: 1}),
	},
	{
		name: "flapping", kind: "tcp", says: `not connected.*failures=`,
		serve: raw(func(_ context.Context, c net.Conn) { _, _ = io.WriteString(c, "1\n") }),
	},
	{
		name: "ids-none", kind: "websocket", more: "event_id: id", says: `events have no event_id`,
		serve: texts(100, 10*time.Millisecond, func(n int) string {
			return []string{`{}`, `{"id":null}`, `[]`, `{"ID":` + strconv.Itoa(n) + `}`}[n%4]
		}),
	},
	{
		name: "ids-repeated", kind: "sse", more: "id: event_id", says: `event_id that has come before`,
		serve: events(time.Millisecond, func(n int) string { return fmt.Sprintf("id: 1\ndata: %d\n\n", n) }),
	},
	{
		name: "clocks", kind: "websocket", more: "event_time: at\n    cursor: at\n    cursor_mode: inclusive\n    query: {from: \"{{cursor}}\"}", says: `events have no event_time`,
		serve: texts(1, 10*time.Millisecond, func(n int) string { return fmt.Sprintf(`{"id":%d,"at":%s}`, n, clocks[n%len(clocks)]) }),
	},
	{
		name: "headers", kind: "httpstream", says: `head of the answer is longer`,
		serve: raw(func(ctx context.Context, c net.Conn) {
			go silence(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := fmt.Fprintf(c, "X-Header-%d: %s\r\n", n, strings.Repeat("a", 1000)); err != nil {
					return
				}
			}
		}),
	},
	{
		name: "headers-100", kind: "poll", more: "interval: 1s", says: `kind=dial `,
		serve: raw(func(ctx context.Context, c net.Conn) {
			go silence(c)
			for ctx.Err() == nil {
				if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"); err != nil {
					return
				}
			}
		}),
	},
	{
		name: "handshake-drip", kind: "websocket", says: `kind=dial .*(timeout|deadline|within)`,
		serve: raw(func(ctx context.Context, c net.Conn) {
			drip(ctx, c, "HTTP/1.1 101 Switching Protocols\r\nX-Pad: a", 20*time.Millisecond)
		}),
	},
	{
		name: "handshake-tls", kind: "wss", says: `kind=dial .*(timeout|deadline|within)`,
		serve: raw(func(_ context.Context, c net.Conn) { silence(c) }),
	},
	{
		name: "handshake-mqtt", kind: "mqtt", says: `kind=(dial|subscribe|protocol) .*(timeout|deadline|within)`,
		serve: raw(func(_ context.Context, c net.Conn) { silence(c) }),
	},
	{
		name: "garbage-websocket", kind: "websocket", more: "event_id: id\n    partition_key: key", says: `events are no JSON`,
		serve: texts(100, 10*time.Millisecond, func(int) string { return garbage() }),
	},
	{
		name: "garbage-decode", kind: "mqtt", more: "decode: [gzip]", says: `decode`,
		serve: broker(func(ctx context.Context, c net.Conn) {
			for wait.For(ctx, time.Millisecond) == nil {
				if _, err := io.WriteString(c, published(garbage())); err != nil {
					return
				}
			}
		}),
	},
	{
		name: "garbage-http", kind: "httpstream", says: `kind=dial `,
		serve: raw(func(_ context.Context, c net.Conn) { letters(c, "\x00\xff\r\n", 1<<20) }),
	},
	{
		name: "nesting", kind: "poll", more: "interval: 1s", says: `no JSON`,
		serve: answer(func(w io.Writer) { letters(w, "[", 15<<20) }),
	},
	{
		name: "nesting-websocket", kind: "websocket", more: "event_id: id\n    partition_key: key.of[0]\n    classify: [{when: type == \"x\", is: heartbeat}]\n    split: {path: \"data[]\"}", says: `events are no JSON`,
		serve: texts(1, 500*time.Millisecond, func(n int) string {
			return `{"data":` + strings.Repeat(`[`, 3<<20) + `,"n":` + strconv.Itoa(n)
		}),
	},
	{
		name: "nesting-framing", kind: "httpstream", more: "framing: json\n    max_message: 4MiB", says: `too_large`,
		serve: over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			letters(w, `{"a":[`, 20<<20)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})),
	},
	{
		name: "items", kind: "poll", more: "interval: 1s\n    max_answer: 8MiB", says: `the answer holds more than 131072 events`,
		serve: answer(func(w io.Writer) {
			_, _ = io.WriteString(w, "[1")
			letters(w, ",1", 7<<20)
			_, _ = io.WriteString(w, "]")
		}),
	},
	{
		name: "values", kind: "websocket", more: "event_id: \"[type, id]\"", says: `events have no event_id`,
		serve: texts(1, second, func(n int) string {
			return fmt.Sprintf(`{"id":%d,"type":"x","all":[%s{}]}`, n, strings.Repeat(`{"a":1},`, 600_000))
		}),
	},
	{
		name: "lookup-bomb", kind: "poll", more: "interval: 1s\n    lookup: [{url: \"http://ADDRESS/\", set: {x: a.b}}]", says: `look.*(larger|more|long|large)`,
		serve: answer(func(w io.Writer) { letters(w, " ", 256<<20) }),
	},
	{
		name: "lookup-nesting", kind: "poll", more: "interval: 1s\n    lookup: [{url: \"http://ADDRESS/\", set: {x: \"[msg.a, b]\"}}]", says: `kind=\w+ .*look`,
		serve: answer(func(w io.Writer) { letters(w, "[", 900<<10) }),
	},
	{
		name: "handshake-script", kind: "websocket", more: "handshake: {steps: [{expect: type == \"hello\"}]}", says: `arrived before the handshake was over`,
		serve: texts(1000, time.Millisecond, func(n int) string { return fmt.Sprintf(`{"id":%d,"pad":"%s"}`, n, strings.Repeat("x", 1000)) }),
	},
	{
		name: "cursors-huge", kind: "sse", says: `a cursor is too long`,
		serve: events(100*time.Millisecond, func(n int) string {
			return fmt.Sprintf("id: %d%s\ndata: {\"n\":%d}\n\n", n, strings.Repeat("x", 100_000), n)
		}),
	},
	{
		name: "cursors-back", kind: "websocket", more: "cursor: n\n    cursor_mode: inclusive\n    query: {from: \"{{cursor}}\"}", says: `the cursor goes back`,
		serve: texts(20, 10*time.Millisecond, func(n int) string { return fmt.Sprintf(`{"n":%d}`, 1_000_000-n%1000) }),
	},
}

func garbage() string {
	out := make([]byte, 200)
	for i := range out {
		out[i] = byte(rand.Uint32())
	}
	return string(out)
}

// section is the part of the configuration of a source.
func (h *trouble) section(address string) string {
	var usual string
	kind := h.kind
	switch kind {
	case "tcp":
		usual = "address: " + address + "\n    timeout: 1s"
	case "mqtt":
		usual = "url: mqtt://" + address + "\n    timeout: 1s\n    client_id: leat\n    topics: [{topic: \"#\"}]"
	case "websocket", "wss":
		scheme := "ws://"
		if kind == "wss" {
			kind, scheme = "websocket", "wss://"
		}
		usual = "url: " + scheme + address + "/\n    timeout: 1s\n    ping: 1s\n    pong_wait: 1s"
	default:
		usual = "url: http://" + address + "/\n    timeout: 1s"
	}
	text := fmt.Sprintf("  - name: %s\n    type: %s\n    stream: noise\n    stall: 1s\n    dedupe_events: 20000\n    %s\n", h.name, kind, usual)
	if h.more != "" {
		text += "    " + strings.ReplaceAll(h.more, "ADDRESS", address) + "\n"
	}
	return text
}

const configuration = `
data: data
disk_reserve: 16MiB
grace: 10s
streams:
  events: {shards: 2}
  noise: {shards: 2}
consumers:
  - name: files
    stream: events
    batch: {wait: 100ms}
    destination: {type: jsonl, path: files}
  - name: noisy
    stream: noise
    batch: {wait: 100ms}
    destination: {type: jsonl, path: noise}
  - name: table
    stream: noise
    destination: {type: sqlite, path: noise.db, table: noise}
sources:
  - name: innocent
    type: websocket
    stream: events
    url: ws://%s/
    event_id: id
    partition_key: id
    dedupe_events: 20000
`

const (
	mostMemory = 256 << 20
	latest     = 10 * second // an event of the innocent source, behind its time
)

// Many hostile providers at once harm nobody but themselves: the process lives, needs little memory, says of each what is
// wrong, and a source that means well beside them loses nothing.
func TestHostileProvidersHarmNobodyElse(t *testing.T) {
	half := len(troubles) / 2
	t.Run("first half", func(t *testing.T) { together(t, troubles[:half]) })
	t.Run("second half", func(t *testing.T) { together(t, troubles[half:]) })
}

// together runs leat against some of them.
func together(t *testing.T, troubles []trouble) {
	t.Helper()
	feed := &provider.Ticker{Interval: 10 * time.Millisecond}
	text := fmt.Sprintf(configuration, over(feed)(t))
	for i := range troubles {
		text += troubles[i].section(troubles[i].serve(t))
	}
	begun := time.Now()
	feed.Start()
	p := run(t, t.TempDir(), text)

	silent := map[string]*regexp.Regexp{}
	for i := range troubles {
		silent[troubles[i].name] = regexp.MustCompile(troubles[i].says)
	}
	patience := time.Now().Add(2 * time.Minute) // only of a test that fails
	for (len(silent) > 0 || feed.Produced() < 1000) && !p.ended() && time.Now().Before(patience) {
		for name, want := range silent {
			if p.says(name, want) {
				delete(silent, name)
			}
		}
		_ = wait.For(t.Context(), 50*time.Millisecond)
	}
	for name, want := range silent {
		t.Errorf("no line of source %s fits %s:\n%s", name, want, head(p.told(name), 6))
	}
	if p.ended() {
		t.Fatalf("leat has ended:\n%s", head(p.told(""), 60))
	}
	lived := time.Since(begun)
	produced := p.finish(feed, patience)
	memory := p.memory()
	p.stop()
	if memory > mostMemory {
		t.Errorf("%d MiB of memory, want at most %d", memory>>20, mostMemory>>20)
	}
	worst := p.checkInnocent(begun, produced)
	most := p.checkLines(troubles, lived)
	t.Logf("%d hostile providers for %.1f s: %d MiB of memory; %d events of the innocent source, the latest after %v; at most %d lines of a source",
		len(troubles), lived.Seconds(), memory>>20, produced, worst.Round(time.Millisecond), most)
}

func head(lines []string, n int) string { return strings.Join(lines[:min(len(lines), n)], "\n") }

// finish ends the innocent provider, waits until all of it is stored, and returns how many events it had.
func (p *process) finish(feed *provider.Ticker, patience time.Time) int64 {
	p.t.Helper()
	produced := feed.Stop()
	for time.Now().Before(patience) {
		if p.stored("innocent") >= feed.Counts().Sent {
			break
		}
		_ = wait.For(p.t.Context(), 20*time.Millisecond)
	}
	return produced
}

// checkInnocent reads what is stored of the innocent source, and returns by how much the latest of its events was late.
func (p *process) checkInnocent(begun time.Time, produced int64) (worst time.Duration) {
	p.t.Helper()
	e, err := local.Open(p.data, local.Options{ReadOnly: true})
	if err != nil {
		p.t.Fatal(err)
	}
	defer e.Close()
	ids := map[int64]int{}
	first := produced
	for _, r := range streamtest.ReadStream(p.t, e, "events") {
		var event struct{ ID int64 }
		if err := json.Unmarshal(r.Data, &event); err != nil {
			p.t.Fatal(err)
		}
		ids[event.ID]++
		first = min(first, event.ID)
		worst = max(worst, r.Arrived.Sub(begun.Add(time.Duration(event.ID)*10*time.Millisecond)))
	}
	for id := first; id < produced; id++ {
		if ids[id] != 1 {
			p.t.Errorf("event %d of the innocent source is stored %d times", id, ids[id])
		}
	}
	for _, r := range streamtest.ReadAll(p.t, e, "innocent.gaps", 0, stream.Oldest()) {
		p.t.Errorf("the innocent source has a gap: %s", r.Data)
	}
	if worst > latest {
		p.t.Errorf("an event of the innocent source came %v late", worst)
	}
	return worst
}

// checkLines makes sure that nobody floods the log, and returns the number of lines of the loudest source.
func (p *process) checkLines(troubles []trouble, lived time.Duration) (most int) {
	p.t.Helper()
	for i := range troubles {
		lines := p.told(troubles[i].name)
		most = max(most, len(lines))
		if bound := 40 + 4*int(lived.Seconds()); len(lines) > bound {
			p.t.Errorf("source %s told %d lines, at most %d are bearable:\n%s", troubles[i].name, len(lines), bound, head(lines, 6))
		}
		for _, line := range lines {
			if len(line) > 2000 {
				p.t.Errorf("source %s told a line of %d bytes: %.200s", troubles[i].name, len(line), line)
			}
		}
	}
	if lines := p.told(""); len(lines) > 40 {
		p.t.Errorf("%d lines name no source:\n%s", len(lines), head(lines, 10))
	}
	return most
}

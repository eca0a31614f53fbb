package sse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/sse"
)

// stream is a handler that sends a text and ends.
func stream(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

// read reads what h serves to its end.
func read(t *testing.T, h http.HandlerFunc, config sse.Config, after leat.Cursor) (events []leat.Event, skips int, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served, listener := make(chan error, 1), n.Listen("feed:80")
		go func() { served <- provider.Serve(ctx, listener, h) }()
		config.URL = expression.MustParseTemplate("http://feed/")
		s := &sse.Source{Config: config, Dial: n.DialContext}
		var c source.Conn
		if c, err = s.Open(t.Context(), after); err == nil {
			for {
				var got []leat.Event
				var skip *source.SkipError
				if got, err = c.Next(t.Context()); errors.As(err, &skip) {
					skips++
				} else if err != nil {
					break
				}
				events = append(events, got...)
			}
			_ = c.Close()
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
	return events, skips, err
}

func shown(events []leat.Event) string {
	var out strings.Builder
	for _, e := range events {
		fmt.Fprintf(&out, "%s %q|", e.Cursor, e.Data)
	}
	return out.String()
}

// The examples of the standard, and what it says beside them.
func TestEventsAreThoseOfTheStandard(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"lines of data", "data: YHOO\ndata: +2\ndata: 10\n\n", ` "YHOO\n+2\n10"|`},
		{"comments, ids", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", `1 "first event"| "second event"| " third event"|`},
		{"a block that is not ended is none", "data\n\ndata\ndata\n\ndata:", ` "\n"|`},
		{"a space behind the colon", "data:test\n\ndata: test\n\n", ` "test"| "test"|`},
		{"unknown fields", "x: 1\ny\ndata: a\nDATA: b\n\n", ` "a"|`},
		{"no data, no event", "event: x\nid: 7\n\ndata: a\n\n", ` "a"|`},
		{"a byte order mark", "\ufeffdata: a\n\n\ufeffdata: b\n\n", ` "a"|`},
		{"an id with NUL", "id: 1\x002\ndata: a\n\n", ` "a"|`},
		{"an id that no header can hold", "id: a\x01\ndata: a\n\n", ` "a"|`},
		{"CR", "id: 1\rdata: a\rdata: b\r\rdata: c\r\r", `1 "a\nb"| "c"|`},
		{"CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", ` "a\nb"| "c"|`},
		{"a comment inside", "data: a\n:thump\ndata: b\n\n", ` "a\nb"|`},
		{"Mastodon's beginning", ":)\nevent: update\ndata: {}\n\n:thump\n", ` "{}"|`},
	} {
		events, _, err := read(t, stream(c.text), sse.Config{}, "")
		if got := shown(events); got != c.want {
			t.Errorf("%s: got %s, want %s (%v)", c.name, got, c.want, err)
		}
	}
}

func TestTheIDIsWhatTheSettingsSay(t *testing.T) {
	for id, want := range map[string]string{"": "7/", "cursor": "7/", "event_id": "7/7", "none": "/"} {
		asked := ""
		events, _, _ := read(t, func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Get("Last-Event-ID")
			stream("id: 7\ndata: x\n\n")(w, r)
		}, sse.Config{ID: id}, "6")
		if len(events) != 1 || string(events[0].Cursor)+"/"+events[0].ID != want {
			t.Errorf("%s: got %+v", id, events)
		}
		if (asked == "6") != (id != "none") {
			t.Errorf("%s: asked for %q", id, asked)
		}
	}
}

func TestTypesOfEvents(t *testing.T) {
	const text = "event: update\ndata: 1\n\ndata: 2\n\nevent: beat\ndata: 3\n\nevent: error\ndata: {\"message\":\ndata: \"too\\tslow\"}\nretry: 5000\n\ndata: 4\n\n"
	events, _, err := read(t, stream(text), sse.Config{Events: []string{"update", "message"}, EndEvents: []string{"error"}}, "")
	if got := shown(events); got != ` "1"| "2"|` {
		t.Errorf("got %s", got)
	}
	var end *source.EndError
	if !errors.As(err, &end) || end.Kind != source.EndClose || end.Reason != `error {"message": "too\tslow"}` || end.RetryAfter != 5*time.Second {
		t.Errorf("got %+v", err)
	}
	c := sse.Config{Events: []string{"error"}, EndEvents: []string{"error"}}
	c.URL = expression.MustParseTemplate("http://feed/")
	if c.Check() == nil {
		t.Error("an event that is data and the end passes")
	}
}

func TestEnvelopesSayTypeAndID(t *testing.T) {
	events, _, _ := read(t, stream("event: up\nid: \"7\"\ndata: {\"a\":1}\n\ndata: plain \"text\"\n\ndata\n\n"), sse.Config{Envelope: true}, "")
	want := []string{`{"event":"up","id":"\"7\"","data":{"a":1}}`, `{"event":"message","data":"plain \"text\""}`, `{"event":"message","data":""}`}
	if len(events) != len(want) {
		t.Fatalf("got %q", events)
	}
	for i, e := range events {
		if string(e.Data) != want[i] || !json.Valid(e.Data) {
			t.Errorf("got %s", e.Data)
		}
	}
}

func TestWhatIsTooLargeInAllItsLinesIsLeftOut(t *testing.T) {
	long := strings.Repeat("x", 600)
	text := "data: a\n\n" + strings.Repeat("data: "+long+"\n", 3) + "\ndata: " + strings.Repeat(long, 4) + "\nid: 9\n\ndata: b\nid: 10\n\n" +
		"data: " + strings.Repeat("y", 1024) + "\n\n"
	events, skips, _ := read(t, stream(text), sse.Config{MaxMessage: 1 << 10}, "")
	if got := shown(events); !strings.HasPrefix(got, ` "a"|10 "b"| "yyy`) || skips != 2 || len(events) != 3 {
		t.Errorf("got %s, %d left out", got, skips)
	}
}

func TestOtherAnswersAreRefused(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   source.EndKind
	}{{200, source.EndProtocol}, {204, source.EndHTTP}, {404, source.EndHTTP}} {
		_, _, err := read(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(c.status)
		}, sse.Config{}, "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Kind != c.kind || end.Kind == source.EndHTTP && end.Code != c.status {
			t.Errorf("%d: got %v", c.status, err)
		}
	}
}

// data returns the content of a recording, or skips the test.
func data(t *testing.T, name string) []byte {
	t.Helper()
	root := os.Getenv("LEAT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		if os.Getenv("LEAT_TEST_ALL") == "1" {
			t.Fatalf("LEAT_TEST_ALL=1, but the recorded data is absent: %v", err)
		}
		t.Skipf("the recorded data is absent; LEAT_DATA names its folder: %v", err)
	}
	return text
}

func TestARecordingOfWikimedia(t *testing.T) {
	text := data(t, "sse-wikimedia/example.events")
	events, _, _ := read(t, stream(string(text)+"\n\n"), sse.Config{}, "")
	cursors, ids := map[leat.Cursor]bool{}, map[string]bool{}
	for _, e := range events {
		cursors[e.Cursor], ids[gjson.GetBytes(e.Data, "meta.id").String()] = true, true
		if e.ID != "" || !json.Valid(e.Data) || !json.Valid([]byte(e.Cursor)) {
			t.Errorf("an event with the id %q and %d bytes", e.ID, len(e.Data))
		}
	}
	if len(events) != 3 || len(cursors) != 1 || len(ids) != 3 {
		t.Errorf("%d events, %d cursors, %d ids", len(events), len(cursors), len(ids))
	}
}

func TestRecordingsOfMastodon(t *testing.T) {
	packed := data(t, "sse-mastodon/test_stream_user_local.yaml.zst")
	d, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	var tape struct {
		Interactions []struct {
			Request  struct{ URI string }
			Response struct{ Body struct{ String string } }
		}
	}
	if err := yaml.Unmarshal(text, &tape); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, i := range tape.Interactions {
		if !strings.Contains(i.Request.URI, "/streaming/user") {
			continue
		}
		seen++
		events, _, _ := read(t, stream(i.Response.Body.String), sse.Config{Events: []string{"update"}, Envelope: true}, "")
		if len(events) != 1 || gjson.GetBytes(events[0].Data, "event").String() != "update" || gjson.GetBytes(events[0].Data, "data.account.acct").String() == "" {
			t.Errorf("got %d events", len(events))
		}
	}
	if seen != 1 {
		t.Errorf("%d streams in the recording", seen)
	}
}

// However a stream is cut into pieces, the events are the same.
func FuzzStream(f *testing.F) {
	f.Add([]byte("\ufeffid: 1\ndata: a\ndata: b\n\n:x\nevent: e\rdata\r\r\ndata: c\r\n\r\n"), []byte{0})
	f.Add([]byte("data: a\r\r\n\n\rretry: 1\r\n"), []byte{0, 1})
	f.Fuzz(func(t *testing.T, text, cut []byte) {
		whole := run(t, bytes.Clone(text), nil)
		if parts := run(t, bytes.Clone(text), cut); parts != whole {
			t.Errorf("got %s in pieces, %s whole", parts, whole)
		}
	})
}

func run(t *testing.T, text, cut []byte) string {
	r := sse.Read(&sse.Config{Envelope: true, MaxMessage: 32}, &pieces{text, cut})
	defer r.Close()
	var out strings.Builder
	for {
		events, err := r.Next(t.Context())
		out.WriteString(shown(events))
		for _, e := range events {
			if !json.Valid(e.Data) {
				t.Errorf("not JSON: %q", e.Data)
			}
		}
		var skip *source.SkipError
		switch {
		case errors.As(err, &skip):
			out.WriteString("skip|")
		case err != nil:
			return out.String() + err.Error()
		}
	}
}

// pieces is a reader that returns a text in pieces.
type pieces struct{ text, cut []byte }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := len(p.text)
	if len(p.cut) > 0 {
		n, p.cut = min(n, int(p.cut[0])+1), append(p.cut[1:], p.cut[0])
	}
	n = copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}

func TestIDsHoldOnOneHost(t *testing.T) {
	c := sse.Config{Request: source.Request{
		URL: expression.MustParseTemplate("https://{{host}}/"), Before: source.Before{Hosts: []string{"a", "b"}},
	}}
	if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), "hosts:") {
		t.Errorf("got %v", err)
	}
	shared := c
	shared.Before.SharedCursor = true
	none := c
	none.ID = "none"
	for _, c := range []sse.Config{shared, none} {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}

package pipeline_test

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/pipeline"
)

// unpacked returns what is in a file that is compressed.
func unpacked(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// frames are messages that each have their length before them.
func frames(text []byte) (messages []provider.Message) {
	for len(text) >= 4 {
		n := binary.LittleEndian.Uint32(text)
		messages = append(messages, provider.Message{Binary: true, Data: text[4 : 4+n]})
		text = text[4+n:]
	}
	return messages
}

// played serves a recording, and returns its address.
func played(t *testing.T, as string, messages []provider.Message) (string, *provider.Replay) {
	t.Helper()
	replay := &provider.Replay{Session: &provider.Session{URL: "/", Messages: messages}, Rules: &provider.Rules{As: as}}
	url := serve(t, replay)
	if as != "websocket" {
		url = "http" + strings.TrimPrefix(url, "ws")
	}
	return url, replay
}

// sentences serves lines over TCP, and returns its address.
func sentences(t *testing.T, text []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Write(text)
		_, _ = c.Read(make([]byte, 1)) // until the client leaves
	}()
	return l.Addr().String()
}

// Every other recording of a provider needs nothing but a file of configuration, too: each event is stored once, and nothing else is. What is expected is what was counted of
// the recordings by other means.
func TestEveryOtherRecordingNeedsOnlyConfiguration(t *testing.T) {
	dir := dataDir(t)
	lines := func(path ...string) []provider.Message {
		sessions, err := provider.ReadRecording(filepath.Join(append([]string{dir}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return sessions[0].Inbound()
	}
	for _, c := range []struct {
		name, as string // as: the way it is served
		messages []provider.Message
		text     []byte // of tcp and of poll
		want     int    // events
		skipped  int64  // messages that cannot be decoded
		answers  int    // that the provider heard
		query    string // counts as many as want
	}{
		{name: "bluesky_firehose", as: "websocket", messages: frames(unpacked(t, filepath.Join(dir, "bluesky", "frames.bin.zst"))), want: 150, query: "data->>'$.body.seq' BETWEEN 31527015322 AND 31527015471"},
		{name: "bluesky_jetstream", as: "websocket", messages: lines("bluesky", "internal__corpus__testdata__expected_v1.jsonl.zst"), want: 152, query: "data->>'$.kind' IN ('commit', 'identity', 'account')"},
		{name: "nostr", as: "websocket", messages: lines("nostr", "messages.jsonl.zst"), want: 532 + 5, query: "CASE WHEN json_valid(data) THEN data->>'$.event.id' IS NOT NULL ELSE true END"},
		{name: "slack", as: "websocket", messages: lines("slack", "socket_mode_messages.jsonl.zst"), want: 5, answers: 5, query: "data->>'$.envelope_id' IS NOT NULL"},
		{name: "wikimedia", as: "sse", messages: lines("sse-wikimedia", "example.events"), want: 3, query: "data->>'$.meta.id' IS NOT NULL"},
		{name: "mastodon", as: "sse", messages: lines("sse-mastodon", "test_stream_user_local.yaml.zst"), want: 1, query: "data->>'$.account.acct' IS NOT NULL"},
		{name: "github", as: "ndjson", messages: lines("github", "gharchive-2021-07-21-few-hours.json.zst"), want: 800, query: "data->>'$.id' IS NOT NULL"},
		{name: "wikipedia", as: "ndjson", messages: lines("wikipedia", "wikiticker-2015-09-12-sampled.json.gz"), want: 39244, query: "data->>'$.channel' IS NOT NULL"},
		{name: "earthquakes", as: "poll", text: unpacked(t, filepath.Join(dir, "earthquakes", "earthquakes.json.zst")), want: 1707, query: "data->>'$.properties.place' IS NOT NULL"},
		{name: "ais", as: "tcp", text: unpacked(t, filepath.Join(dir, "ais", "dma_stream_example.txt.zst")), want: 4049, skipped: 2, query: "data->>'$.ais.mmsi' IS NOT NULL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var url string
			var replay *provider.Replay
			switch c.as {
			case "tcp":
				url = sentences(t, c.text)
			case "poll":
				url = "http" + strings.TrimPrefix(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.text) })), "ws")
			default:
				url, replay = played(t, c.as, c.messages)
			}
			r := start(t, filepath.Join("testdata", "sessions", c.name+".yaml"), url)
			r.until(t, "delivered", func(s pipeline.Status) bool {
				_, delivered := stored(s)
				return delivered >= int64(c.want) && s.Sources[0].Skipped >= c.skipped && (replay == nil || len(replay.Received()) >= c.answers)
			})
			r.end(t)
			s := r.p.Status().Sources[0]
			if int(s.Stored) != c.want || s.Duplicates != 0 || s.Gaps != c.skipped || s.Skipped != c.skipped {
				t.Errorf("stored %d, want %d; %d duplicates, %d gaps, %d left out", s.Stored, c.want, s.Duplicates, s.Gaps, s.Skipped)
			}
			if n := r.rows(t, "SELECT count(*) FROM messages WHERE "+c.query); n != c.want {
				t.Errorf("%d rows are as expected, want %d", n, c.want)
			}
			if replay != nil {
				for _, text := range replay.Received() {
					if c.answers > 0 && !json.Valid(text) {
						t.Errorf("the provider heard %q", text)
					}
				}
			}
		})
	}
}

package websocket_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// recorded opens a recorded file, or skips the test.
func recorded(t *testing.T, name string) io.Reader {
	t.Helper()
	root := os.Getenv("LEAT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatalf("LEAT_TEST_ALL is set, but the recorded data is absent: %v", err)
		}
		t.Skipf("the recorded data is absent; LEAT_DATA names its folder: %v", err)
	}
	r, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// session returns a recorded session, of which lines alone are what the provider sent.
func session(t *testing.T, name string) (messages []provider.Message) {
	t.Helper()
	r := recorded(t, name)
	if strings.HasPrefix(name, "ws-cryptofeed/") {
		s, err := provider.ReadSession(r)
		if err != nil {
			t.Fatal(err)
		}
		return s.Messages
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.SplitSeq(bytes.TrimSpace(text), []byte("\n")) {
		messages = append(messages, provider.Message{Data: line})
	}
	return messages
}

// configured returns the source of a piece of YAML.
func configured(t *testing.T, yaml string) websocket.Config {
	t.Helper()
	text := "streams: {s: }\nsources:\n  - name: feed\n    type: websocket\n    url: ws://feed:80/\n    stream: s\n    compression: \"off\"\n" +
		"    " + strings.ReplaceAll(strings.TrimSpace(yaml), "\n", "\n    ") + "\nconsumers: []\n"
	adapters := config.Adapters{Sources: map[string]func() any{"websocket": func() any { return new(websocket.Config) }}}
	c, diagnostics := config.Load([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, adapters, func(string) (string, bool) { return "", false })
	if c == nil || len(c.Sources) != 1 || slices.ContainsFunc(diagnostics, func(d config.Diagnostic) bool { return d.Severity == "error" }) {
		var out strings.Builder
		_ = diagnostics.Print(&out, config.PrintOptions{})
		t.Fatal(out.String())
	}
	return *c.Sources[0].Adapter.(*websocket.Config)
}

// plain returns a message without its gzip, if it has one.
func plain(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return data
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exchanges are providers that need nothing but configuration. events says, with the standard library alone, how many events a
// message holds.
var exchanges = map[string]struct {
	yaml    string
	events  func(m map[string]any) int
	replies string // what those that we send begin with
	end     source.EndKind
}{
	"ws-cryptofeed/HUOBI.ws.44.0.zst": {
		yaml: `
decode: [gzip]
reply: [{when: ping != nil, send: '{"pong":{{ping}}}'}]
classify: [{when: ping != nil, is: heartbeat}, {when: subbed != nil, is: ack}]`,
		events: func(m map[string]any) int {
			if m["ping"] != nil || m["subbed"] != nil {
				return 0
			}
			return 1
		},
		replies: `{"pong":`,
	},
	"ws-cryptofeed/ASCENDEX.ws.1.0.zst": {
		yaml: `
reply: [{when: m == "ping", send: {op: pong}}]
classify: [{when: 'm in ["ping", "connected", "sub"]', is: control}]`,
		events: func(m map[string]any) int {
			if m["m"] == "ping" || m["m"] == "connected" || m["m"] == "sub" {
				return 0
			}
			return 1
		},
		replies: `{"op":"pong"}`,
	},
	"ws-cryptofeed/KRAKEN.ws.49.0.zst": {
		yaml: `
classify: [{when: event == "heartbeat", is: heartbeat}, {when: 'event in ["systemStatus", "subscriptionStatus"]', is: ack}]
split: {columns: [channel, data, name, pair]}`,
		events: func(m map[string]any) int {
			if m["event"] != nil {
				return 0
			}
			return 1
		},
	},
	"ws-cryptofeed/BITMEX.ws.1.0.zst": {
		yaml: `
classify: [{when: info != nil or success == true, is: ack}]
split: {path: "data[]", keep: [table, action], index: part}`,
		events: func(m map[string]any) int {
			rows, _ := m["data"].([]any)
			return len(rows)
		},
	},
	"ws-cryptofeed/UPBIT.ws.62.0.zst": {
		yaml:   `classify: [{when: status == "UP", is: heartbeat}]`,
		events: func(map[string]any) int { return 1 },
	},
	"slack/socket_mode_messages.jsonl.zst": {
		yaml: `
reply: [{when: envelope_id != nil, send: {envelope_id: "{{envelope_id}}", payload: {}}}]
classify: [{when: type == "hello", is: control}, {when: type == "disconnect", is: reconnect, why: "{{reason}}"}]`,
		events: func(m map[string]any) int {
			if m["envelope_id"] == nil {
				return 0
			}
			return 1
		},
		replies: `{"envelope_id":`,
		end:     source.EndReconnect,
	},
	"nostr/messages.jsonl.zst": {
		yaml: `
classify: [{when: 'msg[0] == "EOSE"', is: control}, {when: 'msg[0] == "CLOSED" and msg[2] startsWith "auth-required:"', is: fatal}]
split: {columns: [kind, subscription, event]}`,
		events: func(m map[string]any) int { return 1 },
	},
}

func TestRecordedProvidersNeedOnlyConfiguration(t *testing.T) {
	for name, exchange := range exchanges {
		t.Run(name, func(t *testing.T) {
			config, messages := configured(t, exchange.yaml), session(t, name)
			want, answered := 0, 0
			for _, m := range messages {
				if m.Out {
					continue
				}
				var object map[string]any
				data := plain(t, m.Data)
				_ = json.Unmarshal(data, &object)
				want += exchange.events(object)
				if bytes.HasPrefix(data, []byte(`["EOSE"`)) {
					want--
				}
				if object["ping"] != nil || object["m"] == "ping" || object["envelope_id"] != nil {
					answered++
				}
			}
			if exchange.replies == "" {
				answered = 0
			}
			synctest.Test(t, func(t *testing.T) {
				n := pipenet.New()
				var heard []string
				serve(t, n, "feed:80", &dialogue{t, func(c *talk) {
					go func() {
						for _, m := range messages {
							if kind := ws.MessageText; !m.Out {
								if m.Binary {
									kind = ws.MessageBinary
								}
								_ = c.Write(c.ctx, kind, m.Data)
							}
						}
						time.Sleep(time.Second)
						_ = c.Close(ws.StatusNormalClosure, "")
					}()
					for text := c.hear(); text != ""; text = c.hear() {
						heard = append(heard, text)
					}
				}})
				s := &websocket.Source{Config: config, Dial: n.DialContext}
				c, err := s.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				got, longest := 0, 0
				var end *source.EndError
				for end == nil {
					events, err := c.Next(t.Context())
					for _, e := range events {
						got++
						longest = max(longest, len(e.Data))
					}
					if err != nil && !errors.As(err, &end) {
						t.Fatal(err)
					}
				}
				_ = c.Close()
				time.Sleep(time.Minute)
				synctest.Wait()
				t.Logf("%d messages, %d events, the longest of %d bytes, %d replies, then %v", len(messages), got, longest, len(heard), end)
				if got != want || got == 0 {
					t.Errorf("got %d events, want %d", got, want)
				}
				if exchange.end == "" && end.Kind != source.EndClose || exchange.end != "" && end.Kind != exchange.end {
					t.Errorf("it ended: %v", end)
				}
				for _, text := range heard {
					if !strings.HasPrefix(text, exchange.replies) || !json.Valid([]byte(text)) {
						t.Errorf("the provider heard %q", text)
					}
				}
				if len(heard) != answered {
					t.Errorf("%d replies, want %d", len(heard), answered)
				}
			})
		})
	}
}

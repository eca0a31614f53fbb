package provider_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
)

// dialogue has what a client says and how connections end.
func dialogue() *provider.Session {
	second := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return &provider.Session{URL: "wss://example.org/feed", Opened: time.Unix(1626318403, 0), Messages: []provider.Message{
		{At: second(0), Data: []byte("hello")},
		{At: second(1), Out: true, Data: []byte(`{"op":"subscribe","key":"(secret)"}`)},
		{At: second(1), Data: []byte("ack")},
		{At: second(2), Data: []byte("1")},
		{At: second(3), End: &provider.End{Code: 1012, Reason: "restart"}},
		{At: second(4), Out: true, Data: []byte("again")},
		{At: second(5), Data: []byte("2")},
		{At: second(6), End: &provider.End{Ours: true}},
		{At: second(7), Out: true, Data: []byte("not any more")},
		{At: second(7), Data: []byte("3")},
		{At: second(8), End: &provider.End{Broken: true}},
	}}
}

func say(c client, conn *websocket.Conn, text string) {
	c.Helper()
	if err := conn.Write(c.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.Fatal(err)
	}
}

// closed wants the rest of a connection to be some messages and its end.
func closed(c client, conn *websocket.Conn, messages string, code int, reason string) {
	c.Helper()
	got, err := readAll(c.T, conn)
	var end websocket.CloseError
	if join(got) != messages || !errors.As(err, &end) || int(end.Code) != code || end.Reason != reason {
		c.Errorf("got %q and %v, want %q and %d %q", got, err, messages, code, reason)
	}
}

func TestARecordedDialogueIsPlayed(t *testing.T) {
	for _, speed := range []float64{0, 1} {
		p := &provider.Replay{Session: dialogue(), Speed: speed, Rules: &provider.Rules{Expect: 5 * time.Second, Strict: true}}
		bubble(t, p, func(c client) {
			conn := c.dial("/")
			expect(c.T, "first", join(read(c.T, conn, 1)), "hello")
			say(c, conn, `{"key": "s3cr3t", "op": "subscribe"}`)
			closed(c, conn, "ack 1", 1012, "restart")
			conn = c.dial("/")
			say(c, conn, "again")
			got, err := readAll(c.T, conn)
			expect(c.T, "second connection", join(got), "2 3")
			if !errors.Is(err, io.EOF) {
				c.Errorf("got %v, want EOF", err)
			}
		})
	}
}

func TestAStrictProviderClosesWith1008(t *testing.T) {
	rules := func() *provider.Rules { return &provider.Rules{Expect: 5 * time.Second, Strict: true} }
	bubble(t, &provider.Replay{Session: dialogue(), Rules: rules()}, func(c client) {
		begun := time.Now()
		closed(c, c.dial("/"), "hello", 1008, "nothing was said within 5s")
		expect(c.T, "time", time.Since(begun), 5*time.Second)
	})
	bubble(t, &provider.Replay{Session: dialogue(), Rules: rules()}, func(c client) {
		conn := c.dial("/")
		say(c, conn, `{"op":"unsubscribe"}`)
		closed(c, conn, "hello", 1008, "this is not what the client said in the recording")
	})
}

func TestAProviderThatIsNotStrictGoesOn(t *testing.T) {
	p := &provider.Replay{Session: dialogue(), Rules: &provider.Rules{Expect: 5 * time.Second}}
	bubble(t, p, func(c client) {
		conn := c.dial("/")
		say(c, conn, "something else")
		closed(c, conn, "hello ack 1", 1012, "restart")
		begun := time.Now()
		got, _ := readAll(c.T, c.dial("/"))
		expect(c.T, "messages", join(got), "2 3")
		expect(c.T, "time", time.Since(begun), 5*time.Second)
	})
}

func TestAClientThatComesBackInTheMiddleSubscribesAgain(t *testing.T) {
	s := dialogue()
	s.Messages = s.Messages[1:4] // subscribe, ack, 1
	p := &provider.Replay{Session: s, Speed: 1, CutEvery: 1, Rules: &provider.Rules{Expect: 5 * time.Second, Strict: true}}
	bubble(t, p, func(c client) {
		conn := c.dial("/")
		say(c, conn, `{"op":"subscribe","key":"k"}`)
		got, _ := readAll(c.T, conn)
		expect(c.T, "first connection", join(got), "ack")
		closed(c, c.dial("/"), "", 1008, "nothing was said within 5s")
	})
}

func TestAClientThatComesBackInTheMiddleIsGreetedAgain(t *testing.T) {
	s := &provider.Session{URL: "wss://example.org/feed", Opened: time.Unix(1626318403, 0)}
	for i, text := range []string{"hello", "<auth", "welcome", "<subscribe", "subscribed", `{"n":1}`, `{"n":2}`, "<ping", `{"n":3}`, `{"n":4}`} {
		said, out := strings.CutPrefix(text, "<")
		s.Messages = append(s.Messages, provider.Message{At: time.Duration(i) * time.Second, Out: out, Data: []byte(said)})
	}
	rules := &provider.Rules{Expect: 5 * time.Second, Strict: true, Cursor: expression.MustParse("n")}
	bubble(t, &provider.Replay{Session: s, Speed: 1, Hold: true, CutEvery: 4, Rules: rules}, func(c client) {
		for again, events := range []string{`{"n":1}`, `{"n":2} {"n":3} {"n":4}`} {
			conn := c.dial("/")
			expect(c.T, "greeting", join(read(c.T, conn, 1)), "hello")
			say(c, conn, "auth")
			expect(c.T, "answer", join(read(c.T, conn, 1)), "welcome")
			say(c, conn, "subscribe")
			expect(c.T, "answer", join(read(c.T, conn, 1)), "subscribed")
			if again == 1 {
				say(c, conn, "ping")
			}
			expect(c.T, "events", join(read(c.T, conn, 1+2*again)), events)
		}
	})
}

func TestConnectionsHaveALifetime(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds(), Speed: 1, CloseCode: 1001, Rules: &provider.Rules{Lifetime: 3500 * time.Millisecond}}
	bubble(t, p, func(c client) {
		begun := time.Now()
		closed(c, c.dial("/"), "1 2 3", 1001, "the connection is as old as it may become")
		expect(c.T, "time", time.Since(begun), 3500*time.Millisecond)
		closed(c, c.dial("/"), "4 5 6", 1001, "the connection is as old as it may become")
	})
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds(), Rules: &provider.Rules{MaxConnections: 2, RetryAfter: 90 * time.Second}}
	bubble(t, p, func(c client) {
		one, _ := c.dial("/"), c.dial("/")
		answer := c.refused("/")
		expect(c.T, "status", answer.StatusCode, http.StatusTooManyRequests)
		expect(c.T, "Retry-After", answer.Header.Get("Retry-After"), "90")
		one.Close(websocket.StatusNormalClosure, "")
		time.Sleep(time.Second)
		read(c.T, c.dial("/"), 10)
	})
}

func TestCursorsReachBackForTheRetention(t *testing.T) {
	rules := func(clamp bool) *provider.Rules {
		return &provider.Rules{Cursor: expression.MustParse("msg"), Retention: 4 * time.Second, Clamp: clamp}
	}
	for _, clamp := range []bool{false, true} {
		p := &provider.Replay{Session: tenSeconds(), Speed: 1, Rules: rules(clamp)}
		bubble(t, p, func(c client) {
			c.dial("/")
			time.Sleep(8500 * time.Millisecond)
			expect(c.T, "resumed", join(read(c.T, c.dial("/?cursor=6"), 5)), "6 7 8 9 10")
			expect(c.T, "the last one", join(read(c.T, c.dial("/?cursor=10"), 1)), "10")
			if clamp {
				expect(c.T, "clamped", join(read(c.T, c.dial("/?cursor=2"), 3)), "6 7 8")
				return
			}
			answer := c.refused("/?cursor=2")
			text, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "CursorTooOld") {
				c.Errorf("got %d %s", answer.StatusCode, text)
			}
		})
	}
}

func TestAConnectionEndsOnceWhereItEndedInTheRecording(t *testing.T) {
	s := tenSeconds()
	s.Messages = slices.Insert(s.Messages[1:], 3, provider.Message{At: 3500 * time.Millisecond, End: &provider.End{Code: 1012}})
	p := &provider.Replay{Session: s, Speed: 1, Rules: &provider.Rules{Cursor: expression.MustParse("msg")}}
	bubble(t, p, func(c client) {
		closed(c, c.dial("/"), "1 2 3", 1012, "")
		expect(c.T, "resumed", join(read(c.T, c.dial("/?cursor=3"), 8)), "3 4 5 6 7 8 9 10")
	})
}

func TestGarbageAndSlowDrip(t *testing.T) {
	p := &provider.Replay{Session: tenSeconds(), Rules: &provider.Rules{Garbage: 4, SlowDrip: time.Second}}
	bubble(t, p, func(c client) {
		begun := time.Now()
		got := read(c.T, c.dial("/"), 12)
		if got[3] != "4" || !strings.HasPrefix(got[4], `{"garbage":`) || got[5] != "5" {
			c.Errorf("got %q", got)
		}
		if d := time.Since(begun); d < 12*time.Second {
			c.Errorf("it took %v", d)
		}
	})
}

func TestABombInflatesToMoreThanAnyoneWants(t *testing.T) {
	const inflated = 64 << 20 // of 1 GB
	for _, as := range []string{"websocket", "ndjson"} {
		p := &provider.Replay{Session: tenSeconds(), Rules: &provider.Rules{As: as, Bomb: 1}}
		bubble(t, p, func(c client) {
			if as == "websocket" {
				expect(c.T, "status", c.refused("/").StatusCode, http.StatusBadRequest)
				conn, _, err := websocket.Dial(c.Context(), "ws://provider/", &websocket.DialOptions{HTTPClient: c.Client(), CompressionMode: websocket.CompressionContextTakeover})
				if err != nil {
					c.Fatal(err)
				}
				defer conn.CloseNow()
				conn.SetReadLimit(-1)
				expect(c.T, "first", join(read(c.T, conn, 1)), "1")
				_, r, err := conn.Reader(c.Context())
				if err != nil {
					c.Fatal(err)
				}
				n, _ := io.Copy(io.Discard, io.LimitReader(r, inflated))
				expect(c.T, "bytes", n, inflated)
				return
			}
			body := get(c, "/", http.Header{"Accept-Encoding": {"gzip"}})
			z, err := gzip.NewReader(body)
			if err != nil {
				c.Fatal(err)
			}
			n, _ := io.Copy(io.Discard, io.LimitReader(z, inflated))
			expect(c.T, "bytes", n, inflated)
		})
	}
}

// get asks for a stream and returns its body.
func get(c client, path string, header http.Header) io.Reader {
	c.Helper()
	request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, "http://provider"+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	answer, err := c.Client().Do(request)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		c.Fatalf("status %d", answer.StatusCode)
	}
	return answer.Body
}

func TestTheSameRecordingOverHTTP(t *testing.T) {
	session := func() *provider.Session {
		return &provider.Session{URL: "/", Messages: []provider.Message{
			{At: 0, Data: []byte("{\n\"a\":1}"), Event: "update", ID: "7"},
			{At: time.Second, Data: []byte{}},
			{At: time.Second, Data: []byte{0xff}, Binary: true},
			{At: 2 * time.Second, End: &provider.End{Code: 1000}},
		}}
	}
	for as, want := range map[string]string{
		"sse":    "event: update\nid: 7\ndata: {\ndata: \"a\":1}\n\n:\n\ndata: /w==\n\n",
		"ndjson": "{\"a\":1}\n\n\"/w==\"\n",
	} {
		bubble(t, &provider.Replay{Session: session(), Speed: 1, Rules: &provider.Rules{As: as}}, func(c client) {
			begun := time.Now()
			got, err := io.ReadAll(get(c, "/", nil))
			if err != nil || string(got) != want {
				c.Errorf("%s: %v\ngot  %q\nwant %q", as, err, got, want)
			}
			expect(c.T, "time", time.Since(begun), 2*time.Second)
		})
	}
}

func TestAnEventStreamResumesBehindItsLastID(t *testing.T) {
	s := &provider.Session{URL: "/"}
	for n := 1; n <= 5; n++ {
		s.Messages = append(s.Messages, provider.Message{Data: []byte(strconv.Itoa(n)), ID: "id" + strconv.Itoa(n)})
	}
	bubble(t, &provider.Replay{Session: s, CutEvery: 2, Rules: &provider.Rules{As: "sse"}}, func(c client) {
		lines := bufio.NewScanner(get(c, "/", http.Header{"Last-Event-Id": {"id3"}}))
		var got []string
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				got = append(got, data)
			}
		}
		expect(c.T, "events", join(got), "4 5")
		if !errors.Is(lines.Err(), io.ErrUnexpectedEOF) {
			c.Errorf("got %v, want that it is broken off", lines.Err())
		}
	})
}

func TestEveryKindOfRecordingIsRead(t *testing.T) {
	for path, want := range map[string]int{
		"ws-cryptofeed/KRAKEN.ws.48.0.zst":                          49,
		"nostr/messages.jsonl.zst":                                  538,
		"slack/socket_mode_messages.jsonl.zst":                      7,
		"bluesky/internal__corpus__testdata__expected_v1.jsonl.zst": 152,
		"sse-wikimedia/example.events":                              3,
	} {
		folder := dataFolder(t, strings.Split(path, "/")[0])
		sessions, err := provider.ReadRecording(folder + "/" + strings.Split(path, "/")[1])
		if err != nil || len(sessions) != 1 || len(sessions[0].Inbound()) != want {
			t.Errorf("%s: %v, %d sessions", path, err, len(sessions))
			continue
		}
		play(t, path, sessions[0], want)
	}
	mastodon, err := provider.ReadRecording(dataFolder(t, "sse-mastodon") + "/test_stream_user_local.yaml.zst")
	if err != nil || len(mastodon[0].Inbound()) == 0 {
		t.Errorf("mastodon: %v", err)
	}
}

// play plays a session and wants so many messages.
func play(t *testing.T, name string, s *provider.Session, want int) {
	t.Helper()
	bubble(t, &provider.Replay{Session: s, Rules: &provider.Rules{}}, func(c client) {
		conn := c.dial("/")
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
		defer cancel()
		n := 0
		for ; ; n++ {
			if _, _, err := conn.Read(ctx); err != nil {
				break
			}
		}
		expect(c.T, name, n, want)
	})
}

package websocket_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// dialogue is a provider that follows a script.
type dialogue struct {
	t      *testing.T
	script func(c *talk)
}

// talk is one connection to it.
type talk struct {
	*ws.Conn
	t     *testing.T
	ctx   context.Context
	early chan string // what was heard by quiet; nil: nothing waits
}

func (d *dialogue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		d.t.Error(err)
		return
	}
	defer c.CloseNow()
	d.script(&talk{Conn: c, t: d.t, ctx: r.Context()})
}

func (c *talk) say(text string) { _ = c.Write(c.ctx, ws.MessageText, []byte(text)) }

// hear returns the next message; empty at the end.
func (c *talk) hear() string {
	if early := c.early; early != nil {
		c.early = nil
		return <-early
	}
	_, data, err := c.Read(c.ctx)
	if err != nil {
		return ""
	}
	return string(data)
}

// want hears a message that must be this one.
func (c *talk) want(text string) {
	if got := c.hear(); got != text {
		c.t.Errorf("heard %q, want %q", got, text)
	}
}

func said(t *testing.T, value any) (m websocket.Message) {
	t.Helper()
	var err error
	if text, ok := value.(string); ok {
		err = m.UnmarshalText([]byte(text))
	} else {
		err = m.UnmarshalValue(value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func expect(condition string) expression.Condition { return expression.MustParseCondition(condition) }

// talking runs a provider with a script, and what is done with a source that connects to it.
func talking(t *testing.T, config websocket.Config, script func(c *talk), use func(t *testing.T, s *websocket.Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		serve(t, n, "feed:80", &dialogue{t, script})
		config.URL, config.Compression = expression.MustParseTemplate("ws://feed:80/"), "off"
		if err := errors.Join(config.Check(), config.Intake.Check()); err != nil {
			t.Fatal(err)
		}
		use(t, &websocket.Source{Config: config, Dial: n.DialContext})
		time.Sleep(time.Minute)
	})
}

// all returns what a connection brings until it ends, and why it does.
func all(t *testing.T, c source.Conn) (texts []string, end *source.EndError) {
	t.Helper()
	for {
		events, err := c.Next(context.Background())
		for _, e := range events {
			texts = append(texts, string(e.Data))
		}
		var skip *source.SkipError
		switch {
		case errors.As(err, &skip):
			texts = append(texts, "skip "+skip.Reason)
		case errors.As(err, &end):
			_ = c.Close()
			return texts, end
		case err != nil:
			t.Fatal(err)
		}
	}
}

// alpaca is the dialogue of a provider that wants authentication before the subscription, all in lists.
func alpaca(t *testing.T) websocket.Config {
	return websocket.Config{
		Handshake: websocket.Handshake{Steps: []websocket.Step{
			{Expect: expect(`msg[0].msg == "connected"`), Set: map[string]expression.Value{"session": expression.MustParse("msg[0].n")}},
			{Send: said(t, map[string]any{"action": "auth", "key": "k", "n": "{{session + 1}}"})},
			{Expect: expect(`msg[0].msg == "authenticated"`), Timeout: 3 * time.Second},
		}},
		Subscribe: said(t, `{"action":"subscribe","trades":["AAPL"]}`),
		Intake: source.Intake{
			Classify: []source.Class{{When: expect(`msg[0].T == "error"`), Is: "fatal", Why: expression.MustParseTemplate("{{msg[0].code}}")}, {When: expect(`msg[0].T == "subscription"`), Is: "ack"}},
			Split:    &source.Split{Path: expression.MustParsePath("[]")},
		},
	}
}

func TestAHandshakeIsSaidAndHeard(t *testing.T) {
	talking(t, alpaca(t), func(c *talk) {
		c.say(`[{"T":"success","msg":"connected","n":41}]`)
		c.want(`{"action":"auth","key":"k","n":"42"}`)
		c.say(`[{"T":"t","i":1},{"T":"t","i":2}]`) // too early, and an event all the same
		c.say(`[{"T":"success","msg":"authenticated"}]`)
		c.want(`{"action":"subscribe","trades":["AAPL"]}`)
		c.say(`[{"T":"subscription"}]`)
		c.say(`[{"T":"t","i":3}]`)
		_ = c.Close(ws.StatusServiceRestart, "restart")
	}, func(t *testing.T, s *websocket.Source) {
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		texts, end := all(t, c)
		if strings.Join(texts, " ") != `{"T":"t","i":1} {"T":"t","i":2} {"T":"t","i":3}` || end.Kind != source.EndClose || end.Code != 1012 {
			t.Errorf("got %q, %v", texts, end)
		}
	})
}

func TestAHandshakeThatFailsSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		script func(c *talk)
		kind   source.EndKind
		text   string
	}{
		"refused": {func(c *talk) {
			c.say(`[{"T":"success","msg":"connected","n":41}]`)
			c.hear()
			c.say(`[{"T":"error","code":402}]`)
			c.hear()
		}, source.EndFatal, "402"},
		"silent":           {func(c *talk) { c.hear() }, source.EndSubscribe, "step 1"},
		"silent later":     {func(c *talk) { c.say(`[{"msg":"connected","n":1}]`); c.hear(); c.hear() }, source.EndSubscribe, "did not come within 3s"},
		"without variable": {func(c *talk) { c.say(`[{"msg":"connected"}]`); c.hear() }, source.EndSubscribe, "has no msg[0].n"},
		"closed":           {func(c *talk) { _ = c.Close(4004, "no") }, source.EndClose, "4004"},
		"flooded": {func(c *talk) {
			for c.Write(c.ctx, ws.MessageText, bytes.Repeat([]byte("x"), 1<<20)) == nil {
			}
		}, source.EndRead, "before the handshake was over"},
	} {
		t.Run(name, func(t *testing.T) {
			talking(t, alpaca(t), c.script, func(t *testing.T, s *websocket.Source) {
				began := time.Now()
				conn, err := s.Open(t.Context(), "")
				if err == nil {
					_ = conn.Close()
				}
				var end *source.EndError
				if !errors.As(err, &end) || end.Kind != c.kind || !strings.Contains(end.Error(), c.text) || time.Since(began) > 20*time.Second {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

func TestAHandshakeResumesWhereThereIsACursor(t *testing.T) {
	config := websocket.Config{Handshake: websocket.Handshake{
		Steps:  []websocket.Step{{Send: said(t, "identify")}},
		Resume: []websocket.Step{{Send: said(t, "resume {{cursor}}")}, {Expect: expect(`op == "resumed"`)}},
	}}
	if !config.UsesCursor() {
		t.Error("it does not use the cursor")
	}
	talking(t, config, func(c *talk) {
		switch got := c.hear(); got {
		case "identify":
			c.say(`{"n":1}`)
		case "resume 7":
			c.say(`{"n":8}`)
			c.say(`{"op":"resumed"}`)
		default:
			t.Errorf("heard %q", got)
		}
		_ = c.Close(ws.StatusNormalClosure, "")
	}, func(t *testing.T, s *websocket.Source) {
		for cursor, want := range map[string]string{"": `{"n":1}`, "7": `{"n":8}`} {
			c, err := s.Open(t.Context(), leat.Cursor(cursor))
			if err != nil {
				t.Fatal(err)
			}
			if texts, _ := all(t, c); strings.Join(texts, " ") != want {
				t.Errorf("from %q got %q", cursor, texts)
			}
		}
	})
}

func TestSubscriptionsAreSaidAtAPace(t *testing.T) {
	config := websocket.Config{Subscribe: said(t, "first"), Subscriptions: []websocket.Message{said(t, "a"), said(t, []any{"REQ", "b"}), said(t, "c")}, Pace: 50 * time.Millisecond}
	talking(t, config, func(c *talk) {
		var at []time.Duration
		began := time.Now()
		for _, want := range []string{"first", "a", `["REQ","b"]`, "c"} {
			c.want(want)
			at = append(at, time.Since(began))
		}
		if fmt.Sprint(at) != "[0s 0s 50ms 100ms]" {
			t.Errorf("heard at %v", at)
		}
		_ = c.Close(ws.StatusNormalClosure, "")
	}, func(t *testing.T, s *websocket.Source) {
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		all(t, c)
	})
}

// HTX: everything is packed, and each of its pings wants an answer.
func TestPingsOfTheProviderAreAnswered(t *testing.T) {
	gzipped, err := decode.NewStep("gzip", nil)
	if err != nil {
		t.Fatal(err)
	}
	config := websocket.Config{
		Reply:  []websocket.Reply{{When: expect("ping != nil"), Send: said(t, `{"pong":{{ping}}}`)}},
		Intake: source.Intake{Decode: []decode.Step{gzipped}, Classify: []source.Class{{When: expect("ping != nil"), Is: "heartbeat"}}},
	}
	talking(t, config, func(c *talk) {
		send := func(text string) {
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			_, _ = w.Write([]byte(text))
			_ = w.Close()
			_ = c.Write(c.ctx, ws.MessageBinary, out.Bytes())
		}
		for i := range 3 {
			send(fmt.Sprintf(`{"ping":%d}`, 1626400646000+i))
			c.want(fmt.Sprintf(`{"pong":%d}`, 1626400646000+i))
			send(fmt.Sprintf(`{"tick":%d}`, i))
		}
		c.say("broken")
		_ = c.Close(ws.StatusNormalClosure, "")
	}, func(t *testing.T, s *websocket.Source) {
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if texts, _ := all(t, c); strings.Join(texts, " ") != `{"tick":0} {"tick":1} {"tick":2} skip decode` {
			t.Errorf("got %q", texts)
		}
	})
}

// Discord: the interval comes with the hello, and a ping without an answer means that nobody is there.
func TestThePingMessageIsSentAndItsAnswerExpected(t *testing.T) {
	config := websocket.Config{
		Ping: -1, // off
		Handshake: websocket.Handshake{Steps: []websocket.Step{
			{Expect: expect("op == 10"), Set: map[string]expression.Value{"interval": expression.MustParse("d.heartbeat_interval")}},
		}},
		PingMessage: &websocket.PingMessage{Send: said(t, `{"op":1}`), EveryMS: expression.MustParseTemplate("{{interval}}"), Answer: expect("op == 11")},
		Intake:      source.Intake{Classify: []source.Class{{When: expect("op == 11"), Is: "heartbeat"}}},
	}
	var mu sync.Mutex
	var last time.Time
	talking(t, config, func(c *talk) {
		c.say(`{"op":10,"d":{"heartbeat_interval":41250}}`)
		for i := range 5 {
			c.want(`{"op":1}`)
			mu.Lock()
			if since := time.Since(last); i > 0 && since != 41250*time.Millisecond || i == 0 && since > 41250*time.Millisecond {
				t.Errorf("ping %d after %v", i, since)
			}
			last = time.Now()
			mu.Unlock()
			if i < 4 {
				c.say(`{"op":11}`)
			}
		}
		c.hear()
	}, func(t *testing.T, s *websocket.Source) {
		last = time.Now()
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		texts, end := all(t, c)
		mu.Lock()
		defer mu.Unlock()
		if len(texts) != 0 || end.Kind != source.EndPing || time.Since(last) != 10*time.Second {
			t.Errorf("got %q, %v, %v after the last ping", texts, end, time.Since(last))
		}
	})
}

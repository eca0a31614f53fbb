package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

func set(pairs ...string) map[string]expression.Value {
	m := map[string]expression.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = expression.MustParse(pairs[i+1])
	}
	return m
}

// opened connects and fails the test where that fails.
func opened(t *testing.T, s *websocket.Source, after string) source.Conn {
	t.Helper()
	c, err := s.Open(t.Context(), leat.Cursor(after))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// next returns what the next call of Next does, as texts.
func next(t *testing.T, c source.Conn) (list []string) {
	t.Helper()
	events, err := c.Next(t.Context())
	var skip *source.SkipError
	if errors.As(err, &skip) {
		return []string{"skip"}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		list = append(list, string(e.Data))
	}
	return list
}

func TestVariablesChangeWhileTheConnectionLives(t *testing.T) {
	config := websocket.Config{
		Ping:        -1,
		PingMessage: &websocket.PingMessage{Send: said(t, `{"op":1,"d":{{seq ?? "null"}}}`), Every: 10 * time.Second},
		Remember:    []websocket.Remember{{When: expect("s != nil"), Set: set("seq", "s")}},
		Reply:       []websocket.Reply{{When: expect("op == 1"), Send: said(t, map[string]any{"last": "{{seq}}", "op": "{{op}}"})}},
		Intake:      source.Intake{Classify: []source.Class{{When: expect("op == 1"), Is: "heartbeat"}}},
	}
	talking(t, config, func(c *talk) {
		c.want(`{"op":1,"d":null}`)
		c.say(`{"op":0,"s":12345678901234567}`)
		c.want(`{"op":1,"d":12345678901234567}`)
		c.say(`{"op":0,"s":null}`)
		c.say(`{"op":1,"seq":"not this one"}`)
		c.want(`{"last":"not this one","op":"1"}`)
		c.say(`{"op":0,"s":"x"}`)
		c.want(`{"op":1,"d":x}`)
		_ = c.Close(ws.StatusNormalClosure, "")
	}, func(t *testing.T, s *websocket.Source) {
		if texts, end := all(t, opened(t, s, "")); len(texts) != 3 || end.Code != 1000 {
			t.Errorf("got %q, %v", texts, end)
		}
	})
}

func acknowledged(t *testing.T) websocket.Config {
	return websocket.Config{
		Ping: -1,
		Ack:  &websocket.Ack{When: expect("id != nil"), Send: said(t, map[string]any{"ack": "{{id}}"}), Deadline: 3 * time.Second},
		Intake: source.Intake{
			Classify: []source.Class{{When: expect(`type == "slash"`), Is: "control"}, {When: expect(`type == "lost"`), Is: "gap"}},
			Split:    &source.Split{Path: expression.MustParsePath("events[]")},
		},
	}
}

// quiet makes sure that the provider hears nothing for a second.
func (c *talk) quiet() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	heard := make(chan string, 1)
	go func() {
		_, data, err := c.Read(c.ctx)
		if err == nil {
			heard <- string(data)
		}
		close(heard)
	}()
	select {
	case text := <-heard:
		c.t.Errorf("heard %q", text)
	case <-ctx.Done():
	}
	c.early = heard
}

func TestMessagesAreAcknowledgedWhenNextIsCalledAgain(t *testing.T) {
	var step chan bool // of the bubble
	talking(t, acknowledged(t), func(c *talk) {
		c.say(`{"type":"slash","id":"0"}`)
		c.want(`{"ack":"0"}`) // nothing is to be stored
		c.say(`{"id":"a","events":[{"n":1},{"n":2}]}`)
		c.say(`{"type":"slash","id":"b"}`) // behind a, in its turn
		c.quiet()
		step <- true
		c.want(`{"ack":"a"}`)
		c.want(`{"ack":"b"}`)
		c.say(`{"events":[{"n":3}]}`) // wants none
		c.say(`{"type":"lost","id":"c"}`)
		c.say(`{"id":"d","events":[]}`)
		for range 2 {
			step <- true
		}
		c.want(`{"ack":"c"}`)
		c.want(`{"ack":"d"}`)
		_ = c.Close(ws.StatusNormalClosure, "")
	}, func(t *testing.T, s *websocket.Source) {
		step = make(chan bool)
		c := opened(t, s, "")
		if got := next(t, c); fmt.Sprint(got) != `[{"n":1} {"n":2}]` {
			t.Errorf("got %v", got)
		}
		<-step
		if got := next(t, c); fmt.Sprint(got) != `[{"n":3}]` {
			t.Errorf("got %v", got)
		}
		<-step
		if got := next(t, c); fmt.Sprint(got) != `[skip]` {
			t.Errorf("got %v", got)
		}
		<-step
		if _, end := all(t, c); end.Code != 1000 {
			t.Errorf("got %v", end)
		}
		if late := c.(source.Watched).Signs().Late; late != 0 {
			t.Errorf("%d were late", late)
		}
	})
}

func TestWhatIsStoredNowhereIsNotAcknowledged(t *testing.T) {
	talking(t, acknowledged(t), func(c *talk) {
		c.say(`{"id":"a","events":[{"n":1}]}`)
		if text := c.hear(); text != "" {
			t.Errorf("heard %q", text)
		}
	}, func(t *testing.T, s *websocket.Source) {
		c, err := s.Open(source.Unstored(t.Context()), "")
		if err != nil {
			t.Fatal(err)
		}
		next(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = c.Next(ctx)
		_ = c.Close()
	})
}

// What is stored is acknowledged before we leave, and what comes after that belongs to the next connection.
func TestLeavingWaitsForWhatIsToBeAcknowledged(t *testing.T) {
	var heard []string
	talking(t, acknowledged(t), func(c *talk) {
		for n := range 3 {
			c.say(fmt.Sprintf(`{"id":"%d","events":[{"n":%d}]}`, n, n))
		}
		for text := c.hear(); text != ""; text = c.hear() {
			heard = append(heard, text)
			c.say(`{"id":"late","events":[{"n":9}]}`)
		}
	}, func(t *testing.T, s *websocket.Source) {
		c := opened(t, s, "")
		time.Sleep(time.Second)
		stored := next(t, c)
		closed := make(chan time.Duration)
		go func() {
			began := time.Now()
			_ = c.Close()
			closed <- time.Since(began)
		}()
		time.Sleep(4 * time.Second) // storing takes a while
		texts, _ := all(t, c)
		if took := <-closed; took > 5*time.Second || len(stored) != 3 || len(texts) != 0 {
			t.Errorf("closed after %v, stored %q and %q", took, stored, texts)
		}
		if fmt.Sprint(heard) != `[{"ack":"0"} {"ack":"1"} {"ack":"2"}]` {
			t.Errorf("heard %q", heard)
		}
		if late := c.(source.Watched).Signs().Late; late != 3 {
			t.Errorf("%d were late, 5 s after they came", late)
		}
	})
}

// Whoever is never done with an event holds the goodbye up for five seconds at most.
func TestLeavingDoesNotWaitForEver(t *testing.T) {
	talking(t, acknowledged(t), func(c *talk) {
		c.say(`{"id":"a","events":[{"n":1}]}`)
		if text := c.hear(); text != "" {
			t.Errorf("heard %q", text)
		}
	}, func(t *testing.T, s *websocket.Source) {
		c := opened(t, s, "")
		next(t, c)
		began := time.Now()
		_ = c.Close()
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestLifetimesAreLearned(t *testing.T) {
	config := websocket.Config{
		Lifetime: expression.MustParseTemplate("{{lives}}"),
		Remember: []websocket.Remember{{When: expect(`type == "hello"`), Set: set("lives", "info.time")}},
		Intake:   source.Intake{Classify: []source.Class{{When: expect(`type == "hello"`), Is: "control"}}},
	}
	talking(t, config, func(c *talk) {
		c.say(`{"type":"hello","info":{"time":18060}}`)
		c.hear()
	}, func(t *testing.T, s *websocket.Source) {
		c := opened(t, s, "")
		began := time.Now()
		why, err := c.(source.Expiring).Expire(t.Context())
		if lived := time.Since(began).Seconds(); err != nil || !strings.Contains(why, "18060 s") || lived < 0.85*18060-1 || lived > 0.9*18060+1 {
			t.Errorf("after %v s: %q, %v", lived, why, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		c = opened(t, s, "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.(source.Expiring).Expire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		_ = c.Close()
	})
}

func TestWeLeaveWithTheCloseCodeOfTheSettings(t *testing.T) {
	for code, want := range map[int]ws.StatusCode{0: 1000, 4000: 4000} {
		talking(t, websocket.Config{CloseCode: code}, func(c *talk) {
			_, _, err := c.Read(c.ctx)
			if got := ws.CloseStatus(err); got != want {
				t.Errorf("heard %v", err)
			}
		}, func(t *testing.T, s *websocket.Source) {
			_ = opened(t, s, "").Close()
		})
	}
}

// Nothing is sent sooner than the limit allows, and nothing is dropped. The answers to pings count.
func TestWhatIsSentKeepsTheLimit(t *testing.T) {
	config := websocket.Config{
		Ping: -1, Limits: websocket.Limits{Messages: 5, Per: time.Second},
		Symbols:       websocket.Symbols{Symbols: []string{"a", "b", "c", "d", "e", "f", "g"}, Chunk: 2},
		Subscribe:     said(t, `{"n":{{symbols}}}`),
		Subscriptions: []websocket.Message{said(t, "x"), said(t, map[string]any{"m": "{{symbols}}"})},
	}
	talking(t, config, func(c *talk) {
		began := time.Now()
		at := func() time.Duration { return time.Since(began).Truncate(time.Millisecond) }
		for i, want := range []string{
			`{"n":["a","b"]}`, `{"n":["c","d"]}`, `{"n":["e","f"]}`, `{"n":["g"]}`, `x`,
			`{"m":["a","b"]}`, `{"m":["c","d"]}`, `{"m":["e","f"]}`, `{"m":["g"]}`,
		} {
			if c.want(want); at() != time.Duration(i/5)*time.Second {
				t.Errorf("heard %s at %v", want, at())
			}
		}
		heard := make(chan string, 10)
		go func() {
			for text := c.hear(); text != ""; text = c.hear() {
				heard <- fmt.Sprint(text, " ", at())
			}
		}()
		for range 3 { // the first one is the fifth of this second, the two behind it wait for none
			if err := c.Ping(c.ctx); err != nil {
				t.Error(err)
			}
		}
		c.say(`{"ping":1}`)
		c.say(`{"ping":2}`)
		c.say(`{"ping":3}`)
		c.say(`{"ping":4}`)
		if got := []string{<-heard, <-heard, <-heard, <-heard}; fmt.Sprint(got) != "[pong1 2s pong2 2s pong3 2s pong4 3s]" {
			t.Errorf("heard %q", got)
		}
	}, func(t *testing.T, s *websocket.Source) {
		s.Config.Reply = []websocket.Reply{{When: expect("ping != nil"), Send: said(t, "pong{{ping}}")}}
		c := opened(t, s, "")
		all(t, c)
	})
}

func TestSymbolsAreReadFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "symbols")
	if err := os.WriteFile(path, []byte("# all of them\nBTC-USD\n\n  ETH-USD # the second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := websocket.Config{Symbols: websocket.Symbols{Symbols: []string{"first"}, SymbolsFile: path}, Subscribe: said(t, `{{join(symbols, "/")}}`)}
	talking(t, config, func(c *talk) { c.want("first/BTC-USD/ETH-USD") }, func(t *testing.T, s *websocket.Source) {
		c := opened(t, s, "")
		all(t, c)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err := s.Open(t.Context(), "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Kind != source.EndSubscribe || !strings.Contains(err.Error(), "read symbols_file") {
			t.Errorf("got %v", err)
		}
	})
}

// A provider that refuses a long subscription says why, while we are still at it.
func TestARefusalWhileSubscribingIsTold(t *testing.T) {
	config := websocket.Config{Pace: time.Second, Symbols: websocket.Symbols{Symbols: []string{"a", "b", "c"}, Chunk: 1}, Subscribe: said(t, "{{symbols}}")}
	config.Intake.Classify = []source.Class{{When: expect("error != nil"), Is: "fatal", Why: expression.MustParseTemplate("{{error}}")}}
	talking(t, config, func(c *talk) {
		c.want(`["a"]`)
		c.say(`{"error":"too many symbols"}`)
		c.hear()
	}, func(t *testing.T, s *websocket.Source) {
		_, err := s.Open(t.Context(), "")
		var end *source.EndError
		if !errors.As(err, &end) || end.Kind != source.EndFatal || end.Reason != "too many symbols" {
			t.Errorf("got %v", err)
		}
	})
}

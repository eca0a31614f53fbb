package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

const secret = "hunter2hunter2"

// serve serves h on an address until the test ends.
func serve(t *testing.T, n *pipenet.Network, address string, h http.Handler) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	served, listener := make(chan error, 1), n.Listen(address)
	go func() { served <- provider.Serve(ctx, listener, h) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// open tries to connect, and leaves at once.
func open(t *testing.T, n *pipenet.Network, config websocket.Config, after string) error {
	t.Helper()
	config.Compression = "off"
	s := &websocket.Source{Config: config, Dial: n.DialContext}
	c, err := s.Open(t.Context(), "")
	if after != "" {
		c, err = s.Open(t.Context(), "x")
	}
	if err == nil {
		_ = c.Close()
	}
	return err
}

func redirectTo(where string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there" {
			w.Header().Set("Location", strings.ReplaceAll(where, "QUERY", r.URL.RawQuery))
			w.WriteHeader(http.StatusFound)
			return
		}
		(&provider.Ticker{}).ServeHTTP(w, r)
	})
}

// Headers hold keys: they go to the host of the configuration and to no other.
func TestRedirectsStayOnTheHost(t *testing.T) {
	for _, c := range []struct {
		to       string
		followed bool
	}{
		{"/there", true},
		{"ws://feed:80/there", true},
		{"//feed:80/there", true},
		{"http://other:80/there", false},
		{"http://feed:81/there", false},
		{"http://feed.other:80/there", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := pipenet.New()
			serve(t, n, "feed:80", redirectTo(c.to))
			reached := 0
			for _, other := range []string{"other:80", "feed:81", "feed.other:80"} {
				serve(t, n, other, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					reached++
					w.WriteHeader(http.StatusForbidden)
				}))
			}
			err := open(t, n, websocket.Config{
				URL: expression.MustParseTemplate("ws://feed/"), Headers: map[string]setting.Secret{"X-Api-Key": setting.NewSecret(secret)},
			}, "")
			if (err == nil) != c.followed || reached > 0 {
				t.Errorf("%s: %v, another host was reached %d times", c.to, err, reached)
			}
			time.Sleep(time.Minute)
		})
	}
}

// What cannot be connected to is told without what may be a secret: addresses with their queries, and messages.
func TestErrorsHoldNoSecrets(t *testing.T) {
	message, err := websocket.NewMessage(`{"key":"` + secret + `","from":{{int(cursor)}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url, after string
		subscribe  websocket.Message
		kind       source.EndKind
	}{
		"a host that is not there":          {url: "ws://nobody:80/?token=" + secret, kind: source.EndDial},
		"a message with an expression":      {url: "ws://feed:80/there?token=" + secret, subscribe: message, kind: source.EndSubscribe},
		"an address that is none":           {url: "ws://feed:8{{cursor}}/?token=" + secret, after: "x"},
		"an address with an expression":     {url: "ws://feed:80/?token=" + secret + "&from={{int(cursor)}}"},
		"a redirect that is none":           {url: "ws://feed:80/bad?token=" + secret, kind: source.EndDial},
		"a redirect to another host":        {url: "ws://elsewhere:80/?token=" + secret, kind: source.EndDial},
		"no WebSocket":                      {url: "ws://plain:80/?token=" + secret, kind: source.EndHTTP},
		"TLS where there is none":           {url: "wss://feed:80/?token=" + secret, kind: source.EndDial},
		"a scheme that nobody speaks":       {url: "gopher://feed:80/?token=" + secret, kind: source.EndDial},
		"an address that ends in a control": {url: "ws://feed:80/?token=" + secret + "\x7f"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := pipenet.New()
				serve(t, n, "feed:80", redirectTo("http://[bad?QUERY"))
				serve(t, n, "elsewhere:80", redirectTo("http://other:80/?QUERY"))
				serve(t, n, "plain:80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "hello") }))
				err := open(t, n, websocket.Config{URL: expression.MustParseTemplate(c.url), Subscribe: c.subscribe}, c.after)
				if err == nil || strings.Contains(err.Error(), secret[:7]) || strings.Contains(err.Error(), "token=") {
					t.Fatalf("got %v", err)
				}
				var end *source.EndError
				if errors.As(err, &end); c.kind != "" && (end == nil || end.Kind != c.kind) {
					t.Errorf("got %v, want kind %s", err, c.kind)
				}
				t.Log(err)
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestCheckRepeatsNoSecrets(t *testing.T) {
	for _, url := range []string{"http://h/?token=" + secret, "ws://h:x/?token=" + secret, secret + "://h/", "ws://?token=" + secret, "ws://h/?token=" + secret + "{{int(cursor)}}"} {
		c := websocket.Config{URL: expression.MustParseTemplate(url)}
		if err := c.Check(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		} else {
			t.Log(err)
		}
	}
	for _, text := range []string{secret + "{{", "{{" + secret + "(}}", "a {{ '" + secret + "' | }}", "{{#}}"} {
		if _, err := expression.ParseTemplate(text); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		} else {
			t.Log(err)
		}
	}
	c := websocket.Config{URL: expression.MustParseTemplate("ws://h/"), Ping: time.Millisecond}
	if c.Check() == nil {
		t.Error("a ping each millisecond passes")
	}
}

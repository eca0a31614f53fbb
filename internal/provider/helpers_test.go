package provider_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
)

// client is a network on which provider:80 is served.
type client struct {
	*testing.T
	*pipenet.Network
}

// bubble runs test in virtual time while h is served, and checks that Serve ends everything.
func bubble(t *testing.T, h http.Handler, test func(c client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, cancel := context.WithCancel(t.Context())
		l := n.Listen("provider:80")
		done := make(chan error)
		go func() { done <- provider.Serve(ctx, l, h) }()
		test(client{t, n})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// dial opens a WebSocket connection; the path may have a query.
func (c client) dial(path string) *websocket.Conn {
	c.Helper()
	return dial(c.T, "ws://provider"+path, c.Client())
}

func dial(t *testing.T, url string, with *http.Client) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: with})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

// refused dials and returns the answer of a server that does not upgrade.
func (c client) refused(path string) *http.Response {
	c.Helper()
	conn, resp, err := websocket.Dial(c.Context(), "ws://provider"+path, &websocket.DialOptions{HTTPClient: c.Client()})
	if err == nil {
		conn.CloseNow()
		c.Fatal("the connection was accepted")
	}
	return resp
}

// read returns the next n messages; it fails if there are fewer.
func read(t *testing.T, c *websocket.Conn, n int) []string {
	t.Helper()
	var got []string
	for range n {
		_, data, err := c.Read(t.Context())
		if err != nil {
			t.Fatalf("behind %d messages: %v", len(got), err)
		}
		got = append(got, string(data))
	}
	return got
}

// readAll returns the messages up to the end of the connection, and the error that ended it.
func readAll(t *testing.T, c *websocket.Conn) ([]string, error) {
	t.Helper()
	var got []string
	for {
		_, data, err := c.Read(t.Context())
		if err != nil {
			return got, err
		}
		got = append(got, string(data))
	}
}

// hears reports whether anything arrives within d; afterwards the connection is unusable.
func hears(t *testing.T, c *websocket.Conn, d time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	_, _, err := c.Read(ctx)
	return err == nil
}

// answersPing reports whether a ping is answered within ten seconds; nothing else may be sent meanwhile.
func answersPing(t *testing.T, c *websocket.Conn) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.CloseRead(t.Context()), 10*time.Second)
	defer cancel()
	err := c.Ping(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping: %v", err)
	}
	return err == nil
}

func join(messages []string) string { return strings.Join(messages, " ") }

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

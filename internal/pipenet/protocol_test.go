package pipenet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/pipenet"
)

// bubble runs test in a bubble with a network on which provider:80 serves h.
func bubble(t *testing.T, h http.HandlerFunc, test func(t *testing.T, n *pipenet.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		server := &http.Server{Handler: h}
		l := n.Listen("provider:80")
		done := make(chan error)
		go func() { done <- server.Serve(l) }()
		test(t, n)
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// echo answers each message with itself.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, data, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if err := c.Write(context.Background(), kind, data); err != nil {
			return
		}
	}
}

func dialEcho(t *testing.T, n *pipenet.Network) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://provider/echo", &websocket.DialOptions{HTTPClient: n.Client()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(-1)
	return c
}

func TestHTTPBodiesLargerThanTheBuffer(t *testing.T) {
	mirror := func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.WriteString(w, strings.Repeat("early", 100<<10)) // before anything is read
		io.Copy(w, r.Body)
	}
	bubble(t, mirror, func(t *testing.T, n *pipenet.Network) {
		client := n.Client()
		defer client.CloseIdleConnections()
		for range 3 {
			body := bytes.Repeat([]byte("late"), 4<<10)
			resp, err := client.Post("http://provider/", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || len(got) != 500<<10+len(body) {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
		}
	})
}

func TestVirtualTimePassesWhileAllSidesWait(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		for range 24 {
			time.Sleep(time.Hour)
			io.WriteString(w, "tick\n")
			w.(http.Flusher).Flush()
		}
	}
	bubble(t, slow, func(t *testing.T, n *pipenet.Network) {
		client := n.Client()
		defer client.CloseIdleConnections()
		start := time.Now()
		resp, err := client.Get("http://provider/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || strings.Count(string(got), "tick") != 24 {
			t.Errorf("got %q, %v", got, err)
		}
		if passed := time.Since(start); passed != 24*time.Hour {
			t.Errorf("%v passed, want 24h", passed)
		}
	})
}

func TestWebSocketEchoesLargeMessagesAndPings(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *pipenet.Network) {
		c := dialEcho(t, n)
		sent := make(chan error)
		const messages = 20
		payload := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		go func() {
			var err error
			for range messages {
				err = errors.Join(err, c.Write(t.Context(), websocket.MessageBinary, payload))
			}
			sent <- err
		}()
		for range messages {
			_, got, err := c.Read(t.Context())
			if err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		ctx := c.CloseRead(t.Context())
		if err := c.Ping(ctx); err != nil {
			t.Errorf("ping: %v", err)
		}
	})
}

func TestWebSocketCloseHandshake(t *testing.T) {
	start := make(chan time.Time, 1)
	bubble(t, echo, func(t *testing.T, n *pipenet.Network) {
		c := dialEcho(t, n)
		start <- time.Now()
		if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
			t.Error(err)
		}
		if took := time.Since(<-start); took != 0 {
			t.Errorf("the handshake took %v", took)
		}
		synctest.Wait()
		if open := n.Conns(""); len(open) != 0 {
			t.Errorf("%d connections are open", len(open))
		}
	})
}

func TestWebSocketSeesACut(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *pipenet.Network) {
		c := dialEcho(t, n)
		time.AfterFunc(time.Hour, func() { n.Cut("provider:80") })
		_, _, err := c.Read(t.Context())
		wantError(t, "read", err, syscall.ECONNRESET)
	})
}

func TestWebSocketPingsIntoSilence(t *testing.T) {
	bubble(t, echo, func(t *testing.T, n *pipenet.Network) {
		c := dialEcho(t, n)
		n.Silence("provider:80")
		start := time.Now()
		reading := c.CloseRead(t.Context())
		ctx, cancel := context.WithTimeout(reading, 10*time.Second)
		defer cancel()
		wantError(t, "ping", c.Ping(ctx), context.DeadlineExceeded)
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v, want 10s", waited)
		}
		fresh := dialEcho(t, n)
		if err := fresh.Write(t.Context(), websocket.MessageText, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := fresh.Read(t.Context()); err != nil || string(got) != "new" {
			t.Errorf("a new connection reads %q, %v", got, err)
		}
		fresh.CloseNow()
		c.CloseNow()
		n.Cut("") // the server's end of the silent connection
	})
}

package provider_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
)

const upgrade = "GET / HTTP/1.1\r\nHost: provider\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp, soap\r\n\r\n"

// rawConn is a WebSocket client that has said hello and sees bytes.
type rawConn struct {
	net.Conn
	*bufio.Reader
}

func (c rawConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// openRaw connects over TCP, and sends early right behind the handshake.
func openRaw(t testing.TB, addr string, early ...byte) rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return greet(t, conn, early)
}

func greet(t testing.TB, conn net.Conn, early []byte) rawConn {
	t.Helper()
	if _, err := conn.Write(append([]byte(upgrade), early...)); err != nil {
		t.Fatal(err)
	}
	c := rawConn{conn, bufio.NewReader(conn)}
	resp, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || resp.Header.Get("Sec-WebSocket-Protocol") != "wamp" {
		t.Fatalf("got %v", resp)
	}
	return c
}

// clientFrame frames a short payload as a client does.
func clientFrame(first byte, payload string) []byte {
	mask := []byte{1, 2, 3, 4}
	f := append([]byte{first, 0x80 | byte(len(payload))}, mask...)
	for i, b := range []byte(payload) {
		f = append(f, b^mask[i%4])
	}
	return f
}

func TestClientFramesAreUnderstood(t *testing.T) {
	p := &provider.Replay{}
	bubble(t, p, func(c client) {
		raw, err := c.DialContext(c.Context(), "tcp", "provider:80")
		if err != nil {
			c.Fatal(err)
		}
		var sent []byte
		sent = append(sent, clientFrame(0x81, "unfragmented")...)
		sent = append(sent, clientFrame(0x01, "in ")...)
		sent = append(sent, clientFrame(0x89, "ping")...)
		sent = append(sent, clientFrame(0x80, "two")...)
		sent = append(sent, clientFrame(0x8A, "pong")...)
		sent = append(sent, clientFrame(0x88, "\x03\xe8")...)
		conn := greet(c.T, raw, sent)
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != "\x8a\x04ping\x88\x02\x03\xe8" {
			c.Errorf("the server answers %q, %v", got, err)
		}
		synctest.Wait()
		if m := p.Received(); len(m) != 2 || string(m[0]) != "unfragmented" || string(m[1]) != "in two" {
			c.Errorf("received %q", m)
		}
		expect(c.T, "counts", p.Counts(), provider.Counts{Connections: 1, Received: 2, Pings: 1, Pongs: 1})
		conn.Conn.Close()
	})
}

func TestWhoeverIsNoWebSocketClientIsToldSo(t *testing.T) {
	server := httptest.NewServer(&provider.Blast{})
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(body), "WebSocket") {
		t.Errorf("got %v, %q", resp.Status, body)
	}
}

func TestServeEndsWhenItsListenerDoes(t *testing.T) {
	l := pipenet.New().Listen("provider:80")
	l.Close()
	if err := provider.Serve(t.Context(), l, &provider.Blast{}); err == nil || !strings.Contains(err.Error(), "serve on provider:80") {
		t.Errorf("got %v", err)
	}
}

func TestServeEndsAConnectionWhoseClientTakesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- provider.Serve(ctx, l, &provider.Blast{}) }()
	conn := openRaw(t, l.Addr().String())
	defer conn.Conn.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReplayOverTCPLosesNothingAtACut(t *testing.T) {
	server := httptest.NewServer(&provider.Replay{Session: tenSeconds(), CutEvery: 3, Hold: true})
	defer server.Close()
	var got []string
	for range 3 {
		messages, _ := readAll(t, dial(t, strings.Replace(server.URL, "http", "ws", 1), server.Client()))
		got = append(got, messages...)
	}
	expect(t, "messages", join(got), "1 2 3 4 5 6 7 8 9")
}

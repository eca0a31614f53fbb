package hostile

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/wait"
)

// listen serves what serve does on a random port until the test ends, and returns the address.
func listen(t *testing.T, serve func(ctx context.Context, l net.Listener) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// over serves HTTP.
func over(h http.Handler) server {
	return func(t *testing.T) string {
		return listen(t, func(ctx context.Context, l net.Listener) error { return provider.Serve(ctx, l, h) })
	}
}

// raw serves bytes: play has each connection for itself, until it returns.
func raw(play func(ctx context.Context, c net.Conn)) server {
	return func(t *testing.T) string {
		return listen(t, func(ctx context.Context, l net.Listener) error {
			defer context.AfterFunc(ctx, func() { _ = l.Close() })()
			var all sync.WaitGroup
			defer all.Wait()
			for {
				c, err := l.Accept()
				if err != nil {
					return nil
				}
				all.Go(func() {
					defer c.Close()
					defer context.AfterFunc(ctx, func() { _ = c.Close() })()
					play(ctx, c)
				})
			}
		})
	}
}

// server starts a provider and returns its address.
type server func(t *testing.T) string

// silence keeps a connection until the other side leaves.
func silence(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// drip writes the bytes of a text one by one, and then the last one again and again.
func drip(ctx context.Context, w io.Writer, text string, pause time.Duration) {
	go func() {
		if c, ok := w.(net.Conn); ok {
			silence(c)
			_ = c.Close()
		}
	}()
	for i := 0; ; i++ {
		if _, err := io.WriteString(w, string(text[min(i, len(text)-1)])); err != nil || wait.For(ctx, pause) != nil {
			return
		}
	}
}

// upgraded answers the handshake of a WebSocket and hands over the connection.
func upgraded(play func(ctx context.Context, c net.Conn)) server {
	return raw(func(ctx context.Context, c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		play(ctx, c)
	})
}

// frame is the head of a text frame of a length, from a server.
func frame(length uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{0x81, 127}, length)
}

// texts sends messages over a WebSocket, each made from its number, at once; pause lies between rounds of them.
func texts(perRound int, pause time.Duration, message func(n int) string) server {
	return upgraded(func(ctx context.Context, c net.Conn) {
		go func() {
			silence(c)
			_ = c.Close()
		}()
		for n := 1; ; {
			var out []byte
			for range perRound {
				text := message(n)
				out = append(append(out, frame(uint64(len(text)))...), text...)
				n++
			}
			if _, err := c.Write(out); err != nil || wait.For(ctx, pause) != nil {
				return
			}
		}
	})
}

// events sends Server-Sent Events, each made from its number.
func events(pause time.Duration, text func(n int) string) server {
	return over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 1; ; n++ {
			if _, err := io.WriteString(w, text(n)); err != nil || http.NewResponseController(w).Flush() != nil || wait.For(r.Context(), pause) != nil {
				return
			}
		}
	}))
}

// answer answers every request with what body writes, compressed.
func answer(body func(w io.Writer)) server {
	return over(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		body(z)
		_ = z.Close()
	}))
}

// letters writes so many bytes, which repeat a short text.
func letters(w io.Writer, letter string, n int64) {
	piece := strings.Repeat(letter, 1<<20/len(letter))
	for ; n > 0; n -= int64(len(piece)) {
		if _, err := io.WriteString(w, piece[:min(int64(len(piece)), n)]); err != nil {
			return
		}
	}
}

// broker takes a client of MQTT 5 and lets play send it messages.
func broker(play func(ctx context.Context, c net.Conn)) server {
	return raw(func(ctx context.Context, c net.Conn) {
		r := bufio.NewReader(c)
		for _, say := range []string{"\x20\x03\x00\x00\x00", "\x90\x04\x00\x01\x00\x01"} { // taken, and granted
			if head, err := r.Peek(2); err != nil {
				return
			} else if _, err := r.Discard(2 + int(head[1])); err != nil { // short packets
				return
			}
			_, _ = io.WriteString(c, say)
		}
		go func() {
			silence(c)
			_ = c.Close()
		}()
		play(ctx, c)
	})
}

// published is a message of a topic without acknowledgement.
func published(text string) string {
	body := "\x00\x01t\x00" + text
	return string(binary.AppendUvarint([]byte{0x30}, uint64(len(body)))) + body
}

package source_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// raw upgrades every request and then plays frames as they are. It answers nothing.
func raw(play func(c net.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 §1.3
		answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
		go play(c)
		_, _ = io.Copy(io.Discard, both)
	})
}

func header(size int) []byte {
	return binary.BigEndian.AppendUint64([]byte{0x81, 127}, uint64(size))
}

// A message that takes longer than the answer to a ping may take, and longer than the stall time, arrives: an answer cannot overtake it.
func TestLongMessagesOnSlowLinksArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, pieces = 3 << 20, 64
		message := []byte(`{"id":1,"pad":"` + strings.Repeat("a", size-17) + `"}`)
		r := newRig(t, raw(func(c net.Conn) {
			_, _ = c.Write(header(len(message)))
			for piece := range bytesIn(message, pieces) {
				if _, err := c.Write(piece); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}))
		r.run(func(s *source.Settings, w *websocket.Config) { s.Stall = 20 * time.Second })
		time.Sleep(70 * time.Second)
		status := r.manager.Status()
		if status.Events != 1 || status.Opened != 1 {
			t.Errorf("%d messages over %d connections: %s", status.Events, status.Opened, status.LastEnd)
		}
		time.Sleep(30 * time.Second)
		if status := r.manager.Status(); status.Ends[source.End{Kind: source.EndPing}]+status.Ends[source.End{Kind: source.EndStall}] == 0 {
			t.Errorf("behind it there is nothing, not even an answer: %+v", status)
		}
		r.leave()
		time.Sleep(2 * time.Second) // what is being played has noticed
	})
}

// A message that does not go on is no reason to wait.
func TestMessagesThatDoNotGoOnAreLeft(t *testing.T) {
	for _, c := range []struct {
		kind  source.EndKind
		stall time.Duration
		ping  time.Duration
	}{{source.EndPing, setting.Off, 15 * time.Second}, {source.EndStall, 20 * time.Second, setting.Off}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, raw(func(c net.Conn) {
				_, _ = c.Write(append(header(1000), bytes.Repeat([]byte("a"), 500)...))
			}))
			r.run(func(s *source.Settings, w *websocket.Config) { s.Stall, w.Ping = c.stall, c.ping })
			time.Sleep(30 * time.Second)
			if status := r.manager.Status(); status.Ends[source.End{Kind: c.kind}] == 0 {
				t.Errorf("%s: %+v", c.kind, status)
			}
			r.leave()
		})
	}
}

// bytesIn divides b into so many pieces.
func bytesIn(b []byte, pieces int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := range pieces {
			if !yield(b[len(b)*i/pieces : len(b)*(i+1)/pieces]) {
				return
			}
		}
	}
}

func TestEmptyMessagesAreDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const empty = 100_000
		r := newRig(t, raw(func(c net.Conn) {
			_, _ = c.Write(bytes.Repeat([]byte{0x81, 0}, empty))
			_, _ = c.Write(append([]byte{0x81, 8}, `{"id":1}`...))
		}))
		r.run(func(s *source.Settings, _ *websocket.Config) { s.Stall = setting.Off })
		time.Sleep(9 * time.Second)
		r.leave()
		if ids := r.ids(); len(ids) != 1 || ids[1] != 1 {
			t.Errorf("stored %v", ids)
		}
		if status := r.manager.Status(); status.Empty != empty || status.Events != 1 || r.logs.count("without content") != 1 {
			t.Errorf("%d empty messages counted, %d others, told %d times", status.Empty, status.Events, r.logs.count("without content"))
		}
	})
}

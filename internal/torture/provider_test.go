package torture

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	internalprovider "github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/wait"
)

// event is what the provider sends as its n-th event. It depends on n alone, so that whoever reads one can check every byte.
func event(n int64) (key string, data []byte) {
	h := fnv.New64a()
	fmt.Fprint(h, n)
	sum := h.Sum64()
	key = fmt.Sprint("k", sum%17)
	return key, fmt.Appendf(nil, `{"id":%d,"key":%q,"cursor":%d,"pad":%q}`, n, key, n, strings.Repeat(string(rune('a'+n%26)), int(sum>>8%500)))
}

// feed is a provider of the events 1, 2, 3 …
type feed interface {
	url() string

	// acknowledged returns up to which event the provider knows that all are stored.
	acknowledged() int64

	// finish lets the stream of events end some way behind what was sent, without mischief, and returns the last event.
	finish() int64
}

// pause is a unit of the time between bursts.
const pause = time.Millisecond

// numbers is a provider of the events 1, 2, 3 … over a WebSocket. A connection with ?cursor=n gets the events from n on, n itself again.
// Now and then it sends some events again, and hangs up with or without a goodbye.
type numbers struct {
	address string

	mu       sync.Mutex
	learned  int64 // the largest cursor that a connection presented: everything up to it was acknowledged
	sent     int64 // the largest event that was sent
	last     int64 // nothing behind it is sent, and there is no mischief any more; 0: no end
	hangUps  int
	repeated int
}

func serveNumbers(t testing.TB) *numbers {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &numbers{address: fmt.Sprintf("ws://%s/", l.Addr())}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- internalprovider.Serve(ctx, l, p) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *numbers) url() string { return p.address }

func (p *numbers) acknowledged() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.learned
}

func (p *numbers) finish() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = p.sent + 500
	return p.last
}

// ServeHTTP implements http.Handler.
func (p *numbers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	next := int64(1)
	if text := r.URL.Query().Get("cursor"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			http.Error(w, "cursor", http.StatusBadRequest)
			return
		}
		next = n
		p.mu.Lock()
		p.learned = max(p.learned, n)
		p.mu.Unlock()
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	p.send(c.CloseRead(r.Context()), c, next)
}

// send sends bursts of events with short pauses until the connection ends.
func (p *numbers) send(ctx context.Context, c *websocket.Conn, next int64) {
	for {
		p.mu.Lock()
		last := p.last
		p.mu.Unlock()
		until := next + rand.Int64N(40)
		if last > 0 {
			until = min(until, last+1)
		}
		for ; next < until; next++ {
			_, data := event(next)
			if c.Write(ctx, websocket.MessageText, data) != nil {
				return
			}
		}
		if last == 0 && p.mischief(c, &next) {
			return
		}
		if wait.For(ctx, rand.N(4*pause)) != nil {
			return
		}
	}
}

// mischief notes what was sent, and sometimes goes back or hangs up.
func (p *numbers) mischief(c *websocket.Conn, next *int64) (end bool) {
	p.mu.Lock()
	p.sent = max(p.sent, *next-1)
	dice := rand.IntN(60)
	switch {
	case dice < 2:
		p.hangUps++
	case dice < 10:
		p.repeated++
		*next = max(1, *next-rand.Int64N(60))
	}
	p.mu.Unlock()
	switch dice {
	case 0:
		_ = c.CloseNow()
	case 1:
		_ = c.Close(websocket.StatusServiceRestart, "back in a moment")
	}
	return dice < 2
}

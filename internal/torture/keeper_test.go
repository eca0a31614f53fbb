package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/wait"
)

// ahead is how many messages a keeper sends ahead of what is acknowledged.
const ahead = 100

// keeper is what a provider knows that forgets each of the events 1, 2, 3 … when it is acknowledged. What it has sent and is not acknowledged it sends
// again on the next connection, in order, and only then what follows. Now and then it hangs up.
type keeper struct {
	mu      sync.Mutex
	changed chan struct{} // closed when acked or last has changed
	acked   int64         // every event up to this one is acknowledged, and forgotten
	sent    int64         // the largest event that was sent
	last    int64         // as that of numbers
	hangUps int
	again   int // events that were sent again
	clients int
}

func newKeeper() *keeper { return &keeper{changed: make(chan struct{})} }

// acknowledged returns up to which event all are acknowledged.
func (k *keeper) acknowledged() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.acked
}

func (k *keeper) finish() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = k.sent + 500
	k.signal()
	return k.last
}

// signal wakes whoever waits for a change. The caller holds mu.
func (k *keeper) signal() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// forget forgets an event that is acknowledged. They must be in order.
func (k *keeper) forget(is func(event int64) bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.acked == k.sent || !is(k.acked+1) {
		return fmt.Errorf("another event than %d was acknowledged", k.acked+1)
	}
	k.acked++
	k.signal()
	return nil
}

// enter takes a client, which takes the place of the one before, and returns what tells it from others.
func (k *keeper) enter() (number int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clients++
	return k.clients
}

// wire is a connection of a client.
type wire struct {
	write   func(event int64, again bool) error
	flush   func() error
	goodbye func()
}

// send sends again what is not acknowledged, and then bursts of what follows.
func (k *keeper) send(ctx context.Context, w wire, number int) {
	k.mu.Lock()
	next, known := k.acked+1, k.sent
	k.again += int(known - k.acked)
	k.mu.Unlock()
	for {
		burst := rand.Int64N(40)
		for ; burst > 0 && k.may(ctx, next, w); burst-- {
			k.mu.Lock()
			younger := k.clients != number
			if !younger {
				k.sent = max(k.sent, next)
			}
			k.mu.Unlock()
			if younger {
				return
			}
			if w.write(next, next <= known) != nil {
				return
			}
			next++
		}
		if w.flush() != nil || k.mischief(w) || wait.For(ctx, rand.N(4*pause)) != nil {
			return
		}
	}
}

// may waits until an event may be sent, and reports whether there is one.
func (k *keeper) may(ctx context.Context, event int64, w wire) bool {
	for {
		k.mu.Lock()
		over, full, changed := k.last > 0 && event > k.last, event > k.acked+ahead, k.changed
		k.mu.Unlock()
		switch {
		case over, ctx.Err() != nil, w.flush() != nil:
			return false
		case !full:
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// mischief sometimes hangs up.
func (k *keeper) mischief(w wire) (end bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	dice := rand.IntN(60)
	if k.last > 0 || dice > 1 {
		return false
	}
	k.hangUps++
	if dice == 0 {
		w.goodbye()
	}
	return true
}

// forgetful is a keeper that speaks WebSocket: each message is acknowledged with {"ack":"ID"}.
type forgetful struct {
	*keeper
	t       testing.TB
	address string
}

// acknowledging is the path of a forgetful provider, by which its client is told how to be.
const acknowledging = "/acknowledged"

func serveForgetful(t testing.TB) *forgetful {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forgetful{keeper: newKeeper(), t: t, address: fmt.Sprintf("ws://%s%s", l.Addr(), acknowledging)}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- provider.Serve(ctx, l, f) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *forgetful) url() string { return f.address }

// ServeHTTP implements http.Handler.
func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	ctx, gone := context.WithCancel(r.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		defer gone()
		f.listen(ctx, c)
	})
	f.send(ctx, wire{
		write: func(n int64, _ bool) error {
			_, data := event(n)
			return c.Write(ctx, websocket.MessageText, data)
		},
		flush:   func() error { return nil },
		goodbye: func() { go c.Close(websocket.StatusServiceRestart, "back in a moment") },
	}, f.enter())
	_ = c.CloseNow()
	listening.Wait()
}

func (f *forgetful) listen(ctx context.Context, c *websocket.Conn) {
	for {
		_, text, err := c.Read(ctx)
		if err != nil {
			return
		}
		var said struct{ Ack string }
		err = json.Unmarshal(text, &said)
		if err == nil {
			err = f.forget(func(n int64) bool { return said.Ack == strconv.FormatInt(n, 10) })
		}
		if err != nil {
			f.t.Errorf("the client says %s: %v", text, err)
			return
		}
	}
}

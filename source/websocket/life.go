package websocket

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/leatstream/leat/internal/wait"
)

// pings are those that we have sent.
type pings struct {
	mu   sync.Mutex
	n    int                  // sent so far
	sent map[string]time.Time // those that are not answered, by payload
}

// next notes that one is sent.
func (p *pings) next(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	p.sent[strconv.Itoa(p.n)] = now // the payloads that the library chooses
}

// answered returns when the one with a payload was sent, and forgets it and those before it.
func (p *pings) answered(payload string) (sent time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, ok = p.sent[payload]
	if ok {
		maps.DeleteFunc(p.sent, func(_ string, at time.Time) bool { return !at.After(sent) })
	}
	return sent, ok
}

// ping sends pings, the first one at once: its answer proves that the provider has taken us up. It ends the connection when one is not
// answered, unless something else was read meanwhile, which the answer has to wait for, or we were too slow to read it.
func (c *conn) ping(ctx context.Context) {
	for {
		if c.pace.wait(ctx) != nil {
			return
		}
		sent := time.Now()
		c.pings.next(sent)
		limited, cancel := context.WithTimeout(ctx, c.config.PongWait)
		err := c.ws.Ping(limited)
		late := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
			if wait.For(ctx, c.config.Ping) != nil {
				return
			}
		case ctx.Err() != nil || !late:
			return // the connection has ended, and whoever reads it knows why
		case !c.Moving(sent):
			c.dead.Store(true)
			_ = c.raw.Close()
			return
		}
	}
}

// pinged takes a ping of the provider. It is answered at once, whatever the limits are, and counts.
func (c *conn) pinged(context.Context, []byte) bool {
	c.pace.take(time.Now())
	return true
}

// pong takes the answer to a ping, in its place between the messages.
func (c *conn) pong(_ context.Context, payload []byte) {
	if sent, ok := c.pings.answered(string(payload)); ok {
		c.Answered(sent)
	}
}

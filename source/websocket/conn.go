package websocket

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// closeTimeout bounds the goodbye.
const closeTimeout = time.Second

// conn implements source.Conn. One goroutine reads ahead while the caller works, another one pings.
type conn struct {
	*source.Feed
	ws      *websocket.Conn
	raw     net.Conn // below ws, also below TLS: its end is the end of everything, at once
	config  *Config
	most    int64              // bytes of a message that is read past
	stop    context.CancelFunc // ends both goroutines
	done    sync.WaitGroup
	dead    atomic.Bool // a ping was not answered
	closing atomic.Bool
	pings   pings

	asked atomic.Int64   // when the provider's own ping was sent that is not answered, in Unix nanoseconds; 0: there is none
	vars  map[string]any // of templates; fixed once the connection is open

	// Owned by the reading goroutine; until that begins, by Open.
	chunk   source.Chunk
	arrived time.Time // when a part of a message was last read
	intake  *source.Intaking
	look    expression.Look
	early   []early
	heard   int // bytes of early
}

// newConn returns a conn that is still to be started. Until then it must only be told the answers to pings.
func newConn(config *Config, most int64) *conn {
	settle := time.Duration(0)
	if config.Ping == setting.Off {
		settle = config.PongWait
	}
	return &conn{Feed: source.NewFeed(settle), config: config, most: most, pings: pings{sent: map[string]time.Time{}}}
}

// start begins to read, and to send the provider's own ping so often; 0 is never.
func (c *conn) start(every time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.done.Go(func() { c.receive(ctx) })
	if c.config.Ping != setting.Off {
		c.done.Go(func() { c.ping(ctx) })
	}
	if every > 0 {
		c.done.Go(func() { c.pingMessage(ctx, every) })
	}
}

// Close implements source.Conn. It says goodbye and waits a second at most for the answer. What has been read is still
// handed out by Next.
func (c *conn) Close() error {
	c.Tape.Left()
	if c.closing.CompareAndSwap(false, true) && c.Ended() == nil {
		c.goodbye(websocket.StatusNormalClosure)
	}
	c.Abort()
	return nil
}

func (c *conn) goodbye(code websocket.StatusCode) {
	t := time.AfterFunc(closeTimeout, func() { _ = c.raw.Close() })
	_ = c.ws.Close(code, "")
	t.Stop()
}

// Abort implements source.Aborter.
func (c *conn) Abort() {
	c.Tape.Left()
	_ = c.raw.Close() // CloseNow waits for a goodbye that has begun
	_ = c.ws.CloseNow()
	c.stop()
	c.done.Wait()
}

// why turns an error of the library into the reason of the end.
func (c *conn) why(err error) error {
	var closed websocket.CloseError
	var end *source.EndError
	switch {
	case errors.As(err, &end):
		return end
	case errors.As(err, &closed):
		return &source.EndError{Kind: source.EndClose, Code: int(closed.Code), Reason: source.Clean(closed.Reason)}
	case c.dead.Load():
		return &source.EndError{Kind: source.EndPing, Reason: "no answer to a ping within " + setting.FormatDuration(c.config.PongWait)}
	}
	return &source.EndError{Kind: source.EndRead, Err: err}
}

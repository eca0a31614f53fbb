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

const (
	closeTimeout = time.Second     // bounds the goodbye
	drainTimeout = 5 * time.Second // bounds what is waited for before it: that what has been read is durable and acknowledged
)

// conn implements source.Conn. One goroutine reads ahead while the caller works, another one pings.
type conn struct {
	*source.Feed
	ws      *websocket.Conn
	raw     net.Conn // below ws, also below TLS: its end is the end of everything, at once
	config  *Config
	most    int64              // bytes of a message that is read past
	stop    context.CancelFunc // ends all goroutines
	done    sync.WaitGroup
	dead    atomic.Bool // a ping was not answered
	closing atomic.Bool
	pings   pings
	asked   atomic.Int64 // when the provider's own ping was sent that is not answered, in Unix nanoseconds; 0: there is none
	vars    variables
	pace    pacer
	acks    *acks // nil: nothing is acknowledged
	resumed bool  // it was asked to go on with a session

	// Owned by the reading goroutine; until that begins, by Open.
	chunk   source.Chunk
	arrived time.Time // when a part of a message was last read
	intake  *source.Intaking
	look    expression.Look
	session *tracker // nil: a session ends with its connection
	early   []parcel
	heard   int         // bytes of early
	old     *time.Timer // tells that it is to be replaced; nil: nobody knows when
}

// newConn returns a conn that is still to be started. Until then it must only be told the answers to pings.
func newConn(config *Config, most int64) *conn {
	settle := time.Duration(0)
	if config.Ping == setting.Off {
		settle = config.PongWait
	}
	c := &conn{Feed: source.NewFeed(settle), config: config, most: most, pings: pings{sent: map[string]time.Time{}}}
	c.pace.limit(config.Limits)
	if config.Ack != nil {
		c.acks = &acks{drained: make(chan struct{})}
	}
	if config.Session != nil {
		c.session = &tracker{Session: config.Session}
	}
	c.Opening()
	return c
}

// start begins to read, and to send the provider's own ping so often; 0 is never.
func (c *conn) start(every time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.age()
	c.done.Go(func() { c.receive(ctx) })
	if c.config.Ping != setting.Off {
		c.done.Go(func() { c.ping(ctx) })
	}
	if every > 0 {
		c.done.Go(func() { c.pingMessage(ctx, every) })
	}
}

// Close implements source.Conn. It says goodbye and waits a second at most for the answer. What has been read is still
// handed out by Next. Where messages are acknowledged it waits before that, for five seconds at most, until Next has been called behind all that was
// read.
func (c *conn) Close() error {
	if c.closing.CompareAndSwap(false, true) && c.Ended() == nil {
		c.drain()
		c.Tape.Left()
		c.goodbye(websocket.StatusCode(c.config.CloseCode))
	}
	c.Abort()
	return nil
}

// drain waits until all is acknowledged that was read, and takes nothing more that is to be.
func (c *conn) drain() {
	if c.acks == nil {
		return
	}
	c.acks.leave()
	t := time.NewTimer(drainTimeout)
	defer t.Stop()
	select {
	case <-c.acks.drained:
	case <-t.C:
	}
}

// Continues implements source.Continuer.
func (c *conn) Continues() (does, known bool) { return c.resumed, c.session != nil }

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
	if c.old != nil {
		c.old.Stop()
	}
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

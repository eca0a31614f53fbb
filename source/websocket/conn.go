package websocket

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

const (
	// maxBuffered is how many bytes of messages are held for the caller of Next, each with eventSize beside its own. Behind that the
	// provider has to wait. It is as much as one commit of the default size takes: with less, reading would
	// stand still in each.
	maxBuffered = 2 << 20

	// eventSize is what a message takes beside its bytes.
	eventSize = int(unsafe.Sizeof(leat.Event{}))

	// closeTimeout bounds the goodbye.
	closeTimeout = time.Second
)

// conn implements source.Conn. One goroutine reads ahead while the caller works, another one pings.
type conn struct {
	ws      *websocket.Conn
	raw     net.Conn // below ws, also below TLS: its end is the end of everything, at once
	config  *Config
	most    int64              // bytes of a message that is read past
	stop    context.CancelFunc // ends both goroutines
	done    sync.WaitGroup
	over    chan struct{} // closed when err is set
	dead    atomic.Bool   // a ping was not answered
	closing atomic.Bool

	// The reading goroutine writes them.
	chunk   []byte       // what is handed out of it is never written again
	arrived time.Time    // when a part of a message was last read
	read    atomic.Int64 // the same for the others, in Unix nanoseconds
	inside  atomic.Bool  // a message

	mu      sync.Mutex
	ready   []leat.Event // read and not yet handed out
	spare   []leat.Event // for the next ready
	bytes   int          // of ready
	skip    *source.SkipError
	err     error         // why reading ended
	changed chan struct{} // buffered by one: something to hand out
	room    chan struct{} // buffered by one: something was handed out
	idle    bool          // Next was called when there was nothing to hand out: what was, is done with
	held    bool          // reading waits for room: no pong can be read
	freed   time.Time     // when it last stopped waiting
	life    life
}

// start begins to read.
func (c *conn) start() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop, c.over = stop, make(chan struct{})
	c.changed, c.room = make(chan struct{}, 1), make(chan struct{}, 1)
	c.life.sent = map[string]time.Time{}
	c.ws.SetReadLimit(-1) // we count ourselves: its own limit would end the connection
	c.done.Go(func() { c.receive(ctx) })
	if c.config.Ping != setting.Off {
		c.done.Go(func() { c.ping(ctx) })
	}
}

// Next implements source.Conn.
func (c *conn) Next(ctx context.Context) ([]leat.Event, error) {
	for {
		events, err := c.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what is ready: events first, then a message that was left out, then the end.
func (c *conn) take() ([]leat.Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.ready
	c.idle = false
	switch {
	case len(events) > 0:
		c.ready, c.spare, c.bytes = c.spare[:0], events, 0
		c.life.signs.Data = c.life.event
	case c.skip != nil:
		skip := c.skip
		c.skip = nil
		c.life.signs.Data = c.life.skip
		signal(c.room)
		return nil, skip
	case c.err != nil:
		if !c.life.end.IsZero() {
			c.life.signs.Data = c.life.end
		}
		return nil, c.err
	default:
		c.idle = true
	}
	signal(c.room)
	return events, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Wait implements source.Watched.
func (c *conn) Wait(ctx context.Context) error {
	select {
	case <-c.over:
		return c.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements source.Conn. It says goodbye and waits a second at most for the answer. What has been read is still
// handed out by Next.
func (c *conn) Close() error {
	if c.closing.CompareAndSwap(false, true) && c.ended() == nil {
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
	_ = c.raw.Close() // CloseNow waits for a goodbye that has begun
	_ = c.ws.CloseNow()
	c.stop()
	c.done.Wait()
}

func (c *conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = c.why(err)
	var end *source.EndError
	if errors.As(c.err, &end) && end.Kind == source.EndClose && !c.life.signs.First.IsZero() {
		c.life.end = c.life.proves(time.Now())
	}
	close(c.over)
	signal(c.changed)
}

// why turns an error of the library into the reason of the end.
func (c *conn) why(err error) error {
	var closed websocket.CloseError
	var end *source.EndError
	switch {
	case errors.As(err, &end):
		return end
	case errors.As(err, &closed):
		return &source.EndError{Kind: source.EndClose, Code: int(closed.Code), Reason: clean(closed.Reason)}
	case c.dead.Load():
		return &source.EndError{Kind: source.EndPing, Reason: "no answer to a ping within " + setting.FormatDuration(c.config.PongWait)}
	}
	return &source.EndError{Kind: source.EndRead, Err: err}
}

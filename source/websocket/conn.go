package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
)

const (
	// maxBuffered is how many bytes of messages are held for the caller of Next, each with eventSize beside its own. Behind that the
	// provider has to wait. It is as much as one commit of the default size takes: with less, reading would
	// stand still in each.
	maxBuffered = 2 << 20

	// eventSize is what a message takes beside its bytes, so that empty ones are bounded too.
	eventSize = int(unsafe.Sizeof(leat.Event{}))

	// chunkSize is the size of the buffers that messages are read into.
	chunkSize = 256 << 10

	// maxDiscarded is how many bytes of a message that is too large are read past before the connection is given up.
	maxDiscarded = 1 << 30

	// closeTimeout bounds the goodbye.
	closeTimeout = time.Second
)

// conn implements source.Conn. One goroutine reads ahead while the caller works, another one pings.
type conn struct {
	ws      *websocket.Conn
	config  *Config
	stop    context.CancelFunc // ends both goroutines
	done    sync.WaitGroup
	alive   atomic.Int64 // Unix nanoseconds of the last pong; 0: none
	dead    atomic.Bool  // a ping was not answered
	closing atomic.Bool

	chunk []byte // owned by the reading goroutine; what is handed out is never written again

	mu      sync.Mutex
	ready   []leat.Event // read and not yet handed out
	spare   []leat.Event // for the next ready
	bytes   int          // of ready
	skip    *source.SkipError
	err     error         // why reading ended
	changed chan struct{} // buffered by one: something to hand out
	room    chan struct{} // buffered by one: something was handed out
	held    bool          // reading waits for room: no pong can be read
	freed   time.Time     // when it last stopped waiting
}

func newConn(ws *websocket.Conn, config *Config) *conn {
	ctx, stop := context.WithCancel(context.Background())
	c := &conn{ws: ws, config: config, stop: stop, changed: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	ws.SetReadLimit(-1) // we count ourselves: its own limit would end the connection
	c.done.Go(func() { c.read(ctx) })
	if config.Ping != setting.Off {
		c.done.Go(func() { c.ping(ctx) })
	}
	return c
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
	switch {
	case len(events) > 0:
		c.ready, c.spare, c.bytes = c.spare[:0], events, 0
	case c.skip != nil:
		skip := c.skip
		c.skip = nil
		signal(c.room)
		return nil, skip
	case c.err != nil:
		return nil, c.err
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

// Alive implements source.Alive.
func (c *conn) Alive() time.Time {
	if nanos := c.alive.Load(); nanos != 0 {
		return time.Unix(0, nanos)
	}
	return time.Time{}
}

// Close implements source.Conn. It says goodbye and waits a second at most for the answer. What has been read is still
// handed out by Next.
func (c *conn) Close() error {
	if c.closing.CompareAndSwap(false, true) && c.ended() == nil {
		t := time.AfterFunc(closeTimeout, func() { _ = c.ws.CloseNow() })
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
		t.Stop()
	}
	c.Abort()
	return nil
}

// Abort implements source.Aborter.
func (c *conn) Abort() {
	_ = c.ws.CloseNow()
	c.stop()
	c.done.Wait()
}

func (c *conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// read reads messages until the connection ends.
func (c *conn) read(ctx context.Context) {
	for {
		data, skip, err := c.message()
		switch {
		case err != nil:
			c.end(err)
			return
		case skip != nil:
			err = c.offerSkip(ctx, skip)
		default:
			err = c.offer(ctx, data)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// offer adds a message to what is ready, once there is room.
func (c *conn) offer(ctx context.Context, data []byte) error {
	c.mu.Lock()
	for c.bytes >= maxBuffered {
		if err := c.wait(ctx); err != nil {
			c.mu.Unlock()
			return err
		}
	}
	c.ready = append(c.ready, leat.Event{Data: data})
	c.bytes += len(data) + eventSize
	if len(c.ready) == 1 {
		signal(c.changed)
	}
	c.mu.Unlock()
	return nil
}

// offerSkip tells of a message that was left out, in its place between the others.
func (c *conn) offerSkip(ctx context.Context, skip *source.SkipError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skip = skip
	signal(c.changed)
	for c.skip != nil {
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait waits until something was handed out. The caller holds mu, which is released meanwhile.
func (c *conn) wait(ctx context.Context) error {
	c.held = true
	c.mu.Unlock()
	var err error
	select {
	case <-c.room:
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	c.held, c.freed = false, time.Now()
	return err
}

func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = c.why(err)
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

// message reads one message into the chunk. One that is too large it reads past.
func (c *conn) message() (data []byte, skip *source.SkipError, err error) {
	_, r, err := c.ws.Reader(context.Background()) // CloseNow ends it
	if err != nil {
		return nil, nil, err
	}
	limit := int(c.config.MaxMessage)
	start := len(c.chunk)
	for {
		if len(c.chunk) == cap(c.chunk) {
			c.grow(&start)
		}
		n, err := r.Read(c.chunk[len(c.chunk):cap(c.chunk)])
		c.chunk = c.chunk[:len(c.chunk)+n]
		size := len(c.chunk) - start
		switch {
		case size > limit:
			c.chunk = nil
			skip, err := c.discard(r, int64(size))
			return nil, skip, err
		case errors.Is(err, io.EOF):
			return c.chunk[start:len(c.chunk):len(c.chunk)], nil, nil
		case err != nil:
			return nil, nil, err
		}
	}
}

// grow moves the beginning of a message into a new chunk.
func (c *conn) grow(start *int) {
	begun := c.chunk[*start:]
	c.chunk = append(make([]byte, 0, max(chunkSize, 2*len(begun))), begun...)
	*start = 0
}

// discard reads past the rest of a message, up to a bound.
func (c *conn) discard(r io.Reader, size int64) (*source.SkipError, error) {
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxDiscarded))
	size += n
	if err == nil && n == maxDiscarded {
		_ = c.ws.Close(websocket.StatusMessageTooBig, "")
		err = &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("a message of more than %d bytes", size)}
	}
	if err != nil {
		return nil, err
	}
	return &source.SkipError{Reason: "too_large", Bytes: size, Detail: "the limit is " + c.config.MaxMessage.String()}, nil
}

// ping sends pings, the first one at once: its answer proves that the provider has taken us up. It ends the connection when one is not
// answered, unless we were too slow to read the answer.
func (c *conn) ping(ctx context.Context) {
	for {
		sent := time.Now()
		limited, cancel := context.WithTimeout(ctx, c.config.PongWait)
		err := c.ws.Ping(limited)
		late := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
			c.alive.Store(time.Now().UnixNano())
		case ctx.Err() != nil || !late:
			return // the connection has ended, and whoever reads it knows why
		case !c.behind(sent):
			c.dead.Store(true)
			_ = c.ws.CloseNow()
			return
		}
		if wait.For(ctx, c.config.Ping) != nil {
			return
		}
	}
}

// behind reports whether reading had to wait for the caller of Next since a ping was sent.
func (c *conn) behind(sent time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held || c.freed.After(sent)
}

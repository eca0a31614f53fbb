package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
)

const (
	// chunkSize is the size of the buffers that messages are read into.
	chunkSize = 256 << 10

	// readSize is how much is read at once, so that the progress of a long message can be seen.
	readSize = 16 << 10

	// maxDiscarded is how many bytes of a message that is too large are read past before the connection is given up.
	maxDiscarded = 1 << 30
)

// receive reads messages until the connection ends.
func (c *conn) receive(ctx context.Context) {
	for {
		data, skip, err := c.message()
		switch {
		case skip != nil:
			if late := c.offerSkip(ctx, skip); err == nil {
				err = late
			} else {
				c.goodbye(websocket.StatusMessageTooBig)
			}
		case err == nil:
			err = c.offer(ctx, data)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// message reads one message into the chunk. One that is too large it reads past; with an error beside it, it was so large that
// the connection is given up.
func (c *conn) message() (data []byte, skip *source.SkipError, err error) {
	_, body, err := c.ws.Reader(context.Background()) // the end of raw ends it
	if err != nil {
		return nil, nil, err
	}
	r := progress{body, c}
	c.inside.Store(true)
	defer c.inside.Store(false)
	limit := int(c.config.MaxMessage)
	start := len(c.chunk)
	for {
		if len(c.chunk) == cap(c.chunk) {
			c.grow(&start)
		}
		n, err := r.Read(c.chunk[len(c.chunk):min(cap(c.chunk), len(c.chunk)+readSize)])
		c.chunk = c.chunk[:len(c.chunk)+n]
		size := len(c.chunk) - start
		switch {
		case size > limit:
			c.chunk = nil
			skip, err := c.discard(r, int64(size))
			return nil, skip, err
		case errors.Is(err, io.EOF):
			data = c.chunk[start:len(c.chunk):len(c.chunk)]
			if cap(c.chunk) > chunkSize {
				c.chunk = nil // a small message behind it must not keep it
			}
			return data, nil, nil
		case err != nil:
			return nil, nil, err
		}
	}
}

// progress notes when something was read.
type progress struct {
	io.Reader
	c *conn
}

// Read implements io.Reader.
func (p progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.c.arrived = time.Now()
		p.c.read.Store(p.c.arrived.UnixNano())
	}
	return n, err
}

// grow moves the beginning of a message into a new chunk.
func (c *conn) grow(start *int) {
	begun := c.chunk[*start:]
	c.chunk = append(make([]byte, 0, max(chunkSize, 2*len(begun))), begun...)
	*start = 0
}

// discard reads past the rest of a message, up to a bound.
func (c *conn) discard(r io.Reader, size int64) (*source.SkipError, error) {
	n, err := io.Copy(io.Discard, io.LimitReader(r, c.most))
	if err != nil {
		return nil, err
	}
	size += n
	if n == c.most {
		err = &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("a message of more than %d bytes", c.most)}
	}
	return &source.SkipError{Reason: "too_large", Bytes: size, Detail: "the limit is " + c.config.MaxMessage.String()}, err
}

// offer adds a message to what is ready, once there is room.
func (c *conn) offer(ctx context.Context, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(data) == 0 {
		c.life.signs.Empty++
		return nil
	}
	for c.bytes >= maxBuffered {
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
	c.life.event = c.heard(c.arrived)
	c.ready = append(c.ready, leat.Event{Data: data})
	c.bytes += len(data) + eventSize
	if len(c.ready) == 1 {
		signal(c.changed)
	}
	return nil
}

// offerSkip tells of a message that was left out, in its place between the others.
func (c *conn) offerSkip(ctx context.Context, skip *source.SkipError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skip, c.life.skip = skip, c.heard(c.arrived)
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
	c.life.behind(time.Now())
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

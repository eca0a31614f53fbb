package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/source"
)

const (
	// chunkSize is the size of the memory that messages are read into.
	chunkSize = source.ChunkSize

	// readSize is how much is read at once, so that the progress of a long message can be seen.
	readSize = 16 << 10

	// maxDiscarded is how many bytes of a message that is too large are read past before the connection is given up.
	maxDiscarded = 1 << 30
)

// receive reads messages until the connection ends.
func (c *conn) receive(ctx context.Context) {
	defer c.intake.Close()
	err := c.catchUp(ctx)
	for err == nil {
		err = c.next(ctx)
	}
	c.End(c.why(err))
	if c.acks != nil { // nothing more can be said
		c.acks.over()
	}
}

// next reads a message and does what is to be done about it.
func (c *conn) next(ctx context.Context) error {
	data, skip, err := c.message()
	switch {
	case skip != nil && err != nil:
		if late := c.hand(ctx, &parcel{arrived: c.arrived, skip: skip}); late != nil {
			return late
		}
		c.goodbye(websocket.StatusMessageTooBig)
		return err
	case skip != nil:
		return c.hand(ctx, &parcel{arrived: c.arrived, skip: skip})
	case err != nil:
		return err
	case len(data) == 0:
		c.Empty()
		return nil
	}
	p, err := c.take(data)
	if err == nil {
		err = c.hand(ctx, &p)
	}
	if err == nil && p.message != nil {
		err = c.answer(ctx)
	}
	return err
}

// message reads one message into the chunk. One that is too large it reads past; with an error beside it, it was so large that
// the connection is given up.
func (c *conn) message() (data []byte, skip *source.SkipError, err error) {
	kind, body, err := c.ws.Reader(context.Background()) // the end of raw ends it
	if err != nil {
		return nil, nil, err
	}
	r := progress{body, c}
	c.Inside(true)
	defer c.Inside(false)
	limit := int(c.config.MaxMessage)
	start := len(c.chunk)
	for {
		n, err := r.Read(c.chunk.Room(&start, readSize))
		c.chunk = c.chunk[:len(c.chunk)+n]
		size := len(c.chunk) - start
		switch {
		case size > limit:
			c.chunk = nil
			skip, err := c.discard(r, int64(size))
			if skip != nil {
				c.Tape.Skipped(skip)
			}
			return nil, skip, err
		case errors.Is(err, io.EOF):
			data := c.chunk.Cut(start)
			if c.Tape != nil {
				c.Tape.In(source.TapeEntry{Time: c.arrived, Data: data, Binary: kind == websocket.MessageBinary})
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
		p.c.Received(p.c.arrived)
	}
	return n, err
}

// discard reads past the rest of a message, up to a bound.
func (c *conn) discard(r io.Reader, size int64) (*source.SkipError, error) {
	n, err := io.Copy(io.Discard, io.LimitReader(r, c.most))
	size += n
	if err == nil && n == c.most {
		err = &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("a message of more than %d bytes", c.most)}
	}
	return &source.SkipError{Reason: "too_large", Bytes: size, Detail: "the limit is " + c.config.MaxMessage.String()}, err
}

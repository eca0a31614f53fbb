package provider

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// errSilent is what a half-open connection answers to whoever wants to send.
var errSilent = errors.New("the connection is half-open")

const (
	cutGrace   = time.Second     // how long a cut connection waits for the client to leave
	closeGrace = 5 * time.Second // how long a close frame waits for its answer
)

// maxHeard is how many messages of a client wait for whoever expects them.
const maxHeard = 256

// conn is the server's end of a WebSocket connection. One goroutine plays, another reads.
type conn struct {
	raw     net.Conn
	reader  *bufio.Reader
	clients *Clients
	number  int64 // 1 for the first connection of its handler

	// turn is held by whoever writes. It is a channel and no mutex because a write may wait for
	// the client, and in a bubble waiting for a mutex stops the time.
	turn    chan struct{}
	scratch []byte // owned by the holder of turn

	heard chan []byte // what the client says; what nobody takes is dropped

	silent  atomic.Bool // half-open: nothing is sent, pings are not answered
	leaving atomic.Bool // a close frame is sent
}

func newConn(clients *Clients, raw net.Conn, reader *bufio.Reader) *conn {
	return &conn{raw: raw, reader: reader, clients: clients, turn: make(chan struct{}, 1), heard: make(chan []byte, maxHeard)}
}

// send writes one frame. It waits for the client to take it.
func (c *conn) send(opcode byte, payload []byte) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.scratch = appendFrame(c.scratch[:0], opcode, payload)
	return c.put(c.scratch, 1)
}

// write writes bytes that are framed already and contain so many messages.
func (c *conn) write(framed []byte, messages int64) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	return c.put(framed, messages)
}

// control writes a control frame, which counts as no message.
func (c *conn) control(opcode byte, payload []byte) error {
	return c.write(appendFrame(nil, opcode, payload), 0)
}

func (c *conn) put(framed []byte, messages int64) error {
	if c.silent.Load() {
		return errSilent
	}
	if _, err := c.raw.Write(framed); err != nil {
		return err
	}
	c.clients.count(func(n *Counts) { n.Sent += messages })
	return nil
}

// wait returns nil at the time t, earlier with the error of ctx.
func (c *conn) wait(ctx context.Context, t time.Time) error { return waitUntil(ctx, t) }

// drip writes framed bytes in small pieces with a pause between them. Nothing comes between the pieces.
func (c *conn) drip(ctx context.Context, framed []byte, pause time.Duration) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	for piece := range slices.Chunk(framed, dripSize) {
		if err := c.put(piece, 0); err != nil {
			return err
		}
		if err := c.wait(ctx, time.Now().Add(pause)); err != nil {
			return err
		}
	}
	c.clients.count(func(n *Counts) { n.Sent++ })
	return nil
}

// dripSize is how many bytes a drop has.
const dripSize = 16

// idle keeps the connection open, with pings answered, until the client leaves or ctx ends.
func (c *conn) idle(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// stall makes the connection half-open.
func (c *conn) stall() error {
	c.silent.Store(true)
	return errSilent
}

// close says goodbye with a close frame, of code 1000 if code is 0, and waits a little for the answer.
func (c *conn) close(ctx context.Context, code int, reason string) error {
	if code == 0 {
		code = 1000
	}
	c.leaving.Store(true)
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	if err := c.control(opClose, append(payload, reason[:min(len(reason), 123)]...)); err != nil {
		return err
	}
	return c.wait(ctx, time.Now().Add(closeGrace))
}

// cut ends the connection without a close frame. What was sent before arrives: this
// end stops to send first and closes when the client has left, since closing with
// unread bytes would be a reset.
func (c *conn) cut(ctx context.Context) error {
	c.silent.Store(true)
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok {
		return c.raw.Close()
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	return c.wait(ctx, time.Now().Add(cutGrace))
}

// reset ends the connection so that the client reads an error and may lose what was sent.
func (c *conn) reset() error {
	if l, ok := c.raw.(interface{ SetLinger(sec int) error }); ok {
		if err := l.SetLinger(0); err != nil {
			return err
		}
	}
	return c.raw.Close()
}

// read reads until the connection ends, counts, and answers pings and the close frame.
func (c *conn) read() {
	var message []byte
	for {
		f, err := readFrame(c.reader)
		if err != nil {
			return
		}
		switch {
		case f.opcode == opClose:
			if !c.leaving.Load() {
				_ = c.control(opClose, f.payload) // the client may have left
			}
			if !c.silent.Load() {
				return
			}
		case f.opcode == opPing:
			c.clients.count(func(n *Counts) { n.Pings++ })
			_ = c.control(opPong, f.payload) // an error comes again from readFrame
		case f.opcode == opPong:
			c.clients.count(func(n *Counts) { n.Pongs++ })
		default:
			message = append(message, f.payload[:min(len(f.payload), keepBytes-len(message))]...)
			if f.fin {
				c.clients.hear(message)
				select {
				case c.heard <- message:
				default:
				}
				message = nil
			}
		}
	}
}

func waitUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

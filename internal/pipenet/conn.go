package pipenet

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one end of a connection. It behaves as a *net.TCPConn does, with two differences: a Write
// after the other end has closed fails at once (EPIPE), where the first one on TCP may
// succeed, and closing never takes back what was written, whether or not everything was read.
type Conn struct {
	link          *link
	in, out       *flow
	local, remote address
	closed        atomic.Bool
	abort         atomic.Bool // SetLinger(0): Close is Cut
}

// link is what the two ends of a connection share.
type link struct {
	network  *Network
	client   *Conn
	up, down *flow // from and to the client

	mu   sync.Mutex
	open int // ends not closed
}

// Cut breaks the connection off, as a reset does: what has not been read is lost, and from now on both
// ends read ECONNRESET and write EPIPE. It may be called on either end.
func (c *Conn) Cut() {
	c.in.cut()
	c.out.cut()
	c.link.network.forget(c.link)
}

// Silence makes the connection half-open, as a lost cable does: no Read on either
// end returns any more but by its deadline, Close or Cut; a Write succeeds until
// the buffer is full and then waits. Neither end learns that the other has closed.
func (c *Conn) Silence() {
	c.in.silence()
	c.out.silence()
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Write implements net.Conn. It returns once the buffer has taken all of p.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close implements net.Conn. The other end reads what was written before, then io.EOF.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.wrap("close", net.ErrClosed)
	}
	if c.abort.Load() {
		c.Cut()
	}
	c.out.finish()
	c.in.abandon()
	c.link.mu.Lock()
	c.link.open--
	over := c.link.open == 0
	c.link.mu.Unlock()
	if over {
		c.link.network.forget(c.link)
	}
	return nil
}

// CloseWrite ends what this end sends: the other end reads io.EOF behind it. Reading goes on.
func (c *Conn) CloseWrite() error {
	c.out.finish()
	return nil
}

// SetLinger makes Close behave as Cut if sec is 0, as the method of *net.TCPConn does.
func (c *Conn) SetLinger(sec int) error {
	c.abort.Store(sec == 0)
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.closed.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.closed.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "pipe", Source: c.local, Addr: c.remote, Err: err}
}

package pipenet

import (
	"net"
	"sync"
)

// listener queues the server ends of dialed connections until they are accepted.
type listener struct {
	network *Network
	addr    address

	mu      sync.Mutex
	changed sync.Cond // of queue and closed
	queue   []*Conn
	closed  bool
}

func newListener(n *Network, addr string) *listener {
	l := &listener{network: n, addr: address(addr)}
	l.changed.L = &l.mu
	return l
}

func (l *listener) arrive(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, c)
	l.changed.Signal()
	return true
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.changed.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "pipe", Addr: l.addr, Err: net.ErrClosed}
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

// Close implements net.Listener. Connections that nobody has accepted are cut.
func (l *listener) Close() error {
	l.mu.Lock()
	again, waiting := l.closed, l.queue
	l.closed, l.queue = true, nil
	l.changed.Broadcast()
	l.mu.Unlock()
	if again {
		return &net.OpError{Op: "close", Net: "pipe", Addr: l.addr, Err: net.ErrClosed}
	}
	l.network.forgetListener(l)
	for _, c := range waiting {
		c.Cut()
	}
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }

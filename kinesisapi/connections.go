package kinesisapi

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// maxConnections is how many connections are open at a time. More wait in the queue of the system until one ends.
const maxConnections = 10_000

// bounded is a listener with a limit of connections.
type bounded struct {
	net.Listener
	log   *slog.Logger
	room  chan struct{} // holds one for each connection
	over  chan struct{} // closed with the listener
	close sync.Once
	told  time.Time // of Accept
}

func bound(l net.Listener, limit int, log *slog.Logger) *bounded {
	return &bounded{Listener: l, log: log, room: make(chan struct{}, limit), over: make(chan struct{})}
}

// Accept implements net.Listener. It tells once in a minute that connections wait.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.room <- struct{}{}:
	default:
		if now := time.Now(); now.Sub(b.told) > time.Minute {
			b.told = now
			b.log.Warn("the Kinesis API has as many connections as it takes; others wait until one ends", "connections", cap(b.room))
		}
		select {
		case b.room <- struct{}{}:
		case <-b.over:
			return nil, net.ErrClosed
		}
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	return &counted{Conn: c, room: b.room}, nil
}

// Close implements net.Listener.
func (b *bounded) Close() error {
	b.close.Do(func() { close(b.over) })
	return b.Listener.Close()
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.room })
	return err
}

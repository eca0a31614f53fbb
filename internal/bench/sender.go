package main

import (
	"context"
	"net"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

// messageSize is the size of a message of the WebSocket bars.
const messageSize = 300

// sender sends messages to whoever connects, as fast as they are taken.
type sender struct {
	url   string
	blast *provider.Blast
	stop  func()
}

// send starts a sender of count messages on each connection.
func send(count int) (*sender, error) {
	return serveBlast(&provider.Blast{Size: messageSize, Count: int64(count), Varied: true})
}

func serveBlast(blast *provider.Blast) (*sender, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	s := &sender{url: "ws://" + l.Addr().String() + "/", blast: blast}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = provider.Serve(ctx, l, s.blast)
	}()
	s.stop = func() { cancel(); <-done }
	return s, nil
}

// until asks often whether something is the case, and returns when it is, or ctx has ended.
func until(ctx context.Context, every time.Duration, is func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

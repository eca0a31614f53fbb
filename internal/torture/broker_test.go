package torture

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// broker is a keeper that speaks MQTT 5 with one client, whose session it keeps for ever.
type broker struct {
	*keeper
	address string
	t       testing.TB
}

// serveBroker serves a broker until the test ends.
func serveBroker(t testing.TB) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{keeper: newKeeper(), address: "mqtt://" + l.Addr().String(), t: t}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				b.serve(ctx, c)
			})
		}
	})
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		all.Wait()
	})
	return b
}

func (b *broker) url() string { return b.address }

// serve has one client. A younger one takes its place.
func (b *broker) serve(ctx context.Context, c net.Conn) {
	r := bufio.NewReader(c)
	for _, step := range []struct {
		kind byte
		say  func(body []byte) []byte
	}{{1, b.welcome}, {8, func(body []byte) []byte { return append([]byte{0x90, 4}, body[0], body[1], 0, 1) }}} {
		head, body, err := readPacket(r)
		if err != nil || head>>4 != step.kind {
			return // the client was killed
		}
		if _, err := c.Write(step.say(body)); err != nil {
			return
		}
	}
	ctx, gone := context.WithCancel(ctx)
	number := b.enter()
	var listening sync.WaitGroup
	listening.Go(func() {
		defer gone()
		b.listen(r, c)
	})
	w := bufio.NewWriter(c)
	b.send(ctx, wire{
		write: func(n int64, again bool) error {
			_, err := w.Write(publish(n, again))
			return err
		},
		flush:   w.Flush,
		goodbye: func() { _, _ = c.Write([]byte{0xe0, 1, 0x8b}) }, // it shuts down
	}, number)
	_ = c.Close()
	listening.Wait()
}

// welcome answers a CONNECT: whether there is a session is known by whether anything was sent.
func (b *broker) welcome([]byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	present := byte(0)
	if b.clients > 0 {
		present = 1
	}
	return []byte{0x20, 3, present, 0, 0}
}

// listen takes acknowledgements, which must come in order, and answers pings.
func (b *broker) listen(r *bufio.Reader, c net.Conn) {
	for {
		head, body, err := readPacket(r)
		switch {
		case err != nil, head>>4 == 14:
			return
		case head>>4 == 12:
			_, _ = c.Write([]byte{0xd0, 0})
		case head>>4 == 4 && len(body) >= 2:
			id := binary.BigEndian.Uint16(body)
			if err := b.forget(func(n int64) bool { return id == identifier(n) }); err != nil {
				b.t.Errorf("identifier %d: %v", id, err)
				return
			}
		}
	}
}

func identifier(event int64) uint16 { return uint16(event%60_000) + 1 }

// publish is an event as a message that wants to be acknowledged.
func publish(n int64, again bool) []byte {
	_, data := event(n)
	body := binary.BigEndian.AppendUint16([]byte("\x00\x01t"), identifier(n))
	body = append(append(body, 0), data...)
	head := byte(0x32)
	if again {
		head |= 0x08
	}
	return append(binary.AppendUvarint([]byte{head}, uint64(len(body))), body...)
}

// readPacket reads a packet of a client.
func readPacket(r *bufio.Reader) (head byte, body []byte, err error) {
	if head, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	length, err := binary.ReadUvarint(r)
	if err != nil || length > 1<<20 {
		return 0, nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return head, body, err
}

package torture

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/leatstream/leat/internal/wait"
)

// ahead is how many messages the broker sends ahead of what is acknowledged.
const ahead = 100

// broker is a provider of the events 1, 2, 3 … that forgets each when it is acknowledged: a broker of MQTT 5 with one client, whose session it
// keeps for ever. What it has sent and is not acknowledged it sends again on the next connection, in order, and only then what follows.
// Now and then it hangs up, with or without a goodbye.
type broker struct {
	address string
	t       testing.TB

	mu      sync.Mutex
	changed chan struct{} // closed when acked or last has changed
	acked   int64         // every event up to this one is acknowledged, and forgotten
	sent    int64         // the largest event that was sent
	last    int64         // as that of numbers
	hangUps int
	again   int // events that were sent again
	clients int
}

// serveBroker serves a broker until the test ends.
func serveBroker(t testing.TB) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{address: "mqtt://" + l.Addr().String(), t: t, changed: make(chan struct{})}
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

// acknowledged returns up to which event all are acknowledged.
func (b *broker) acknowledged() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked
}

func (b *broker) finish() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = b.sent + 500
	b.signal()
	return b.last
}

// signal wakes whoever waits for a change. The caller holds mu.
func (b *broker) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}

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
	b.mu.Lock()
	b.clients++
	number := b.clients
	b.mu.Unlock()
	var listening sync.WaitGroup
	listening.Go(func() {
		defer gone()
		b.listen(r, c)
	})
	b.send(ctx, c, number)
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
			if err := b.forget(binary.BigEndian.Uint16(body)); err != nil {
				b.t.Error(err)
				return
			}
		}
	}
}

func identifier(event int64) uint16 { return uint16(event%60_000) + 1 }

// forget forgets the event with an identifier.
func (b *broker) forget(id uint16) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.acked == b.sent || id != identifier(b.acked+1) {
		return fmt.Errorf("identifier %d was acknowledged behind event %d", id, b.acked)
	}
	b.acked++
	b.signal()
	return nil
}

// send sends again what is not acknowledged, and then bursts of what follows.
func (b *broker) send(ctx context.Context, c net.Conn, number int) {
	b.mu.Lock()
	next, known := b.acked+1, b.sent
	b.again += int(known - b.acked)
	b.mu.Unlock()
	w := bufio.NewWriter(c)
	for {
		burst := rand.Int64N(40)
		for ; burst > 0 && b.may(ctx, next, w); burst-- {
			b.mu.Lock()
			younger := b.clients != number
			if !younger {
				b.sent = max(b.sent, next)
			}
			b.mu.Unlock()
			if younger {
				return
			}
			_, _ = w.Write(publish(next, next <= known))
			next++
		}
		if w.Flush() != nil || b.mischief(c) || wait.For(ctx, rand.N(4*pause)) != nil {
			return
		}
	}
}

// may waits until an event may be sent, and reports whether there is one.
func (b *broker) may(ctx context.Context, event int64, w *bufio.Writer) bool {
	for {
		b.mu.Lock()
		over, full, changed := b.last > 0 && event > b.last, event > b.acked+ahead, b.changed
		b.mu.Unlock()
		switch {
		case over, ctx.Err() != nil, w.Flush() != nil:
			return false
		case !full:
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// mischief sometimes hangs up.
func (b *broker) mischief(c net.Conn) (end bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	dice := rand.IntN(60)
	if b.last > 0 || dice > 1 {
		return false
	}
	b.hangUps++
	if dice == 0 {
		_, _ = c.Write([]byte{0xe0, 1, 0x8b}) // it shuts down
	}
	return true
}

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

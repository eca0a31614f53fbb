package mqtt

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
)

// conn implements source.Conn. One goroutine reads ahead while the caller works, another one pings.
type conn struct {
	*source.Feed
	config  *Config
	dialect dialect
	raw     net.Conn // below over, if that is encrypted
	over    net.Conn
	r       *bufio.Reader
	present bool // the broker has kept something for us
	framing framing
	intake  *source.Intaking
	out     *source.Messages
	stop    context.CancelFunc
	done    sync.WaitGroup
	ready   chan struct{}  // closed when the broker has answered the subscription, or sent a message, or is gone
	open    func()         // closes ready
	taken   atomic.Bool    // the broker has taken us
	kept    atomic.Bool    // the broker keeps what we miss of every topic
	writing chan struct{}  // holds one while something is written
	dead    atomic.Bool    // a ping was not answered
	closing atomic.Bool    // by us
	pinged  chan time.Time // the pings that are not answered, when they were sent
	ponged  atomic.Int64   // when the last one that is was sent, in Unix nanoseconds

	mu      sync.Mutex
	pending source.Unsettled[uint16] // the identifiers of what is not acknowledged; 0: the broker wants no acknowledgement
}

func newConn(s *Source, raw, over net.Conn) *conn {
	c := &conn{
		Feed: source.NewFeed(0), config: &s.Config, dialect: s.dialect, raw: raw, over: over,
		intake: &source.Intaking{}, ready: make(chan struct{}), writing: make(chan struct{}, 1), pinged: make(chan time.Time, 64),
	}
	c.open = sync.OnceFunc(func() { close(c.ready) })
	kept := !s.Config.CleanStart
	for i := range s.Config.Topics {
		kept = kept && s.Config.Topics[i].qos() == 1
	}
	c.kept.Store(kept)
	c.out = &source.Messages{
		Feed: c.Feed, Framing: &c.framing, Limit: s.Config.MaxMessage + maxHead, Message: c.packet, TooLarge: c.tooLarge,
	}
	return c
}

// maxHead is what the topic and the properties of a message may take.
const maxHead = 128 << 10

func (c *conn) start() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.done.Go(func() {
		defer c.intake.Close()
		c.End(c.why(c.out.Run(ctx, c.r)))
		c.open()
		stop()
	})
	c.done.Go(func() { c.ping(ctx) })
}

// Next implements source.Conn. What it returned before is durable now, and is acknowledged.
func (c *conn) Next(ctx context.Context) ([]leat.Event, error) {
	c.settle()
	events, err := c.Feed.Next(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending.Returned(events, err)
	return events, err
}

// settle acknowledges what the last call of Next handed out, and what was dropped behind it.
func (c *conn) settle() {
	c.mu.Lock()
	ids := c.pending.Settle()
	c.mu.Unlock()
	var acks []byte
	for _, id := range ids {
		if id != 0 {
			acks = acknowledgement(acks, id)
		}
	}
	if len(acks) > 0 {
		_ = c.write(acks) // whoever reads knows when the connection is over
	}
}

// Continues implements source.Continuer.
func (c *conn) Continues() (does, known bool) { return c.present && c.kept.Load(), true }

// packet takes a whole packet. The reading goroutine calls it.
func (c *conn) packet(ctx context.Context, packet []byte) error {
	switch packet[0] >> 4 {
	case typePublish:
		c.accepted()
		return c.published(ctx, packet)
	case typeSuback:
		if err := c.subscribed(packet); err != nil {
			return err
		}
		c.accepted()
		return nil
	case typePingresp:
		select {
		case sent := <-c.pinged:
			if err := c.out.Alive(ctx); err != nil {
				return err
			}
			c.ponged.Store(sent.UnixNano())
			c.Answered(sent)
		default:
		}
		return nil
	case typeDisconnect:
		return c.dialect.goodbye(packet)
	}
	return &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("a packet of type %d", packet[0]>>4)}
}

// accepted notes that the broker has taken us.
func (c *conn) accepted() {
	c.taken.Store(true)
	c.open()
}

func (c *conn) published(ctx context.Context, packet []byte) error {
	_, five := c.dialect.(fiveDialect)
	m, err := readMessage(packet, five)
	if err != nil {
		return &source.EndError{Kind: source.EndProtocol, Reason: err.Error()}
	}
	c.Tape.In(source.TapeEntry{Data: m.payload, Event: m.topic})
	unwanted := m.retain && (c.config.Retained == "none" || c.config.Retained == "new" && c.present)
	switch {
	case unwanted, len(m.payload) == 0:
		if !unwanted {
			c.Empty()
		}
		if err := c.expect(m.id, 0); err != nil {
			return err
		}
		return c.out.Alive(ctx)
	case len(m.payload) > int(c.config.MaxMessage):
		return c.leaveOut(ctx, m.id, int64(len(m.payload)))
	}
	return c.take(ctx, &m)
}

// take adds the events of a message.
func (c *conn) take(ctx context.Context, m *message) error {
	taken, err := c.intake.Take(m.payload)
	var skip *source.SkipError
	switch {
	case errors.As(err, &skip):
		return c.skip(ctx, m.id, skip)
	case err != nil || len(taken.Events) == 0:
		return errors.Join(c.expect(m.id, 0), c.out.Alive(ctx), err)
	}
	if err := c.expect(m.id, len(taken.Events)); err != nil {
		return err
	}
	for _, e := range taken.Events {
		if c.config.PartitionKey.IsZero() {
			e.PartitionKey = m.topic
		}
		if c.config.Envelope {
			e.Data = envelope(m.topic, e.Data)
		}
		c.out.Add(e)
	}
	return nil
}

// envelope returns a message as JSON.
func envelope(on string, data []byte) []byte {
	if !json.Valid(data) {
		data, _ = json.Marshal(string(data))
	}
	topic, _ := json.Marshal(on)
	out := make([]byte, 0, len(data)+len(topic)+20)
	out = append(append(out, `{"topic":`...), topic...)
	return append(append(append(out, `,"data":`...), data...), '}')
}

// expect notes that a message of so many events is to be acknowledged.
func (c *conn) expect(id uint16, events int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (id != 0 || events > 0) && !c.pending.Expect(events, id) {
		return source.ErrUnsettled
	}
	return nil
}

// skip tells of a message that is left out.
func (c *conn) skip(ctx context.Context, id uint16, skip *source.SkipError) error {
	if err := c.expect(id, 1); err != nil {
		return err
	}
	return c.out.Skip(ctx, skip)
}

// tooLarge takes the size of a packet that was read past.
func (c *conn) tooLarge(ctx context.Context, size int64) error {
	if c.framing.first>>4 != typePublish {
		return &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("a packet of %d bytes", size)}
	}
	c.accepted()
	return c.leaveOut(ctx, c.framing.identifier(), size)
}

func (c *conn) leaveOut(ctx context.Context, id uint16, size int64) error {
	return c.skip(ctx, id, source.TooLarge(size, c.config.MaxMessage))
}

// subscribed takes the answer to our subscription.
func (c *conn) subscribed(packet []byte) error {
	codes, err := c.dialect.granted(packet)
	if err != nil || len(codes) != len(c.config.Topics) {
		return &source.EndError{Kind: source.EndProtocol, Reason: "the answer to the subscription is none"}
	}
	for i, code := range codes {
		if code >= 0x80 {
			return &source.EndError{Kind: source.EndSubscribe, Code: int(code), Reason: source.Clean(fmt.Sprintf("topics[%d] is refused", i))}
		}
		if code == 0 {
			c.kept.Store(false)
		}
	}
	return nil
}

// ping sends pings, the first one at once. It ends the connection when one is not answered, unless something else was read meanwhile, which
// the answer has to wait for, or we were too slow to read it.
func (c *conn) ping(ctx context.Context) {
	for {
		sent := time.Now()
		select {
		case c.pinged <- sent:
		default:
		}
		var network net.Error
		switch err := c.write(pingPacket); {
		case errors.As(err, &network) && network.Timeout():
			c.dead.Store(true)
			c.abandon()
			return
		case err != nil:
			return // what came before is still read, and then the end
		}
		if wait.For(ctx, min(c.config.PongWait, c.config.KeepAlive)) != nil {
			return
		}
		if c.ponged.Load() < sent.UnixNano() && !c.Moving(sent) {
			c.dead.Store(true)
			c.abandon()
			return
		}
		if wait.For(ctx, c.config.KeepAlive-min(c.config.PongWait, c.config.KeepAlive)) != nil {
			return
		}
	}
}

// write writes packets whole. It takes as long as the timeout at most.
func (c *conn) write(packets []byte) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	_ = c.over.SetWriteDeadline(time.Now().Add(c.config.Timeout))
	_, err := c.over.Write(packets)
	return err
}

// why says why the connection ended.
func (c *conn) why(err error) error {
	if c.dead.Load() {
		return &source.EndError{Kind: source.EndPing, Reason: "no answer to a ping within " + setting.FormatDuration(c.config.PongWait)}
	}
	return err
}

// abandon ends the network connection at once.
func (c *conn) abandon() { _ = c.raw.Close() }

// Close implements source.Conn. It says goodbye, and waits a second at most until the broker has heard it, and with it the last
// acknowledgements: a connection that is closed with something unread takes back what was sent. The broker goes on keeping what we miss.
func (c *conn) Close() error {
	if c.closing.CompareAndSwap(false, true) && c.Ended() == nil {
		limited, cancel := context.WithTimeout(context.Background(), time.Second)
		late := context.AfterFunc(limited, c.abandon)
		if c.write(disconnectPacket) == nil {
			_ = c.Wait(limited)
		}
		late()
		cancel()
	}
	c.Abort()
	return nil
}

// Abort implements source.Aborter.
func (c *conn) Abort() {
	c.abandon()
	c.stop()
	c.done.Wait()
}

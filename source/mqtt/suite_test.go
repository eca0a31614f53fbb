package mqtt_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"

	five "github.com/eclipse/paho.golang/packets"
	three "github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/mqtt"
	"github.com/leatstream/leat/source/sourcetest"
)

func TestSuite(t *testing.T) {
	for _, version := range []string{"5", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Kit{
				Serve: (&broker{version: version}).serve,
				Source: func(n *pipenet.Network) source.Source {
					return &mqtt.Source{Config: config(version), Dial: n.DialContext}
				},
			})
		})
	}
}

func config(version string) mqtt.Config {
	return mqtt.Config{
		URL: "mqtt://" + sourcetest.Address, Version: version, ClientID: "leat-test", MaxMessage: sourcetest.Limit,
		Topics: []mqtt.Topic{{Topic: "a/#"}},
	}
}

// broker is a small one that sends whatever is played to every client.
type broker struct {
	version string
	present bool // it says so
	refuse  byte // a reason to take nobody
	codes   []byte

	mu    sync.Mutex
	acked []uint16
}

func (b *broker) serve(ctx context.Context, n *pipenet.Network, play sourcetest.Play) error {
	l := n.Listen(sourcetest.Address)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		all.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			b.one(ctx, c, play)
		})
	}
}

// link is one client of a broker.
type link struct {
	net.Conn
	writing chan struct{}
}

func (l *link) send(packet []byte) error {
	l.writing <- struct{}{}
	defer func() { <-l.writing }()
	_, err := l.Write(packet)
	return err
}

// read returns the next packet.
func read(r io.Reader) (head byte, body []byte, err error) {
	one := make([]byte, 1)
	if _, err := io.ReadFull(r, one); err != nil {
		return 0, nil, err
	}
	head = one[0]
	length, shift := 0, 0
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			return 0, nil, err
		}
		length |= int(one[0]&0x7f) << shift
		if shift += 7; one[0] < 0x80 {
			break
		}
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return head, body, err
}

func (b *broker) one(ctx context.Context, raw net.Conn, play sourcetest.Play) {
	l := &link{raw, make(chan struct{}, 1)}
	defer l.Close()
	if head, _, err := read(l); err != nil || head>>4 != 1 {
		return
	}
	if l.send(b.welcome()) != nil || b.refuse != 0 {
		return
	}
	if head, _, err := read(l); err != nil || head>>4 != 8 {
		return
	}
	codes := b.codes
	if codes == nil {
		codes = []byte{1}
	}
	if l.send(b.granted(codes)) != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.listen(l)
	}()
	id := uint16(0)
	play(&sourcetest.Player{
		Event: func(text string) error {
			id++
			return l.send(b.publish("a/b", text, id))
		},
		Alive: ctx.Err, // the client asks
		End: func() {
			if b.version == "5" {
				_ = l.send([]byte{0xe0, 1, 0x8b})
			}
			_ = l.Close()
		},
		Break: func() { raw.(*pipenet.Conn).Cut() },
		Gone:  gone,
	})
	select {
	case <-gone:
	case <-ctx.Done():
	}
	_ = l.Close()
	<-gone
}

// listen takes what the client says.
func (b *broker) listen(l *link) {
	for {
		head, body, err := read(l)
		if err != nil {
			return
		}
		switch head >> 4 {
		case 4:
			b.mu.Lock()
			b.acked = append(b.acked, uint16(body[0])<<8|uint16(body[1]))
			b.mu.Unlock()
		case 12:
			if l.send([]byte{0xd0, 0}) != nil {
				return
			}
		case 14:
			_ = l.Close()
		}
	}
}

func (b *broker) acknowledged() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.acked)
}

func (b *broker) welcome() []byte {
	var out bytes.Buffer
	if b.version == "5" {
		p := five.NewControlPacket(five.CONNACK)
		*p.Content.(*five.Connack) = five.Connack{ReasonCode: b.refuse, SessionPresent: b.present, Properties: &five.Properties{}}
		_, _ = p.WriteTo(&out)
		return out.Bytes()
	}
	p := three.NewControlPacket(three.Connack).(*three.ConnackPacket)
	p.ReturnCode, p.SessionPresent = b.refuse, b.present
	_ = p.Write(&out)
	return out.Bytes()
}

func (b *broker) granted(codes []byte) []byte {
	if b.version == "5" {
		return append([]byte{0x90, byte(3 + len(codes)), 0, 1, 0}, codes...)
	}
	return append([]byte{0x90, byte(2 + len(codes)), 0, 1}, codes...)
}

func (b *broker) publish(topic, text string, id uint16) []byte {
	var out bytes.Buffer
	if b.version == "5" {
		p := five.NewControlPacket(five.PUBLISH)
		*p.Content.(*five.Publish) = five.Publish{Topic: topic, PacketID: id, QoS: 1, Payload: []byte(text), Properties: &five.Properties{ContentType: "application/json"}}
		_, _ = p.WriteTo(&out)
		return out.Bytes()
	}
	p := three.NewControlPacket(three.Publish).(*three.PublishPacket)
	p.TopicName, p.MessageID, p.Qos, p.Payload = topic, id, 1, []byte(text)
	_ = p.Write(&out)
	return out.Bytes()
}

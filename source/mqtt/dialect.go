package mqtt

import (
	"bytes"
	"fmt"
	"io"
	"time"

	five "github.com/eclipse/paho.golang/packets"
	three "github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/leatstream/leat/source"
)

// dialect is what the versions of the protocol do differently.
type dialect interface {
	// hello writes what we say first.
	hello(w io.Writer, c *Config) error

	// welcome reads the answer to that. present: the broker has kept something for us.
	welcome(r io.Reader) (present bool, err error)

	// subscribe writes what we want.
	subscribe(w io.Writer, c *Config) error

	// granted returns the answers to that, one for each topic: the QoS, or an error from 0x80 on.
	granted(packet []byte) ([]byte, error)

	// goodbye returns what a DISCONNECT of the broker says.
	goodbye(packet []byte) *source.EndError
}

// subscription is the identifier of the only SUBSCRIBE.
const subscription = 1

// guarded turns a panic of a decoder into an error.
func guarded(err *error) {
	if recover() != nil {
		*err = errPacket
	}
}

// fiveDialect is MQTT 5.
type fiveDialect struct{}

func (fiveDialect) hello(w io.Writer, c *Config) error {
	p := five.NewControlPacket(five.CONNECT)
	connect := p.Content.(*five.Connect)
	expiry, most := uint32(c.SessionExpiry/time.Second), uint16(c.ReceiveMaximum)
	if c.CleanStart {
		expiry = 0
	}
	*connect = five.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: c.ClientID, CleanStart: c.CleanStart, KeepAlive: seconds(c.KeepAlive),
		Username: c.Username, UsernameFlag: c.Username != "", Password: []byte(c.Password.Reveal()), PasswordFlag: !c.Password.IsZero(),
		Properties: &five.Properties{SessionExpiryInterval: &expiry, ReceiveMaximum: &most},
	}
	_, err := p.WriteTo(w)
	return err
}

// seconds returns whole seconds, rounded up.
func seconds(d time.Duration) uint16 { return uint16((d + time.Second - 1) / time.Second) }

func (fiveDialect) welcome(r io.Reader) (present bool, err error) {
	defer guarded(&err)
	p, err := five.ReadPacket(r)
	if err != nil {
		return false, err
	}
	switch answer := p.Content.(type) {
	case *five.Connack:
		if answer.ReasonCode == 0 {
			return answer.SessionPresent, nil
		}
		return false, refused(answer.ReasonCode, said(answer.Properties))
	case *five.Disconnect:
		return false, refused(answer.ReasonCode, said(answer.Properties))
	}
	return false, &source.EndError{Kind: source.EndProtocol, Reason: "the broker did not answer the connect"}
}

func said(p *five.Properties) string {
	if p == nil {
		return ""
	}
	return p.ReasonString
}

// refused says why the broker ends the connection, or takes none.
func refused(code byte, why string) *source.EndError {
	end := &source.EndError{Kind: source.EndClose, Code: int(code), Reason: source.Clean(why)}
	if name, ok := reasons[code]; ok && end.Reason == "" {
		end.Reason = name
	}
	switch code {
	case 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c:
		end.Kind = source.EndFatal
	}
	return end
}

// reasons are the codes of version 5 that say something by themselves.
var reasons = map[byte]string{
	0x84: "unsupported version of the protocol", 0x85: "client identifier not valid", 0x86: "bad user name or password", 0x87: "not authorized",
	0x88: "server unavailable", 0x89: "server busy", 0x8a: "banned", 0x8b: "server shutting down", 0x8c: "bad authentication method",
	0x8d: "keep alive timeout", 0x8e: "session taken over: another client has this client_id", 0x93: "receive maximum exceeded", 0x97: "quota exceeded",
	0x98: "administrative action", 0x9c: "use another server", 0x9d: "server moved", 0x9f: "connection rate exceeded",
}

func (fiveDialect) subscribe(w io.Writer, c *Config) error {
	p := five.NewControlPacket(five.SUBSCRIBE)
	s := p.Content.(*five.Subscribe)
	s.PacketID = subscription
	handling := map[string]byte{"all": 0, "new": 1, "none": 2}[c.Retained]
	for i := range c.Topics {
		t := &c.Topics[i]
		s.Subscriptions = append(s.Subscriptions, five.SubOptions{Topic: t.Topic, QoS: t.qos(), RetainHandling: handling})
	}
	_, err := p.WriteTo(w)
	return err
}

func (fiveDialect) granted(packet []byte) ([]byte, error) {
	p, err := readFive(packet)
	if err != nil {
		return nil, err
	}
	return p.Content.(*five.Suback).Reasons, nil
}

func (fiveDialect) goodbye(packet []byte) *source.EndError {
	p, err := readFive(packet)
	if err != nil {
		return &source.EndError{Kind: source.EndClose}
	}
	d := p.Content.(*five.Disconnect)
	return refused(d.ReasonCode, said(d.Properties))
}

func readFive(packet []byte) (p *five.ControlPacket, err error) {
	defer guarded(&err)
	return five.ReadPacket(bytes.NewReader(packet))
}

// threeDialect is MQTT 3.1.1.
type threeDialect struct{}

func (threeDialect) hello(w io.Writer, c *Config) error {
	p := three.NewControlPacket(three.Connect).(*three.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.ClientIdentifier, p.CleanSession = "MQTT", 4, c.ClientID, c.CleanStart
	p.Keepalive = seconds(c.KeepAlive)
	p.UsernameFlag, p.Username = c.Username != "", c.Username
	p.PasswordFlag, p.Password = !c.Password.IsZero(), []byte(c.Password.Reveal())
	return p.Write(w)
}

func (threeDialect) welcome(r io.Reader) (present bool, err error) {
	defer guarded(&err)
	p, err := three.ReadPacket(r)
	if err != nil {
		return false, err
	}
	answer, ok := p.(*three.ConnackPacket)
	switch {
	case !ok:
		return false, &source.EndError{Kind: source.EndProtocol, Reason: "the broker did not answer the connect"}
	case answer.ReturnCode == 0:
		return answer.SessionPresent, nil
	}
	end := &source.EndError{Kind: source.EndFatal, Code: int(answer.ReturnCode), Reason: three.ConnackReturnCodes[answer.ReturnCode]}
	if answer.ReturnCode == three.ErrRefusedServerUnavailable {
		end.Kind = source.EndClose
	}
	return false, end
}

func (threeDialect) subscribe(w io.Writer, c *Config) error {
	p := three.NewControlPacket(three.Subscribe).(*three.SubscribePacket)
	p.MessageID = subscription
	for i := range c.Topics {
		p.Topics, p.Qoss = append(p.Topics, c.Topics[i].Topic), append(p.Qoss, c.Topics[i].qos())
	}
	return p.Write(w)
}

func (threeDialect) granted(packet []byte) (codes []byte, err error) {
	defer guarded(&err)
	p, err := three.ReadPacket(bytes.NewReader(packet))
	if err != nil {
		return nil, err
	}
	s, ok := p.(*three.SubackPacket)
	if !ok {
		return nil, fmt.Errorf("read an answer: %w", errPacket)
	}
	return s.ReturnCodes, nil
}

func (threeDialect) goodbye([]byte) *source.EndError {
	return &source.EndError{Kind: source.EndProtocol, Reason: "a packet that only clients send"}
}

package mqtt

import (
	"encoding/binary"
	"errors"
	"strings"
)

// The types of control packets, as the first four bits of their first byte say them.
const (
	typeConnack    = 2
	typePublish    = 3
	typeSuback     = 9
	typePingresp   = 13
	typeDisconnect = 14
)

// Packets that are the same each time, in both versions.
var (
	pingPacket       = []byte{0xc0, 0}
	disconnectPacket = []byte{0xe0, 0}
)

var errPacket = errors.New("a packet that is none of MQTT")

// framing is the framing of control packets:
//
//	┌──────────────┬──────────────────────┬──────┐
//	│ type, flags  │ length: varint, 1–4 B │ body │
//	└──────────────┴──────────────────────┴──────┘
//
// Of a PUBLISH it keeps the packet identifier, so that one that is too large can be acknowledged:
//
//	│ length of topic: 2 B │ topic │ identifier: 2 B, if QoS > 0 │ …
type framing struct {
	first byte
	head  int // bytes of the header so far
	left  int // of the body
	begun bool
	at    int // in the body
	topic [2]byte
	id    [2]byte
}

// Scan implements source.Framing.
func (f *framing) Scan(b []byte) (n int, whole bool, err error) {
	if !f.begun {
		for ; n < len(b) && !f.begun; n++ {
			if f.head == 0 {
				*f = framing{first: b[n], head: 1}
				continue
			}
			f.left |= int(b[n]&0x7f) << (7 * (f.head - 1))
			if f.head++; f.head > 5 || b[n] >= 0x80 && f.head == 5 {
				return n, false, errPacket
			}
			f.begun = b[n] < 0x80
		}
		if !f.begun {
			return n, false, nil
		}
	}
	body := b[n:min(len(b), n+f.left)]
	f.look(body)
	f.left -= len(body)
	if f.left == 0 {
		f.head, f.begun = 0, false
		return n + len(body), true, nil
	}
	return n + len(body), false, nil
}

// look keeps what is needed of a part of the body.
func (f *framing) look(body []byte) {
	f.keep(f.topic[:], 0, body)
	if f.at+len(body) >= 2 {
		f.keep(f.id[:], 2+int(binary.BigEndian.Uint16(f.topic[:])), body)
	}
	f.at += len(body)
}

// keep copies what a part of the body has of the bytes at a place of it.
func (f *framing) keep(to []byte, place int, body []byte) {
	for i := range to {
		if at := place + i - f.at; at >= 0 && at < len(body) {
			to[i] = body[at]
		}
	}
}

// identifier returns the identifier of the last packet, if it is a PUBLISH that has one. It may be called behind a whole packet.
func (f *framing) identifier() uint16 {
	if f.first>>4 != typePublish || f.first>>1&3 == 0 {
		return 0
	}
	return binary.BigEndian.Uint16(f.id[:])
}

// Content implements source.Framing.
func (f *framing) Content(packet []byte) []byte { return packet }

// Rest implements source.Framing.
func (f *framing) Rest([]byte) bool { return false }

// message is a PUBLISH.
type message struct {
	topic   string
	id      uint16 // 0: it is not to be acknowledged
	retain  bool
	payload []byte // a part of the packet
}

// readMessage reads a PUBLISH. In version 5 there are properties behind the identifier.
func readMessage(packet []byte, five bool) (m message, err error) {
	flags, body := packet[0], packet[1:]
	for len(body) > 0 && body[0] >= 0x80 {
		body = body[1:]
	}
	if len(body) < 3 {
		return m, errPacket
	}
	body = body[1:]
	length := int(binary.BigEndian.Uint16(body))
	if len(body) < 2+length {
		return m, errPacket
	}
	m.topic, body = strings.ToValidUTF8(string(body[2:2+length]), "�"), body[2+length:]
	switch qos := flags >> 1 & 3; {
	case qos > 1: // not asked for
		return m, errPacket
	case qos == 1:
		if len(body) < 2 {
			return m, errPacket
		}
		m.id, body = binary.BigEndian.Uint16(body), body[2:]
		if m.id == 0 {
			return m, errPacket
		}
	}
	if five {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return m, errPacket
		}
		body = body[n+int(size):]
	}
	m.retain, m.payload = flags&1 != 0, body[:len(body):len(body)]
	return m, nil
}

// acknowledgement appends a PUBACK, which is the same in both versions where all is well.
func acknowledgement(to []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(to, 0x40, 2), id)
}

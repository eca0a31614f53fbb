package kinesisapi

import (
	"unicode/utf8"

	"github.com/leatstream/leat"
)

// scanCBOR is scanRecords for CBOR: payloads and keys share the body.
func (c *call) scanCBOR() bool {
	p := cborParser{b: c.body}
	n, ok := p.open(cborMap)
	seen := false
	for i := int64(0); ok && (n < 0 && !p.end() || i < n); i++ {
		var name []byte
		if name, ok = p.whole(cborText); !ok {
			return false
		}
		switch string(name) {
		case "Records":
			ok = !seen && c.scanCBORRecords(&p)
			seen = true
		case "StreamName", "StreamARN":
			var text []byte
			text, ok = p.whole(cborText)
			ok = ok && utf8.Valid(text) && c.takeStream(string(name), string(text))
		default:
			return false
		}
	}
	return ok && p.at == len(p.b)
}

func (c *call) scanCBORRecords(p *cborParser) bool {
	n, ok := p.open(cborArray)
	for i := int64(0); ok && (n < 0 && !p.end() || i < n); i++ {
		c.scratch.events = append(c.scratch.events, leat.Event{})
		ok = len(c.scratch.events) <= 500 && p.scanRecord(&c.scratch.events[len(c.scratch.events)-1])
	}
	return ok
}

func (p *cborParser) scanRecord(e *leat.Event) bool {
	n, ok := p.open(cborMap)
	for i := int64(0); ok && (n < 0 && !p.end() || i < n); i++ {
		var name, text []byte
		if name, ok = p.whole(cborText); !ok {
			return false
		}
		switch string(name) {
		case "Data":
			text, ok = p.whole(cborBytes)
			ok = ok && e.Data == nil && len(text) <= data.max
			e.Data = text
		case "PartitionKey":
			text, ok = p.whole(cborText)
			ok = ok && utf8.Valid(text) && takeKey(e, text)
		case "ExplicitHashKey":
			text, ok = p.whole(cborText)
			ok = ok && takeHash(e, text)
		default:
			return false
		}
	}
	return ok && e.Data != nil
}

// open reads the head of a map or array; n is -1 if its length is indefinite.
func (p *cborParser) open(kind byte) (n int64, ok bool) {
	major, n, err := p.head()
	return n, err == nil && major == kind
}

// whole takes a string that is not in chunks.
func (p *cborParser) whole(kind byte) ([]byte, bool) {
	major, n, err := p.head()
	if err != nil || major != kind || n < 0 {
		return nil, false
	}
	b, err := p.bytes(kind, n)
	return b, err == nil
}

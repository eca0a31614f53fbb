package kinesisapi

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
	"unsafe"

	"github.com/leatstream/leat"
)

// The fast path of PutRecords reads the body without making values of it: payloads go from base64 straight into one buffer, keys
// share the body. Whatever is unusual (an escape, a null, an unknown member, anything that the model refuses) makes it give up, and the
// general path reads the body again: there is one place only that words errors.

// scanRecords fills scratch.events. It reports false where the general path must read the body.
func (c *call) scanRecords() bool {
	c.scratch.events = c.scratch.events[:0]
	var ok bool
	if c.cbor {
		ok = c.scanCBOR()
	} else {
		c.scratch.data = grow(c.scratch.data, len(c.body)/4*3)
		ok = c.scanJSON()
	}
	n := len(c.scratch.events)
	if ok = ok && n >= 1 && n <= 500; !ok {
		c.scratch.events, c.in = c.scratch.events[:0], value{}
	}
	return ok
}

// takeStream keeps the name or ARN of the stream for target.
func (c *call) takeStream(member, text string) bool {
	if c.in.kind == kindNull {
		c.in = object()
	}
	of := streamName
	if member == "StreamARN" {
		of = streamARN
	}
	v := textOf(text)
	if c.in.has(member) || len(broken(&v, of)) > 0 {
		return false
	}
	c.in = c.in.with(member, v)
	return true
}

func (c *call) scanJSON() bool {
	p := jsonParser{b: c.body}
	if !p.next('{') {
		return false
	}
	seen := false
	for {
		name, ok := p.plain()
		if !ok || !p.next(':') {
			return false
		}
		switch string(name) {
		case "Records":
			if seen || !c.scanJSONRecords(&p) {
				return false
			}
			seen = true
		case "StreamName", "StreamARN":
			text, ok := p.plain()
			if !ok || !c.takeStream(string(name), string(text)) {
				return false
			}
		default:
			return false
		}
		if p.next(',') {
			continue
		}
		if !p.next('}') {
			return false
		}
		p.space()
		return p.at == len(p.b)
	}
}

func (c *call) scanJSONRecords(p *jsonParser) bool {
	if !p.next('[') {
		return false
	}
	for {
		c.scratch.events = append(c.scratch.events, leat.Event{})
		if len(c.scratch.events) > 500 || !p.next('{') || !c.scanJSONRecord(p, &c.scratch.events[len(c.scratch.events)-1]) {
			return false
		}
		if p.next(',') {
			continue
		}
		return p.next(']')
	}
}

// scanJSONRecord reads a record behind its first brace.
func (c *call) scanJSONRecord(p *jsonParser, e *leat.Event) bool {
	for {
		name, ok := p.plain()
		if !ok || !p.next(':') {
			return false
		}
		text, ok := p.quoted()
		if !ok {
			return false
		}
		switch string(name) {
		case "Data":
			ok = e.Data == nil && c.takeBase64(e, text)
		case "PartitionKey":
			ok = takeKey(e, text) && plainJSON(text)
		case "ExplicitHashKey":
			ok = takeHash(e, text)
		default:
			ok = false
		}
		if !ok {
			return false
		}
		if p.next(',') {
			continue
		}
		return p.next('}') && e.Data != nil
	}
}

// takeBase64 decodes a payload. The decoder of the standard library passes over line ends, which a JSON string cannot hold: a payload with
// one is shorter than it should be.
func (c *call) takeBase64(e *leat.Event, text []byte) bool {
	if len(text)%4 != 0 {
		return false
	}
	want := len(text) / 4 * 3
	for i := len(text) - 1; i >= 0 && i >= len(text)-2 && text[i] == '='; i-- {
		want--
	}
	if want > data.max {
		return false
	}
	start := len(c.scratch.data)
	room := c.scratch.data[start : start+len(text)/4*3]
	n, err := base64Strict.Decode(room, text)
	if err != nil || n != want {
		return false
	}
	c.scratch.data = c.scratch.data[:start+n]
	e.Data = c.scratch.data[start : start+n : start+n]
	return true
}

var base64Strict = base64.StdEncoding.Strict()

// takeKey takes a partition key, which shares the body.
func takeKey(e *leat.Event, text []byte) bool {
	if e.PartitionKey != "" || len(text) == 0 || len(text) > 256 && utf8.RuneCount(text) > 256 {
		return false
	}
	e.PartitionKey = unsafe.String(&text[0], len(text))
	return true
}

// takeHash takes an explicit hash key.
func takeHash(e *leat.Event, text []byte) bool {
	if e.HashKey != nil || len(text) == 0 || len(text) > 39 || text[0] == '0' && len(text) > 1 {
		return false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	hash, err := leat.ParseHash(string(text))
	if err != nil {
		return false
	}
	e.HashKey = &hash
	return true
}

// quoted takes a string that ends at the next quotation mark, whatever is in it.
func (p *jsonParser) quoted() ([]byte, bool) {
	if !p.next('"') {
		return nil, false
	}
	n := bytes.IndexByte(p.b[p.at:], '"')
	if n < 0 {
		return nil, false
	}
	text := p.b[p.at : p.at+n]
	p.at += n + 1
	return text, true
}

// plain takes a string that stands in the body as it is meant.
func (p *jsonParser) plain() ([]byte, bool) {
	text, ok := p.quoted()
	return text, ok && plainJSON(text)
}

// plainJSON reports whether text, the inside of a JSON string, holds no escapes and nothing that is forbidden.
func plainJSON(text []byte) bool {
	high := byte(0)
	for _, c := range text {
		if c < 0x20 || c == '\\' {
			return false
		}
		high |= c
	}
	return high < utf8.RuneSelf || utf8.Valid(text)
}

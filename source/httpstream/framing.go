package httpstream

import (
	"encoding/binary"
	"errors"

	"github.com/leatstream/leat/source"
)

func newFraming(name string) source.Framing {
	switch name {
	case "json":
		return &values{}
	case "length":
		return &prefixed{header: decimal}
	case "length32":
		return &prefixed{header: big32}
	case "varint":
		return &prefixed{header: varint}
	}
	return source.Lines{Whole: true}
}

// values is the framing of JSON values one behind the other. White space between them is a message of its own, without content. It
// finds the ends and does not care for what else is wrong with a value.
type values struct {
	depth  int
	quoted bool // in a string
	escape bool // behind a backslash
	scalar bool // in a number, true, false or null: what comes behind it ends it
	begun  bool
}

var errNoValue = errors.New("expected a JSON value")

// Scan implements source.Framing.
func (v *values) Scan(b []byte) (n int, whole bool, err error) {
	if !v.begun {
		for n < len(b) && blank(b[n]) {
			n++
		}
		if n > 0 {
			return n, true, nil
		}
		v.begun = true
	}
	for ; n < len(b); n++ {
		if v.quoted {
			v.inString(b[n])
			if !v.quoted && v.depth == 0 {
				return v.end(n + 1)
			}
			continue
		}
		switch c := b[n]; {
		case v.scalar && (blank(c) || opens(c) || c == '"'):
			return v.end(n)
		case c == '"':
			v.quoted = true
		case opens(c):
			v.depth++
		case c == '}' || c == ']':
			if v.depth--; v.depth < 0 {
				return n, false, errNoValue
			}
			if v.depth == 0 {
				return v.end(n + 1)
			}
		case v.depth == 0 && !v.scalar:
			if c != '-' && c != 't' && c != 'f' && c != 'n' && (c < '0' || c > '9') {
				return n, false, errNoValue
			}
			v.scalar = true
		}
	}
	return n, false, nil
}

func (v *values) inString(c byte) {
	switch {
	case v.escape:
		v.escape = false
	case c == '\\':
		v.escape = true
	case c == '"':
		v.quoted = false
	}
}

func (v *values) end(n int) (int, bool, error) {
	*v = values{}
	return n, true, nil
}

func blank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == 0x1e }

func opens(c byte) bool { return c == '{' || c == '[' }

// Content implements source.Framing.
func (v *values) Content(message []byte) []byte {
	if blank(message[0]) {
		return nil
	}
	return message
}

// Rest implements source.Framing.
func (v *values) Rest([]byte) bool { return v.scalar }

// prefixed is the framing of messages with their length before them.
type prefixed struct {
	header func(head []byte) (length int64, ok bool, err error) // given the first bytes of a message; ok: they are the whole header
	head   []byte
	known  bool
	left   int64
}

// longest is the largest length that is believed.
const longest = 1 << 40

var errLength = errors.New("expected a length")

// Scan implements source.Framing.
func (p *prefixed) Scan(b []byte) (n int, whole bool, err error) {
	if len(p.head) > 0 && p.known && p.left == 0 {
		p.head, p.known = p.head[:0], false
	}
	for ; n < len(b) && !p.known; n++ {
		p.head = append(p.head, b[n])
		if p.left, p.known, err = p.header(p.head); err != nil || p.left > longest {
			return n, false, errLength
		}
	}
	take := min(p.left, int64(len(b)-n))
	p.left -= take
	return n + int(take), p.known && p.left == 0, nil
}

// Content implements source.Framing.
func (p *prefixed) Content(message []byte) []byte {
	return message[len(p.head):len(message):len(message)]
}

// Rest implements source.Framing.
func (p *prefixed) Rest([]byte) bool { return false }

func big32(head []byte) (int64, bool, error) {
	if len(head) < 4 {
		return 0, false, nil
	}
	return int64(binary.BigEndian.Uint32(head)), true, nil
}

func varint(head []byte) (int64, bool, error) {
	length, n := binary.Uvarint(head)
	if n < 0 || length > longest {
		return 0, false, errLength
	}
	return int64(length), n > 0, nil
}

func decimal(head []byte) (length int64, ok bool, err error) {
	for i, c := range head {
		switch {
		case i > 20:
			return 0, false, errLength
		case c == '\n':
			return length, true, nil
		case c == '\r', c == ' ':
		case c < '0' || c > '9' || length > longest:
			return 0, false, errLength
		default:
			length = 10*length + int64(c-'0')
		}
	}
	return 0, false, nil
}

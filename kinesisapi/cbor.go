package kinesisapi

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"
)

// The major types of CBOR (RFC 8949), as the upper three bits of the first byte of an item.
const (
	cborUint  = 0 << 5
	cborNeg   = 1 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborTag   = 6 << 5
	cborOther = 7 << 5

	cborBreak      = 0xff
	cborIndefinite = 31
	cborTime       = 1 // the tag of a time, here in milliseconds and not, as the standard has it, in seconds
)

// parseCBOR reads a body of CBOR: exactly one item, which must be a map.
func parseCBOR(body []byte) (value, error) {
	p := cborParser{b: body, left: maxValues}
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	if p.at != len(p.b) || v.kind != kindObject {
		return value{}, errSyntax
	}
	return v, nil
}

type cborParser struct {
	b    []byte
	at   int
	left int
}

// head reads the first byte and the argument of an item. Of an indefinite length n is -1.
func (p *cborParser) head() (major byte, n int64, err error) {
	if p.at >= len(p.b) {
		return 0, 0, errSyntax
	}
	first := p.b[p.at]
	p.at++
	major = first & 0xe0
	low := first & 0x1f
	if low < 24 {
		return major, int64(low), nil
	}
	if low == cborIndefinite && major >= cborBytes && major <= cborMap {
		return major, -1, nil
	}
	size := 1 << (low - 24)
	if low > 27 || len(p.b)-p.at < size {
		return 0, 0, errSyntax
	}
	var wide [8]byte
	copy(wide[8-size:], p.b[p.at:p.at+size])
	p.at += size
	arg := binary.BigEndian.Uint64(wide[:])
	if major > cborNeg && major < cborOther && arg > math.MaxInt32 {
		return 0, 0, errSyntax // no length is that large
	}
	return major, int64(arg), nil
}

func (p *cborParser) value(depth int) (value, error) {
	if p.left--; depth > maxDepth || p.left < 0 || p.at >= len(p.b) {
		return value{}, errSyntax
	}
	first := p.b[p.at]
	major, n, err := p.head()
	if err != nil {
		return value{}, err
	}
	switch major {
	case cborUint:
		return value{kind: kindNumber, number: float64(uint64(n))}, nil
	case cborNeg:
		return value{kind: kindNumber, number: -1 - float64(uint64(n))}, nil
	case cborBytes:
		b, err := p.bytes(cborBytes, n)
		return blobOf(b), err
	case cborText:
		b, err := p.bytes(cborText, n)
		return textOf(strings.ToValidUTF8(string(b), "\uFFFD")), err
	case cborArray:
		return p.array(n, depth)
	case cborMap:
		return p.mapping(n, depth)
	case cborTag:
		v, err := p.value(depth + 1)
		if n == cborTime && v.kind == kindNumber {
			v.kind = kindTime
		}
		return v, err
	}
	return simple(first&0x1f, uint64(n))
}

// bytes reads a string of either kind, which may come in chunks. A string of one piece shares the body.
func (p *cborParser) bytes(major byte, n int64) ([]byte, error) {
	if n >= 0 {
		if n > int64(len(p.b)-p.at) {
			return nil, errSyntax
		}
		b := p.b[p.at : p.at+int(n) : p.at+int(n)]
		p.at += int(n)
		return b, nil
	}
	whole := []byte{}
	for !p.end() {
		kind, n, err := p.head()
		if err != nil || kind != major || n < 0 {
			return nil, errSyntax
		}
		b, err := p.bytes(major, n)
		if err != nil {
			return nil, err
		}
		whole = append(whole, b...)
	}
	return whole, nil
}

// end takes the break that ends an item of indefinite length, if it comes next.
func (p *cborParser) end() bool {
	if p.at < len(p.b) && p.b[p.at] == cborBreak {
		p.at++
		return true
	}
	return false
}

func (p *cborParser) array(n int64, depth int) (value, error) {
	v := value{kind: kindList}
	for i := int64(0); n < 0 && !p.end() || i < n; i++ {
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.list = append(v.list, item)
	}
	return v, nil
}

func (p *cborParser) mapping(n int64, depth int) (value, error) {
	v := value{kind: kindObject}
	for i := int64(0); n < 0 && !p.end() || i < n; i++ {
		major, size, err := p.head()
		if err != nil || major != cborText {
			return value{}, errSyntax
		}
		name, err := p.bytes(cborText, size)
		if err != nil {
			return value{}, err
		}
		member, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.fields = append(v.fields, field{strings.ToValidUTF8(string(name), "\uFFFD"), member})
	}
	return v, nil
}

// simple returns the value of major type 7.
func simple(low byte, n uint64) (value, error) {
	switch low {
	case 20, 21:
		return boolOf(low == 21), nil
	case 22, 23: // null, undefined
		return value{}, nil
	case 25:
		return finite(halfFloat(uint16(n)))
	case 26:
		return finite(float64(math.Float32frombits(uint32(n))))
	case 27:
		return finite(math.Float64frombits(n))
	}
	return value{}, errSyntax
}

func finite(n float64) (value, error) {
	if math.IsNaN(n) {
		return value{}, errSyntax
	}
	return value{kind: kindNumber, number: n}, nil
}

func halfFloat(h uint16) float64 {
	exponent, mantissa := int(h>>10&31), float64(h&1023)
	n := math.Inf(1)
	switch {
	case exponent == 0:
		n = math.Ldexp(mantissa, -24)
	case exponent < 31:
		n = math.Ldexp(mantissa+1024, exponent-25)
	case mantissa != 0:
		n = math.NaN()
	}
	if h>>15 == 1 {
		return -n
	}
	return n
}

// appendCBOR appends v as CBOR: lengths definite, times as tag 1 with whole milliseconds.
func appendCBOR(out []byte, v *value) []byte {
	switch v.kind {
	case kindNull:
		return append(out, cborOther|22)
	case kindBool:
		if v.flag {
			return append(out, cborOther|21)
		}
		return append(out, cborOther|20)
	case kindNumber:
		return appendCBORNumber(out, v.number)
	case kindTime:
		return appendCBORTime(out, int64(v.number))
	case kindString:
		return appendCBORText(out, v.text)
	case kindBlob:
		return appendCBORBlob(out, v.blob)
	case kindList:
		out = appendHead(out, cborArray, uint64(len(v.list)))
		for i := range v.list {
			out = appendCBOR(out, &v.list[i])
		}
		return out
	case kindObject:
	}
	out = appendHead(out, cborMap, uint64(len(v.fields)))
	for i := range v.fields {
		out = appendCBORText(out, v.fields[i].name)
		out = appendCBOR(out, &v.fields[i].value)
	}
	return out
}

func appendCBORNumber(out []byte, n float64) []byte {
	switch {
	case n != math.Trunc(n) || math.Abs(n) > 1<<53:
		return binary.BigEndian.AppendUint64(append(out, cborOther|27), math.Float64bits(n))
	case n < 0:
		return appendHead(out, cborNeg, uint64(-1-n))
	}
	return appendHead(out, cborUint, uint64(n))
}

func appendCBORTime(out []byte, ms int64) []byte {
	out = append(out, cborTag|cborTime)
	if ms < 0 {
		return appendHead(out, cborNeg, uint64(-1-ms))
	}
	return appendHead(out, cborUint, uint64(ms))
}

func appendCBORText(out []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	out = appendHead(out, cborText, uint64(len(s)))
	return append(out, s...)
}

func appendCBORBlob(out, b []byte) []byte {
	out = appendHead(out, cborBytes, uint64(len(b)))
	return append(out, b...)
}

func appendHead(out []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(out, major|byte(n))
	case n <= math.MaxUint8:
		return append(out, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, major|27), n)
}

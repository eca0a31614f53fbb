package kinesisapi

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/jsontext"
)

// Bounds on bodies that are not what this API needs: a body that is nested deeper or holds more values is taken for one that does not parse.
const (
	maxDepth  = 64
	maxValues = 250_000
)

var errSyntax = errors.New("syntax error")

// parseJSON reads a body of JSON: exactly one value, which must be an object.
func parseJSON(body []byte) (value, error) {
	p := jsonParser{b: body, left: maxValues}
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	p.space()
	if p.at != len(p.b) || v.kind != kindObject {
		return value{}, errSyntax
	}
	return v, nil
}

type jsonParser struct {
	b    []byte
	at   int
	left int
}

func (p *jsonParser) space() {
	for p.at < len(p.b) {
		switch p.b[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *jsonParser) value(depth int) (value, error) {
	p.space()
	if p.left--; p.at >= len(p.b) || depth > maxDepth || p.left < 0 {
		return value{}, errSyntax
	}
	switch c := p.b[p.at]; c {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		text, err := p.string()
		return textOf(text), err
	case 't':
		return boolOf(true), p.word("true")
	case 'f':
		return boolOf(false), p.word("false")
	case 'n':
		return value{}, p.word("null")
	default:
		return p.number()
	}
}

func (p *jsonParser) word(w string) error {
	if len(p.b)-p.at < len(w) || string(p.b[p.at:p.at+len(w)]) != w {
		return errSyntax
	}
	p.at += len(w)
	return nil
}

// next skips space and takes the byte c, if it comes next.
func (p *jsonParser) next(c byte) bool {
	p.space()
	if p.at < len(p.b) && p.b[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *jsonParser) object(depth int) (value, error) {
	p.at++
	v := value{kind: kindObject}
	if p.next('}') {
		return v, nil
	}
	for {
		p.space()
		if p.at >= len(p.b) || p.b[p.at] != '"' {
			return value{}, errSyntax
		}
		name, err := p.string()
		if err != nil || !p.next(':') {
			return value{}, errSyntax
		}
		member, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.fields = append(v.fields, field{name, member})
		if p.next('}') {
			return v, nil
		}
		if !p.next(',') {
			return value{}, errSyntax
		}
	}
}

func (p *jsonParser) array(depth int) (value, error) {
	p.at++
	v := value{kind: kindList}
	if p.next(']') {
		return v, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.list = append(v.list, item)
		if p.next(']') {
			return v, nil
		}
		if !p.next(',') {
			return value{}, errSyntax
		}
	}
}

// number reads what RFC 8259 calls a number.
func (p *jsonParser) number() (value, error) {
	start := p.at
	p.take('-')
	if !p.take('0') && p.digits() == 0 {
		return value{}, errSyntax
	}
	if p.take('.') && p.digits() == 0 {
		return value{}, errSyntax
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if p.digits() == 0 {
			return value{}, errSyntax
		}
	}
	n, err := strconv.ParseFloat(string(p.b[start:p.at]), 64)
	if err != nil && !math.IsInf(n, 0) {
		return value{}, errSyntax
	}
	return value{kind: kindNumber, number: n}, nil
}

func (p *jsonParser) take(c byte) bool {
	if p.at < len(p.b) && p.b[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *jsonParser) digits() int {
	start := p.at
	for p.at < len(p.b) && p.b[p.at] >= '0' && p.b[p.at] <= '9' {
		p.at++
	}
	return p.at - start
}

// string reads a string. Bytes that are not UTF-8, and halves of surrogate pairs, become U+FFFD.
func (p *jsonParser) string() (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.b) {
		switch c := p.b[p.at]; {
		case c == '"':
			text := p.b[start:p.at]
			p.at++
			return string(text), nil
		case c == '\\' || c < 0x20 || c >= utf8.RuneSelf:
			return p.oddString(start)
		}
		p.at++
	}
	return "", errSyntax
}

func (p *jsonParser) oddString(start int) (string, error) {
	text := append([]byte(nil), p.b[start:p.at]...)
	for p.at < len(p.b) {
		switch c := p.b[p.at]; {
		case c == '"':
			p.at++
			return string(text), nil
		case c < 0x20:
			return "", errSyntax
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, r)
		case c < utf8.RuneSelf:
			text = append(text, c)
			p.at++
		default:
			r, size := utf8.DecodeRune(p.b[p.at:])
			text = utf8.AppendRune(text, r)
			p.at += size
		}
	}
	return "", errSyntax
}

func (p *jsonParser) escape() (rune, error) {
	if p.at+1 >= len(p.b) {
		return 0, errSyntax
	}
	c := p.b[p.at+1]
	p.at += 2
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
	default:
		return 0, errSyntax
	}
	r, ok := p.hex4(p.at)
	if !ok {
		return 0, errSyntax
	}
	p.at += 4
	if utf16.IsSurrogate(r) {
		if p.at+1 < len(p.b) && p.b[p.at] == '\\' && p.b[p.at+1] == 'u' {
			if low, ok := p.hex4(p.at + 2); ok {
				if whole := utf16.DecodeRune(r, low); whole != utf8.RuneError {
					p.at += 6
					return whole, nil
				}
			}
		}
		return utf8.RuneError, nil
	}
	return r, nil
}

func (p *jsonParser) hex4(at int) (rune, bool) {
	if at+4 > len(p.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.b[at:at+4]), 16, 16)
	return rune(n), err == nil
}

// appendJSON appends v as JSON: blobs as base64, times as seconds with three decimals.
func appendJSON(out []byte, v *value) []byte {
	switch v.kind {
	case kindNull:
		return append(out, "null"...)
	case kindBool:
		return strconv.AppendBool(out, v.flag)
	case kindNumber:
		return append(out, formatNumber(v.number)...)
	case kindTime:
		return appendSeconds(out, int64(v.number))
	case kindString:
		return jsontext.AppendString(out, v.text)
	case kindBlob:
		return appendBase64(out, v.blob)
	case kindList:
		out = append(out, '[')
		for i := range v.list {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(out, &v.list[i])
		}
		return append(out, ']')
	case kindObject:
	}
	out = append(out, '{')
	for i := range v.fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = jsontext.AppendString(out, v.fields[i].name)
		out = append(out, ':')
		out = appendJSON(out, &v.fields[i].value)
	}
	return append(out, '}')
}

func appendBase64(out, data []byte) []byte {
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, '"')
}

// appendSeconds appends a time as seconds since 1970, with milliseconds as decimals.
func appendSeconds(out []byte, ms int64) []byte {
	return strconv.AppendFloat(out, float64(ms)/1000, 'f', -1, 64)
}

func itoa(n int) string { return strconv.Itoa(n) }

func formatHex(n uint32) string { return strconv.FormatUint(uint64(n), 16) }

func formatNumber(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
		return strconv.FormatInt(int64(n), 10)
	}
	if math.Abs(n) < 1e21 {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}

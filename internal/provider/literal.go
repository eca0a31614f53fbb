package provider

import (
	"errors"
	"fmt"
)

// isLiteral reports whether text looks like a Python bytes literal: b'…' or b"…".
func isLiteral(text []byte) bool {
	n := len(text)
	return n >= 3 && text[0] == 'b' && (text[1] == '\'' || text[1] == '"') && text[n-1] == text[1]
}

// simpleEscapes are the escapes of one letter. A line cannot contain Python's escaped newline.
var simpleEscapes = map[byte]byte{
	'\\': '\\', '\'': '\'', '"': '"',
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// unquote returns the bytes of a literal for which isLiteral holds, by the rules of Python: \x
// takes exactly two hexadecimal digits; a backslash takes up to three octal digits, of which the
// lower eight bits count; before any other character it stands for itself, also
// before N, u and U. A byte above 127 has to be escaped.
func unquote(literal []byte) ([]byte, error) {
	quote, body := literal[1], literal[2:len(literal)-1]
	data := make([]byte, 0, len(body))
	for i := 0; i < len(body); {
		switch c := body[i]; {
		case c == quote:
			return nil, fmt.Errorf("bytes literal: a bare quote at byte %d", i+2)
		case c > 127:
			return nil, fmt.Errorf("bytes literal: byte %#x at byte %d is not escaped", c, i+2)
		case c != '\\':
			data = append(data, c)
			i++
		default:
			decoded, n, err := unescape(body[i:])
			if err != nil {
				return nil, fmt.Errorf("bytes literal: at byte %d: %w", i+2, err)
			}
			data = append(data, decoded...)
			i += n
		}
	}
	return data, nil
}

// unescape returns what the escape at the start of text stands for, and its length.
func unescape(text []byte) (decoded []byte, n int, err error) {
	if len(text) < 2 {
		return nil, 0, errors.New("the last quote is escaped")
	}
	c := text[1]
	if simple, ok := simpleEscapes[c]; ok {
		return []byte{simple}, 2, nil
	}
	switch {
	case c == 'x':
		if len(text) < 4 || hex(text[2]) < 0 || hex(text[3]) < 0 {
			return nil, 0, errors.New(`\x needs two hexadecimal digits`)
		}
		return []byte{byte(hex(text[2])<<4 | hex(text[3]))}, 4, nil
	case isOctal(c):
		value := 0
		for n = 1; n < len(text) && n < 4 && isOctal(text[n]); n++ {
			value = value<<3 | int(text[n]-'0')
		}
		return []byte{byte(value)}, n, nil
	}
	return text[:1], 1, nil
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

package filter

import (
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON from front to back, strictly as RFC 8259 has it, but that strings may hold bytes that are no UTF-8.
type scanner struct {
	data []byte
	at   int
}

// peek skips blanks and returns the next byte; 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// ended skips blanks and reports whether nothing follows.
func (s *scanner) ended() bool {
	s.peek()
	return s.at >= len(s.data)
}

// take skips blanks and one byte that must be c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// word reads true, false or null.
func (s *scanner) word(want string) bool {
	if len(s.data)-s.at < len(want) || string(s.data[s.at:s.at+len(want)]) != want {
		return false
	}
	s.at += len(want)
	return true
}

// special are the bytes that end a run of plain ones in a string.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// str reads a string whose quote is next, and returns what is between the quotes as it is written.
func (s *scanner) str() (raw []byte, escaped, ok bool) {
	s.at++
	start := s.at
	for {
		for s.at < len(s.data) && !special[s.data[s.at]] {
			s.at++
		}
		if s.at >= len(s.data) {
			return nil, false, false
		}
		switch s.data[s.at] {
		case '"':
			s.at++
			return s.data[start : s.at-1], escaped, true
		case '\\':
			if escaped = true; !s.escape() {
				return nil, false, false
			}
		default:
			return nil, false, false
		}
	}
}

// escape passes over an escape sequence.
func (s *scanner) escape() bool {
	if s.at++; s.at >= len(s.data) {
		return false
	}
	switch c := s.data[s.at]; c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at++
		return true
	case 'u':
		if len(s.data)-s.at < 5 || hex4(s.data[s.at+1:]) < 0 {
			return false
		}
		s.at += 5
		return true
	}
	return false
}

// number reads a number.
func (s *scanner) number() (raw []byte, ok bool) {
	start := s.at
	if s.at < len(s.data) && s.data[s.at] == '-' {
		s.at++
	}
	switch {
	case s.at < len(s.data) && s.data[s.at] == '0':
		s.at++
	case !s.digits():
		return nil, false
	}
	if s.at < len(s.data) && s.data[s.at] == '.' {
		if s.at++; !s.digits() {
			return nil, false
		}
	}
	if s.at < len(s.data) && (s.data[s.at] == 'e' || s.data[s.at] == 'E') {
		if s.at++; s.at < len(s.data) && (s.data[s.at] == '+' || s.data[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return nil, false
		}
	}
	return s.data[start:s.at], true
}

// digits passes over digits, of which there must be one.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// skip passes over a value that lies so deep.
func (s *scanner) skip(depth int) Verdict {
	switch c := s.peek(); c {
	case '{', '[':
		if depth >= maxDepth {
			return TooDeep
		}
		return s.skipInside(c, depth)
	case '"':
		_, _, ok := s.str()
		return valid(ok)
	case 't':
		return valid(s.word("true"))
	case 'f':
		return valid(s.word("false"))
	case 'n':
		return valid(s.word("null"))
	default:
		_, ok := s.number()
		return valid(ok)
	}
}

// skipInside passes over an object or an array.
func (s *scanner) skipInside(open byte, depth int) Verdict {
	s.at++
	end := open + 2 // of ASCII: { and }, [ and ]
	if s.take(end) {
		return Pass
	}
	for {
		if open == '{' {
			if s.peek() != '"' {
				return NotJSON
			}
			if _, _, ok := s.str(); !ok || !s.take(':') {
				return NotJSON
			}
		}
		if v := s.skip(depth + 1); v != Pass {
			return v
		}
		if s.take(end) {
			return Pass
		}
		if !s.take(',') {
			return NotJSON
		}
	}
}

func valid(ok bool) Verdict {
	if ok {
		return Pass
	}
	return NotJSON
}

// unescape appends what a string with valid escape sequences means. Half a surrogate pair becomes U+FFFD, as in encoding/json.
func unescape(out, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'u':
			r := rune(hex4(raw[i+2:]))
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					low = rune(hex4(raw[i+2:]))
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
			continue
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		out = append(out, c)
		i += 2
	}
	return out
}

// hex4 returns the number that four hexadecimal digits are, and -1 if they are none.
func hex4(b []byte) int {
	n := 0
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		n = n<<4 | int(c)
	}
	return n
}

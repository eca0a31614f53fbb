package filter

import (
	"bytes"
	"math"
	"net/netip"
	"strconv"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// op is what a test does.
type op uint8

const (
	opText       op = iota // is text
	opTexts                // is one of texts
	opNumber               // is the number low, or is written as text
	opWord                 // is true, false or null: the first letter
	opRange                // is a number from low to high
	opPresent              // is there
	opAbsent               // is not there
	opPrefix               // begins with text
	opSuffix               // ends with text
	opFold                 // is folded, whatever the case
	opFoldPrefix           // begins with folded
	opFoldSuffix           // ends with folded
	opWildcard             // is parts with anything between them
	opNet                  // is an address of net
	opNot                  // is none of tests
)

// test is one value or operator of a list.
type test struct {
	op                op
	word              byte
	lowOpen, highOpen bool
	text              string
	low, high         float64
	texts             map[string]bool
	folded            []rune
	parts             []string
	net               netip.Prefix
	tests             []test
}

// scalar is a value of an event that is neither object nor array.
type scalar struct {
	kind   byte   // " 0 t f n
	text   []byte // of a text without quotes and escapes, of a number as it is written
	number float64
	known  bool // number
}

// exact is up to where doubles hold every whole number. Larger numbers are equal if they are written alike.
const exact = 1 << 53

var inf = math.Inf(1)

// value returns the number that is written; one that is too large is an infinite one.
func (s *scalar) value() float64 {
	if !s.known {
		s.number, _ = strconv.ParseFloat(unsafe.String(unsafe.SliceData(s.text), len(s.text)), 64) // it keeps no part of it
		s.known = true
	}
	return s.number
}

// holds judges a scalar.
func (t *test) holds(s *scalar) bool {
	switch t.op {
	case opPresent:
		return true
	case opAbsent:
		return false
	case opWord:
		return s.kind == t.word
	case opNumber:
		return s.kind == '0' && (string(s.text) == t.text || math.Abs(t.low) < exact && s.value() == t.low)
	case opRange:
		return s.kind == '0' && t.within(s.value())
	case opNot:
		for i := range t.tests {
			if t.tests[i].holds(s) {
				return false
			}
		}
		return true
	default:
		return s.kind == '"' && t.holdsText(s.text)
	}
}

func (t *test) within(n float64) bool {
	return (n > t.low || n == t.low && !t.lowOpen) && (n < t.high || n == t.high && !t.highOpen)
}

// holdsText judges a text.
func (t *test) holdsText(text []byte) bool {
	switch t.op {
	case opText:
		return string(text) == t.text
	case opTexts:
		return t.texts[string(text)]
	case opPrefix:
		return len(text) >= len(t.text) && string(text[:len(t.text)]) == t.text
	case opSuffix:
		return len(text) >= len(t.text) && string(text[len(text)-len(t.text):]) == t.text
	case opFold:
		n, ok := foldedPrefix(text, t.folded)
		return ok && n == len(text)
	case opFoldPrefix:
		_, ok := foldedPrefix(text, t.folded)
		return ok
	case opFoldSuffix:
		return foldedSuffix(text, t.folded)
	case opWildcard:
		return t.fits(text)
	default:
		return t.contains(text)
	}
}

// fits judges a text by parts with anything between them: each part is looked for behind the one before it, so that nothing is tried twice.
func (t *test) fits(text []byte) bool {
	first, last := t.parts[0], t.parts[len(t.parts)-1]
	if len(t.parts) == 1 {
		return string(text) == first
	}
	if len(text) < len(first)+len(last) || string(text[:len(first)]) != first || string(text[len(text)-len(last):]) != last {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range t.parts[1 : len(t.parts)-1] {
		i := bytes.Index(text, unsafe.Slice(unsafe.StringData(part), len(part)))
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// longestAddress is how long an address can be without a zone, which is in no range.
const longestAddress = 45

// contains judges an address.
func (t *test) contains(text []byte) bool {
	if len(text) < 2 || len(text) > longestAddress || bytes.IndexByte(text, '.') < 0 && bytes.IndexByte(text, ':') < 0 {
		return false
	}
	address, err := netip.ParseAddr(string(text))
	return err == nil && t.net.Contains(address)
}

// fold returns the smallest of the characters that differ from r by case alone.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

func foldAll(text string) []rune {
	out := []rune(text)
	for i, r := range out {
		out[i] = fold(r)
	}
	return out
}

// foldedPrefix returns how long the prefix of text is that is prefix but for the case.
func foldedPrefix(text []byte, prefix []rune) (n int, ok bool) {
	for _, want := range prefix {
		r, size := utf8.DecodeRune(text[n:])
		if size == 0 || fold(r) != want {
			return 0, false
		}
		n += size
	}
	return n, true
}

func foldedSuffix(text []byte, suffix []rune) bool {
	for i := len(suffix) - 1; i >= 0; i-- {
		r, size := utf8.DecodeLastRune(text)
		if size == 0 || fold(r) != suffix[i] {
			return false
		}
		text = text[:len(text)-size]
	}
	return true
}

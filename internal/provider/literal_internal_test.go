package provider

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The right column is what ast.literal_eval of Python 3 gives.
func TestBytesLiteralsFollowPythonsRules(t *testing.T) {
	for literal, want := range map[string]string{
		`b''`:                          "",
		`b'a'`:                         "a",
		`b'\x1f\x8b\x00'`:              "\x1f\x8b\x00",
		`b'\'\"'`:                      `'"`,
		`b"it's \"x\""`:                `it's "x"`,
		`b'\\n\n\r\t\a\b\f\v'`:         "\\n\n\r\t\a\b\f\v",
		`b'\0\12\1234\400\777\8\9'`:    "\x00\nS4\x00\xff\\8\\9",
		`b'\q\N{DASH}\u1234\U'`:        `\q\N{DASH}\u1234\U`,
		`b'\xAf\xfF\08'`:               "\xaf\xff\x008",
		`b'{"ty":"trade","v":[1,2]}'`:  `{"ty":"trade","v":[1,2]}`,
		`b'ends with a backslash \\'`:  `ends with a backslash \`,
		`b'two backslashes \\\\x41\\'`: `two backslashes \\x41\`,
	} {
		if !isLiteral([]byte(literal)) {
			t.Errorf("%s is no literal", literal)
			continue
		}
		got, err := unquote([]byte(literal))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", literal, got, err, want)
		}
	}
}

func TestBrokenBytesLiteralsAreErrors(t *testing.T) {
	for literal, want := range map[string]string{
		`b'\x1'`:  `\x needs two`,
		`b'\xg1'`: `\x needs two`,
		`b'\x'`:   `\x needs two`,
		`b'\'`:    "the last quote is escaped",
		`b'a'b'`:  "a bare quote at byte 3",
		"b'\xe9'": "not escaped",
		"b'\\é'":  "not escaped",
	} {
		if got, err := unquote([]byte(literal)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v; want an error with %q", literal, got, err, want)
		}
	}
	for _, text := range []string{``, `b'`, `b''x`, `"b"`, `{"a":"b"}`, `b'a"`} {
		if isLiteral([]byte(text)) {
			t.Errorf("%s is taken for a literal", text)
		}
	}
}

// quote writes data as Python's repr does.
func quote(data []byte) string {
	quote := byte('\'')
	if bytes.IndexByte(data, '\'') >= 0 && bytes.IndexByte(data, '"') < 0 {
		quote = '"'
	}
	var b strings.Builder
	b.WriteByte('b')
	b.WriteByte(quote)
	for _, c := range data {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

func FuzzUnquote(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\x1f\x8b\x08\x00 it's \"x\" \\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := unquote([]byte(quote(data)))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: got %q, %v; want %q", quote(data), got, err, data)
		}
		if isLiteral(data) { // whatever it is, it is an error or no longer than the text
			if got, err := unquote(data); err == nil && len(got) > len(data) {
				t.Errorf("%q became %q", data, got)
			}
		}
	})
}

// Package jsontext writes texts of JSON where encoding/json would cost too much. Its functions append, and may be called by any number of goroutines.
package jsontext

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// AppendString appends a text as JSON writes it, in quotes. What is no UTF-8 becomes U+FFFD.
func AppendString[T string | []byte](out []byte, text T) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(text[i:min(len(text), i+utf8.UTFMax)]))
			if r == utf8.RuneError && size == 1 {
				out = append(append(out, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		out = append(out, text[start:i]...)
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(out, text[start:]...), '"')
}

package jsonl

import (
	"bytes"
	"encoding/base64"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

// The members that mark a wrapped payload.
const (
	wrappedText   = "leat_text"
	wrappedBase64 = "leat_base64"
)

// appendLine appends the line of a record.
func appendLine(line []byte, shard string, r *leat.Record, envelope bool) []byte {
	switch {
	case envelope:
		line = appendEnvelope(line, shard, r)
	case isJSON(r.Data) && !wrapped(r.Data):
		line = appendOneLine(line, r.Data)
	default:
		line = append(appendMember(append(line, '{'), wrappedText, wrappedBase64, view(r.Data)), '}')
	}
	return append(line, '\n')
}

func appendEnvelope(line []byte, shard string, r *leat.Record) []byte {
	line = append(line, `{"shard":"`...)
	line = append(line, shard...)
	line = append(line, `","sequence_number":"`...)
	line = append(line, r.Sequence.String()...)
	line = append(line, `",`...)
	line = appendMember(line, "key", "key_base64", r.PartitionKey)
	line = appendTime(append(line, `,"arrived":"`...), r.Arrived)
	if !r.Time.IsZero() {
		line = appendTime(append(line, `,"time":"`...), r.Time)
	}
	if r.ID != "" {
		line = appendMember(append(line, ','), "id", "id_base64", r.ID)
	}
	line = append(line, ',')
	if isJSON(r.Data) {
		line = appendOneLine(append(line, `"data":`...), r.Data)
	} else {
		line = appendMember(line, "data_text", "data_base64", view(r.Data))
	}
	return append(line, '}')
}

// appendTime appends t and the quote behind it.
func appendTime(line []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(line, "2006-01-02T15:04:05.000Z"), '"')
}

// appendMember appends a member with the first name and s as a text, or with the second name and s in
// base64 if it is not UTF-8.
func appendMember(line []byte, text, base, s string) []byte {
	line = append(line, '"')
	if utf8.ValidString(s) {
		line = append(append(line, text...), `":"`...)
		return append(appendEscaped(line, s), '"')
	}
	line = append(append(line, base...), `":"`...)
	return append(base64.StdEncoding.AppendEncode(line, unsafe.Slice(unsafe.StringData(s), len(s))), '"')
}

// appendEscaped escapes what JSON demands and nothing else, so that the bytes depend on no library.
func appendEscaped(line []byte, s string) []byte {
	const hex = "0123456789abcdef"
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		line = append(line, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			line = append(line, '\\', c)
		case '\n':
			line = append(line, '\\', 'n')
		default:
			line = append(line, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(line, s[done:]...)
}

// appendOneLine appends JSON without the white space around it, and with line breaks as spaces: they can
// only stand between its tokens.
func appendOneLine(line, data []byte) []byte {
	start := len(line)
	data = bytes.Trim(data, " \t\r\n")
	line = append(line, data...)
	if bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0 {
		for i, c := range line[start:] {
			if c == '\n' || c == '\r' {
				line[start+i] = ' '
			}
		}
	}
	return line
}

// isJSON reports whether data is one JSON value in UTF-8.
func isJSON(data []byte) bool { return utf8.Valid(data) && expression.Valid(data) }

// wrapped reports whether data, which must be JSON, is an object whose first member has the name of a
// wrapper's, however it is escaped.
func wrapped(data []byte) bool {
	whole := gjson.Parse(view(data))
	found := false
	if whole.IsObject() {
		whole.ForEach(func(key, _ gjson.Result) bool {
			found = slices.Contains([]string{wrappedText, wrappedBase64}, key.Str)
			return false
		})
	}
	return found
}

// view returns b as a text that shares its memory: payloads are never written again.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

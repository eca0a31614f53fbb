package decode

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"unsafe"

	"github.com/leatstream/leat/internal/expression"
)

// textStage leaves a message as it is.
type textStage struct{}

// run implements stage.
func (textStage) run(in, _ []byte) ([]byte, bool, error) { return in, false, nil }

// base64Stage takes both alphabets, padded or not.
type base64Stage struct{}

// run implements stage.
func (base64Stage) run(in, out []byte) ([]byte, bool, error) {
	in = bytes.TrimRight(bytes.TrimSpace(in), "=")
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(in, "-_") {
		encoding = base64.RawURLEncoding
	}
	out, err := encoding.AppendDecode(out, in)
	if out == nil {
		out = []byte{}
	}
	return out, true, err
}

// memberStage goes on with the member at a path; with the text of it, if it is one.
type memberStage struct{ path expression.Path }

// run implements stage.
func (s memberStage) run(in, out []byte) ([]byte, bool, error) {
	raw, _, ok := s.path.Find(asText(in))
	switch {
	case !ok || raw == "null":
		return nil, false, errAsIs
	case raw[0] != '"':
		return asBytes(raw), false, nil
	}
	text, err := unquoted(asBytes(raw))
	return append(out, text...), true, err
}

// jsonStringStage puts the object or list that is written in the text at a path into its place.
type jsonStringStage struct{ path expression.Path }

// run implements stage.
func (s jsonStringStage) run(in, out []byte) ([]byte, bool, error) {
	raw, at, ok := s.path.Find(asText(in))
	if !ok || raw[0] != '"' || at == 0 && len(raw) != len(in) {
		return in, false, nil
	}
	text, _ := unquoted(asBytes(raw)) // nothing, if it is no text
	inner := bytes.TrimSpace(text)
	if len(inner) == 0 || inner[0] != '{' && inner[0] != '[' || !json.Valid(inner) {
		return in, false, nil
	}
	out = append(append(out, in[:at]...), inner...)
	return append(out, in[at+len(raw):]...), true, nil
}

var errNoText = errors.New("the text is none of JSON")

// unquoted returns what a JSON string says; it shares memory with it where nothing is escaped.
func unquoted(quoted []byte) ([]byte, error) {
	if len(quoted) < 2 || quoted[len(quoted)-1] != '"' {
		return nil, errNoText
	}
	if plain := quoted[1 : len(quoted)-1]; bytes.IndexByte(plain, '\\') < 0 {
		return plain, nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return nil, errNoText
	}
	return []byte(text), nil
}

// asText shares the memory of data, which nobody changes meanwhile.
func asText(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

func asBytes(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// appendFloat appends a number as JSON; null for what is no number.
func appendFloat(out []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(out, "null"...)
	}
	form := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(out, f, form, -1, bits)
}

// appendBytes appends bytes in the manner of AT Protocol.
func appendBytes(out []byte, data []byte) []byte {
	out = append(out, `{"$bytes":"`...)
	out = base64.RawStdEncoding.AppendEncode(out, data)
	return append(out, `"}`...)
}

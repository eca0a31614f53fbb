package kinesis

import (
	"bytes"
	"encoding/json"
)

// readJSON does as readCBOR. What the scanner does not know it leaves to encoding/json, which takes twenty times as long.
func readJSON(body []byte) (answer, error) {
	r := jsonReader{b: body}
	if a := r.answer(); !r.bad && len(r.b) == 0 {
		return a, nil
	}
	var in struct {
		FailedRecordCount int
		Records           []struct {
			SequenceNumber, ErrorCode, ErrorMessage string

			Shard string `json:"ShardId"`
		}
		Type    string `json:"__type"`
		Message string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return answer{}, errBadAnswer
	}
	a := answer{failed: in.FailedRecordCount, kind: in.Type, message: in.Message}
	if in.Records != nil {
		a.outcomes = make([]outcome, len(in.Records))
	}
	for i := range in.Records {
		r := &in.Records[i]
		a.outcomes[i] = outcome{[]byte(r.Shard), []byte(r.SequenceNumber), []byte(r.ErrorCode), []byte(r.ErrorMessage)}
	}
	return a, nil
}

// jsonReader reads the part of JSON that answers are made of: objects of texts and numbers, and lists of them. Anything else is bad.
type jsonReader struct {
	b   []byte
	bad bool
}

// next skips white space and takes the next byte, 0 at the end.
func (r *jsonReader) next() byte {
	c := r.peek()
	if c != 0 {
		r.b = r.b[1:]
	}
	return c
}

func (r *jsonReader) peek() byte {
	for len(r.b) > 0 {
		switch c := r.b[0]; c {
		case ' ', '\n', '\r', '\t':
			r.b = r.b[1:]
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) expect(c byte) {
	if r.next() != c {
		r.bad, r.b = true, nil
	}
}

// members calls each for every member of an object. each reads the value.
func (r *jsonReader) members(each func(name []byte)) {
	r.expect('{')
	if r.peek() == '}' {
		r.next()
		return
	}
	for !r.bad {
		name := r.text()
		r.expect(':')
		each(name)
		switch r.next() {
		case ',':
		case '}':
			return
		default:
			r.bad = true
		}
	}
}

// text reads a text without escapes.
func (r *jsonReader) text() []byte {
	r.expect('"')
	i := bytes.IndexByte(r.b, '"')
	if i < 0 || bytes.IndexByte(r.b[:i], '\\') >= 0 {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:i]
	r.b = r.b[i+1:]
	return out
}

// value reads a text, a number without a fraction, or null.
func (r *jsonReader) value() (text []byte, number int) {
	if r.peek() == '"' {
		return r.text(), 0
	}
	if bytes.HasPrefix(r.b, []byte("null")) {
		r.b = r.b[4:]
		return nil, 0
	}
	n := 0
	for n < len(r.b) && n < 18 && r.b[n] >= '0' && r.b[n] <= '9' {
		number = number*10 + int(r.b[n]-'0')
		n++
	}
	if n == 0 {
		r.bad = true
	}
	r.b = r.b[n:]
	return nil, number
}

func (r *jsonReader) answer() (a answer) {
	r.members(func(name []byte) {
		switch string(name) {
		case "Records":
			a.outcomes = r.outcomes()
		case "FailedRecordCount":
			_, a.failed = r.value()
		case "__type":
			text, _ := r.value()
			a.kind = string(text)
		case "message", "Message":
			text, _ := r.value()
			a.message = string(text)
		default:
			r.value()
		}
	})
	r.peek()
	return a
}

func (r *jsonReader) outcomes() []outcome {
	all := make([]outcome, 0, min(maxRecords, len(r.b)/64+1))
	r.expect('[')
	if r.peek() == ']' {
		r.next()
		return all
	}
	for !r.bad {
		var o outcome
		r.members(func(name []byte) {
			text, _ := r.value()
			switch string(name) {
			case "SequenceNumber":
				o.sequence = text
			case "ShardId":
				o.shard = text
			case "ErrorCode":
				o.code = text
			case "ErrorMessage":
				o.message = text
			}
		})
		all = append(all, o)
		switch r.next() {
		case ',':
		case ']':
			return all
		default:
			r.bad = true
		}
	}
	return nil
}

package kinesis

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/leatstream/leat/internal/jsontext"
)

// entry is one record of a PutRecords request: one event, or several in an aggregate.
type entry struct {
	items []*item
	key   string
	data  []byte
	hash  string // the explicit hash key in decimal, or empty
	lane  *lane
}

func (e *entry) size() int { return len(e.key) + len(e.data) }

// The major types of CBOR.
const (
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborList  = 4 << 5
	cborMap   = 5 << 5
)

// appendHead appends the head of a CBOR item.
func appendHead(b []byte, major byte, n int) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
}

func appendText(b []byte, s string) []byte { return append(appendHead(b, cborText, len(s)), s...) }

// appendCBOR appends the body of a PutRecords request.
func appendCBOR(b []byte, stream string, entries []entry) []byte {
	b = appendText(appendHead(b, cborMap, 2), "StreamName")
	b = appendText(b, stream)
	b = appendText(b, "Records")
	b = appendHead(b, cborList, len(entries))
	for i := range entries {
		e := &entries[i]
		members := 2
		if e.hash != "" {
			members = 3
		}
		b = appendText(appendHead(b, cborMap, members), "Data")
		b = append(appendHead(b, cborBytes, len(e.data)), e.data...)
		b = appendText(appendText(b, "PartitionKey"), e.key)
		if e.hash != "" {
			b = appendText(appendText(b, "ExplicitHashKey"), e.hash)
		}
	}
	return b
}

// appendJSON does as appendCBOR.
func appendJSON(b []byte, stream string, entries []entry) []byte {
	b = append(b, `{"StreamName":"`...)
	b = append(b, stream...) // CheckName leaves nothing to escape
	b = append(b, `","Records":[`...)
	for i := range entries {
		e := &entries[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Data":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.data)
		b = append(b, `","PartitionKey":`...)
		b = jsontext.AppendString(b, e.key)
		if e.hash != "" {
			b = append(b, `,"ExplicitHashKey":"`...)
			b = append(append(b, e.hash...), '"')
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// outcome is what became of one record of a request. Its texts share the memory of the answer.
type outcome struct {
	shard, sequence []byte
	code, message   []byte // code is empty if the record is stored
}

// answer is what an answer of Kinesis says, to PutRecords or as an error.
type answer struct {
	failed   int
	outcomes []outcome
	kind     string // __type, of an error
	message  string
}

var errBadAnswer = errors.New("the answer cannot be read")

// maxDepth is how deep the values of an answer may lie in each other.
const maxDepth = 8

// cborReader reads the part of CBOR that answers are made of.
type cborReader struct {
	b   []byte
	bad bool
}

func (r *cborReader) fail() { r.bad, r.b = true, nil }

// head reads the head of an item. It returns -1 as length where the item is ended by a break.
func (r *cborReader) head() (major byte, n int) {
	if len(r.b) == 0 {
		r.fail()
		return 0xff, 0
	}
	first := r.b[0]
	r.b = r.b[1:]
	major = first & 0xe0
	switch low := first & 0x1f; {
	case low < 24:
		return major, int(low)
	case low <= 27:
		size := 1 << (low - 24)
		if len(r.b) < size {
			r.fail()
			return 0xff, 0
		}
		var v uint64
		for _, c := range r.b[:size] {
			v = v<<8 | uint64(c)
		}
		r.b = r.b[size:]
		if v > 1<<62 {
			v = 1 << 62
		}
		return major, int(v)
	case low == 31:
		return major, -1
	}
	r.fail()
	return 0xff, 0
}

// end reports whether a list or map that began with length n has ended after i items.
func (r *cborReader) end(n, i int) bool {
	if r.bad {
		return true
	}
	if n >= 0 {
		return i >= n
	}
	if len(r.b) > 0 && r.b[0] == 0xff {
		r.b = r.b[1:]
		return true
	}
	return false
}

// text reads a text or byte string, and skips anything else.
func (r *cborReader) text() []byte {
	if len(r.b) == 0 {
		r.fail()
		return nil
	}
	if major := r.b[0] & 0xe0; major != cborText && major != cborBytes {
		r.skip(maxDepth)
		return nil
	}
	_, n := r.head()
	if n >= 0 {
		return r.take(n)
	}
	var all []byte
	for i := 0; !r.end(-1, i); i++ {
		_, n := r.head()
		all = append(all, r.take(n)...)
	}
	return all
}

func (r *cborReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *cborReader) skip(depth int) {
	if depth == 0 {
		r.fail()
		return
	}
	major, n := r.head()
	switch major {
	case cborBytes, cborText:
		if n >= 0 {
			r.take(n)
			return
		}
		for i := 0; !r.end(n, i); i++ {
			r.skip(depth - 1)
		}
	case cborList:
		for i := 0; !r.end(n, i); i++ {
			r.skip(depth - 1)
		}
	case cborMap:
		for i := 0; !r.end(n, i); i++ {
			r.skip(depth - 1)
			r.skip(depth - 1)
		}
	case 6 << 5:
		r.skip(depth - 1)
	}
}

// readCBOR reads an answer. The outcomes share the memory of body.
func readCBOR(body []byte) (answer, error) {
	r := &cborReader{b: body}
	var a answer
	major, n := r.head()
	if major != cborMap {
		return a, errBadAnswer
	}
	for i := 0; !r.end(n, i); i++ {
		switch string(r.text()) {
		case "FailedRecordCount":
			_, a.failed = r.head()
		case "Records":
			a.outcomes = r.outcomes()
		case "__type":
			a.kind = string(r.text())
		case "message", "Message":
			a.message = string(r.text())
		default:
			r.skip(maxDepth)
		}
	}
	if r.bad {
		return a, errBadAnswer
	}
	return a, nil
}

func (r *cborReader) outcomes() []outcome {
	major, n := r.head()
	if major != cborList {
		r.fail()
		return nil
	}
	all := make([]outcome, 0, min(max(n, 0), maxRecords))
	for i := 0; !r.end(n, i); i++ {
		major, n := r.head()
		if major != cborMap {
			r.fail()
			return nil
		}
		var o outcome
		for j := 0; !r.end(n, j); j++ {
			switch string(r.text()) {
			case "SequenceNumber":
				o.sequence = r.text()
			case "ShardId":
				o.shard = r.text()
			case "ErrorCode":
				o.code = r.text()
			case "ErrorMessage":
				o.message = r.text()
			default:
				r.skip(maxDepth)
			}
		}
		all = append(all, o)
	}
	return all
}

// shardNumber reads a shard id without making a text of it, -1 where it is none.
func shardNumber(id []byte) int64 {
	const prefix = "shardId-"
	if len(id) <= len(prefix) || string(id[:len(prefix)]) != prefix {
		return -1
	}
	n, err := strconv.ParseUint(string(id[len(prefix):]), 10, 31)
	if err != nil {
		return -1
	}
	return int64(n)
}

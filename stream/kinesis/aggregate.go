package kinesis

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the format asks for it
	"encoding/binary"
	"strconv"
	"time"

	"github.com/leatstream/leat"
)

// An aggregate is one record of Kinesis that holds several events, in the format of the Kinesis Producer Library
// (github.com/awslabs/amazon-kinesis-producer, aggregation-format.md):
//
//	+-------------+----------------------------------+---------------------+
//	| F3 89 9A C2 | AggregatedRecord, Protocol Buffers | MD5 of the middle |
//	+-------------+----------------------------------+---------------------+
//
//	AggregatedRecord  1 partition_key_table, 2 explicit_hash_key_table (text, many), 3 records (Record, many)
//	Record            1 partition_key_index, 2 explicit_hash_key_index (integers), 3 data (bytes), 4 tags (Tag, many)
//	Tag               1 key, 2 value (text)
//
// Leat keeps what a record of Kinesis has no place for in tags: the source, the identity and the time of the event. Other readers pass over them.
const (
	aggregateMagic  = "\xf3\x89\x9a\xc2"
	aggregateTarget = 51_200 // bytes of an aggregate: what the Kinesis Producer Library makes
	aggregateFrame  = len(aggregateMagic) + md5.Size
)

// The keys of the tags.
const (
	tagSource = "leat.source"
	tagID     = "leat.id"
	tagTime   = "leat.time" // milliseconds since 1970
)

// The fields with their wire types.
const (
	fieldKeys    = 1<<3 | 2
	fieldHashes  = 2<<3 | 2
	fieldRecords = 3<<3 | 2
	recordKey    = 1 << 3
	recordHash   = 2 << 3
	recordData   = 3<<3 | 2
	recordTags   = 4<<3 | 2
	tagKey       = 1<<3 | 2
	tagValue     = 2<<3 | 2
)

// aggregator builds one aggregate.
type aggregator struct {
	tables, records, one []byte
	keys, hashes         map[string]uint64
}

func appendField(b []byte, field byte, text string) []byte {
	return append(binary.AppendUvarint(append(b, field), uint64(len(text))), text...)
}

func appendTag(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	n := 2 + len(key) + 1 + uvarintLen(len(value)) + len(value)
	b = binary.AppendUvarint(append(b, recordTags), uint64(n))
	return appendField(appendField(b, tagKey, key), tagValue, value)
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// add adds an event unless the aggregate would become larger than most. The first one always has its place.
func (a *aggregator) add(it *item, most int) bool {
	key, hash := keyOf(it), ""
	tables := len(a.tables)
	keyAt, known := a.keys[key]
	if !known {
		keyAt = uint64(len(a.keys))
		a.tables = appendField(a.tables, fieldKeys, key)
	}
	one := binary.AppendUvarint(append(a.one[:0], recordKey), keyAt)
	hashKnown, hashAt := true, uint64(0)
	if it.record.HashKey != nil {
		hash = it.record.HashKey.String()
		if hashAt, hashKnown = a.hashes[hash]; !hashKnown {
			hashAt = uint64(len(a.hashes))
			a.tables = appendField(a.tables, fieldHashes, hash)
		}
		one = binary.AppendUvarint(append(one, recordHash), hashAt)
	}
	one = binary.AppendUvarint(append(one, recordData), uint64(len(it.record.Data)))
	one = append(one, it.record.Data...)
	one = appendTag(one, tagSource, it.record.Source)
	one = appendTag(one, tagID, it.record.ID)
	if !it.record.Time.IsZero() {
		one = appendTag(one, tagTime, strconv.FormatInt(it.record.Time.UnixMilli(), 10))
	}
	a.one = one
	if aggregateFrame+len(a.tables)+len(a.records)+len(one)+6 > most {
		a.tables = a.tables[:tables]
		return false
	}
	if !known {
		a.keys[key] = keyAt
	}
	if !hashKnown {
		a.hashes[hash] = hashAt
	}
	a.records = binary.AppendUvarint(append(a.records, fieldRecords), uint64(len(one)))
	a.records = append(a.records, one...)
	return true
}

// bytes returns the aggregate.
func (a *aggregator) bytes() []byte {
	b := make([]byte, 0, aggregateFrame+len(a.tables)+len(a.records))
	b = append(append(append(b, aggregateMagic...), a.tables...), a.records...)
	sum := md5.Sum(b[len(aggregateMagic):]) //nolint:gosec // see the import
	return append(b, sum[:]...)
}

// aggregate puts more of the lane into the entry of the record that was taken from it: first what follows it in the order of its key, then what
// is ready, and what follows that. The caller holds mu.
func (f *forwarder) aggregate(b *flight, l *lane, e *entry) {
	a := &aggregator{keys: map[string]uint64{}, hashes: map[string]uint64{}}
	last := b.whole[len(b.whole)-1]
	if !a.add(last, aggregateTarget) {
		return // it goes alone
	}
	for {
		next, waits := last.next, false
		if next == nil || next.flying || f.shards.unfit(next) != "" || next.alone || next.most > 0 || !a.add(next, aggregateTarget) {
			if l.len() == 0 {
				break
			}
			next, waits = l.ready[l.head], true
			if f.shards.unfit(next) != "" || next.alone || next.most > 0 || !a.add(next, aggregateTarget) {
				break
			}
			l.pop()
		}
		next.flying, next.behind = true, !waits
		b.whole = append(b.whole, next)
		last = next
	}
	e.data = a.bytes()
	l.pace.bytes -= float64(max(0, len(e.data)-b.whole[len(b.whole)-1].size))
}

// part is one event of an aggregate.
type part struct {
	key, hash uint64
	hashed    bool
	data      []byte
	tags      [][2]string
}

// appendParts appends the events that a record of Kinesis holds: itself, unless it is an aggregate. What looks like one and is not is an ordinary
// record, as the format says.
func appendParts(to []leat.Record, whole leat.Record) []leat.Record {
	body, ok := aggregateBody(whole.Data)
	if !ok {
		return append(to, whole)
	}
	keys, hashes, parts, ok := readAggregate(body)
	if !ok || len(parts) == 0 {
		return append(to, whole)
	}
	from := len(to)
	for i := range parts {
		p := &parts[i]
		sequence, ok := whole.Sequence.WithPart(i)
		if !ok || p.key >= uint64(len(keys)) || p.hashed && p.hash >= uint64(len(hashes)) {
			return append(to[:from], whole)
		}
		r := leat.Record{Sequence: sequence, PartitionKey: keys[p.key], Arrived: whole.Arrived, Data: p.data}
		if p.hashed {
			hash, err := leat.ParseHash(hashes[p.hash])
			if err != nil {
				return append(to[:from], whole)
			}
			r.HashKey = &hash
		}
		p.tell(&r)
		to = append(to, r)
	}
	return to
}

func (p *part) tell(r *leat.Record) {
	for _, tag := range p.tags {
		switch tag[0] {
		case tagSource:
			r.Source = tag[1]
		case tagID:
			r.ID = tag[1]
		case tagTime:
			if ms, err := strconv.ParseInt(tag[1], 10, 64); err == nil {
				r.Time = time.UnixMilli(ms)
			}
		}
	}
}

// aggregateBody returns the message of an aggregate.
func aggregateBody(data []byte) ([]byte, bool) {
	if len(data) <= aggregateFrame || string(data[:len(aggregateMagic)]) != aggregateMagic {
		return nil, false
	}
	body := data[len(aggregateMagic) : len(data)-md5.Size]
	sum := md5.Sum(body) //nolint:gosec // see the import
	return body, bytes.Equal(sum[:], data[len(data)-md5.Size:])
}

func readAggregate(body []byte) (keys, hashes []string, parts []part, ok bool) {
	m := message{b: body}
	for m.next() {
		switch m.field {
		case fieldKeys:
			keys = append(keys, string(m.bytes))
		case fieldHashes:
			hashes = append(hashes, string(m.bytes))
		case fieldRecords:
			p, fine := readPart(m.bytes)
			if !fine {
				return nil, nil, nil, false
			}
			parts = append(parts, p)
		}
	}
	return keys, hashes, parts, !m.bad
}

func readPart(b []byte) (p part, ok bool) {
	hasKey, hasData := false, false
	m := message{b: b}
	for m.next() {
		switch m.field {
		case recordKey:
			p.key, hasKey = m.number, true
		case recordHash:
			p.hash, p.hashed = m.number, true
		case recordData:
			p.data, hasData = m.bytes, true
		case recordTags:
			var tag [2]string
			t := message{b: m.bytes}
			for t.next() {
				switch t.field {
				case tagKey:
					tag[0] = string(t.bytes)
				case tagValue:
					tag[1] = string(t.bytes)
				}
			}
			if t.bad {
				return p, false
			}
			p.tags = append(p.tags, tag)
		}
	}
	return p, hasKey && hasData && !m.bad
}

// message reads the fields of a message of Protocol Buffers.
type message struct {
	b      []byte
	bad    bool
	field  uint64 // its number and wire type
	number uint64 // of wire type 0
	bytes  []byte // of wire type 2
}

func (m *message) next() bool {
	if m.bad || len(m.b) == 0 {
		return false
	}
	m.field, m.bad = m.uvarint()
	if m.bad {
		return false
	}
	var n uint64
	switch m.field & 7 {
	case 0:
		m.number, m.bad = m.uvarint()
		return !m.bad
	case 1:
		n = 8
	case 2:
		n, m.bad = m.uvarint()
	case 5:
		n = 4
	default:
		m.bad = true
	}
	if m.bad = m.bad || n > uint64(len(m.b)); m.bad {
		return false
	}
	m.bytes, m.b = m.b[:n:n], m.b[n:]
	return true
}

func (m *message) uvarint() (v uint64, bad bool) {
	v, n := binary.Uvarint(m.b)
	if n <= 0 {
		return 0, true
	}
	m.b = m.b[n:]
	return v, false
}

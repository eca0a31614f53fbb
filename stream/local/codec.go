package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
	"unsafe"

	"github.com/klauspost/compress/s2"

	"github.com/leatstream/leat"
)

// A stored batch is the value under one record key: the records that one Put has for one shard.
//
//	┌─────────┬───────┬────────────┬──────┬────────────┬───────────┬──────────┐
//	│ version │ codec │ length     │ body │ arrived ms │ total     │ crc32c   │
//	│ 1       │ 1     │ 4          │ …    │ 8          │ 8         │ 4        │
//	└─────────┴───────┴────────────┴──────┴────────────┴───────────┴──────────┘
//
//	body, as it is (codec 0) or compressed as an S2 block (codec 1); length is that of the uncompressed body:
//	┌───────────────┬────────┬────────────────────┐
//	│ source length │ source │ records            │
//	│ uvarint       │        │                    │
//	└───────────────┴────────┴────────────────────┘
//
//	record:
//	┌───────┬────────────┬───────┬──────────┬──────┬─────────┬──────────┬─────────────┬──────┐
//	│ flags │ key length │ key   │ id length│ id   │ time ms │ hash key │ data length │ data │
//	│ 1     │ uvarint    │       │ uvarint  │      │ varint  │ 16       │ uvarint     │      │
//	└───────┴────────────┴───────┴──────────┴──────┴─────────┴──────────┴─────────────┴──────┘
//	                             └─ flag 1 ────────┘ └ flag 2 ┘└ flag 4 ─┘
//
// source is the name of the source that delivered the records. arrived is when the engine accepted the batch, never falling within a
// shard; total is the sum of keys and payloads of the shard up to and with this batch, since the shard began. Both are filled in
// by the committer. The checksum covers everything before it and then, without storing them, stream, shard, first index and count, so
// that a batch which lies under the wrong key is damaged too. Fixed-width numbers are big-endian.
//
// Compression is done by the goroutines that commit, before the log is written: the log, the tables and every
// rewriting of them are smaller by it, and pebble need not compress.
const (
	batchVersion = 1
	headSize     = 1 + 1 + 4
	trailerSize  = 8 + 8 + 4

	codecPlain = 0
	codecS2    = 1

	// compressFrom is the size in bytes of a body from which on compression is tried.
	compressFrom = 1 << 10

	flagID      = 1
	flagTime    = 2
	flagHashKey = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendHead begins a stored batch; compress fills in the codec and the length.
func appendHead(buf []byte, source string) []byte {
	buf = append(buf, batchVersion, codecPlain, 0, 0, 0, 0)
	buf = binary.AppendUvarint(buf, uint64(len(source)))
	return append(buf, source...)
}

// compress returns the stored batch that plain begins, with a compressed body where that is smaller, and room for the trailer. spare is
// memory for the result.
func compress(plain, spare []byte) (value []byte) {
	body := plain[headSize:]
	binary.BigEndian.PutUint32(plain[2:], uint32(len(body)))
	if len(body) >= compressFrom {
		if most := headSize + s2.MaxEncodedLen(len(body)) + trailerSize; cap(spare) < most {
			spare = make([]byte, most)
		}
		small := s2.Encode(spare[headSize:cap(spare)], body)
		if len(small) <= len(body)-len(body)/8 {
			value = spare[:headSize+len(small)]
			copy(value, plain[:headSize])
			value[1] = codecS2
			return append(value, emptyTrailer[:]...)
		}
	}
	value = spare[:0]
	value = append(value, plain...)
	return append(value, emptyTrailer[:]...)
}

// appendRecord appends one record of a stored batch.
func appendRecord(buf []byte, e *leat.Event) []byte {
	var flags byte
	if e.ID != "" {
		flags |= flagID
	}
	if !e.Time.IsZero() {
		flags |= flagTime
	}
	if e.HashKey != nil {
		flags |= flagHashKey
	}
	buf = append(buf, flags)
	buf = binary.AppendUvarint(buf, uint64(len(e.PartitionKey)))
	buf = append(buf, e.PartitionKey...)
	if flags&flagID != 0 {
		buf = binary.AppendUvarint(buf, uint64(len(e.ID)))
		buf = append(buf, e.ID...)
	}
	if flags&flagTime != 0 {
		buf = binary.AppendVarint(buf, e.Time.UnixMilli())
	}
	if flags&flagHashKey != 0 {
		buf = binary.BigEndian.AppendUint64(buf, e.HashKey.Hi)
		buf = binary.BigEndian.AppendUint64(buf, e.HashKey.Lo)
	}
	buf = binary.AppendUvarint(buf, uint64(len(e.Data)))
	return append(buf, e.Data...)
}

// encodedSize is an upper bound of what appendRecord appends.
func encodedSize(e *leat.Event) int {
	return 1 + 3*binary.MaxVarintLen32 + binary.MaxVarintLen64 + 16 + len(e.PartitionKey) + len(e.ID) + len(e.Data)
}

// batchKey is where a stored batch lies: what its checksum is bound to.
type batchKey struct {
	stream uint32
	shard  leat.ShardID
	first  uint64 // index of the first record
	count  uint32
}

// end is the index behind the last record.
func (k batchKey) end() uint64 { return k.first + uint64(k.count) }

func (k batchKey) checksum(body uint32) uint32 {
	var bound [20]byte
	binary.BigEndian.PutUint32(bound[:], k.stream)
	binary.BigEndian.PutUint32(bound[4:], uint32(k.shard))
	binary.BigEndian.PutUint64(bound[8:], k.first)
	binary.BigEndian.PutUint32(bound[16:], k.count)
	return crc32.Update(body, castagnoli, bound[:])
}

// sealBatch fills the trailer of value with what t says; everything before it is in place and has the checksum body.
func sealBatch(value []byte, body uint32, t trailer) {
	end := value[len(value)-trailerSize:]
	binary.BigEndian.PutUint64(end, uint64(t.arrived.UnixMilli()))
	binary.BigEndian.PutUint64(end[8:], t.total)
	sum := crc32.Update(body, castagnoli, end[:16])
	binary.BigEndian.PutUint32(end[16:], t.key.checksum(sum))
}

var (
	errShortBatch = errors.New("stored batch is too short")
	errChecksum   = errors.New("stored batch has a wrong checksum")
	errRecord     = errors.New("stored batch has a malformed record")
)

// storedBatch is a stored batch whose checksum was right. Its records share the memory of the value.
type storedBatch struct {
	key     batchKey
	source  string
	records []byte // what is left to decode
	next    uint64 // index of the next record
	arrived time.Time
	total   uint64
}

// openBatch checks value and returns it ready for decoding. What it returns shares no memory with value.
func openBatch(k batchKey, value []byte) (storedBatch, error) {
	if len(value) < headSize+trailerSize {
		return storedBatch{}, errShortBatch
	}
	sum := crc32.Checksum(value[:len(value)-4], castagnoli)
	if k.checksum(sum) != binary.BigEndian.Uint32(value[len(value)-4:]) {
		return storedBatch{}, errChecksum
	}
	if value[0] != batchVersion {
		return storedBatch{}, fmt.Errorf("stored batch has version %d, this program knows %d", value[0], batchVersion)
	}
	body, err := bodyOf(value)
	if err != nil {
		return storedBatch{}, err
	}
	d := decoder{buf: body}
	source := d.string()
	if d.bad {
		return storedBatch{}, errRecord
	}
	arrived, total := trailerOf(value)
	return storedBatch{key: k, source: source, records: d.buf, next: k.first, arrived: arrived, total: total}, nil
}

// bodyOf returns the uncompressed body, in memory of its own: value belongs to pebble.
func bodyOf(value []byte) ([]byte, error) {
	stored := value[headSize : len(value)-trailerSize]
	length := binary.BigEndian.Uint32(value[2:])
	if length > 2*maxCommit {
		return nil, errRecord
	}
	switch value[1] {
	case codecPlain:
		return append(make([]byte, 0, len(stored)), stored...), nil
	case codecS2:
		body, err := s2.Decode(make([]byte, length), stored)
		if err != nil || len(body) != int(length) {
			return nil, fmt.Errorf("%w: %w", errRecord, err)
		}
		return body, nil
	}
	return nil, fmt.Errorf("%w: codec %d", errRecord, value[1])
}

// trailerOf reads the two numbers of the trailer of a value that is long enough.
func trailerOf(value []byte) (arrived time.Time, total uint64) {
	trailer := value[len(value)-trailerSize:]
	return time.UnixMilli(int64(binary.BigEndian.Uint64(trailer))), binary.BigEndian.Uint64(trailer[8:])
}

// left is the number of records not yet decoded.
func (b *storedBatch) left() int { return int(b.key.end() - b.next) }

// decode reads the next record, all but its sequence number, which the caller knows better.
func (b *storedBatch) decode(r *leat.Record) error {
	d := decoder{buf: b.records}
	flags := d.byte()
	r.PartitionKey = d.string()
	r.ID = ""
	if flags&flagID != 0 {
		r.ID = d.string()
	}
	r.Time = time.Time{}
	if flags&flagTime != 0 {
		r.Time = time.UnixMilli(d.varint())
	}
	r.HashKey = nil
	if flags&flagHashKey != 0 {
		r.HashKey = d.hash()
	}
	r.Data = d.bytes()
	r.Arrived = b.arrived
	r.Source = b.source
	if d.bad || flags&^(flagID|flagTime|flagHashKey) != 0 {
		return errRecord
	}
	b.records = d.buf
	b.next++
	return nil
}

// skip passes over records up to, not including, index to.
func (b *storedBatch) skip(to uint64) error {
	var r leat.Record
	for b.next < to && b.left() > 0 {
		if err := b.decode(&r); err != nil {
			return err
		}
	}
	return nil
}

// decoder takes fields off the front of buf; after the first that does not fit, bad is set
// and every further field is zero.
type decoder struct {
	buf []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.buf) == 0 {
		d.bad = true
		return 0
	}
	b := d.buf[0]
	d.buf = d.buf[1:]
	return b
}

func (d *decoder) bytes() []byte {
	n, size := binary.Uvarint(d.buf)
	if size <= 0 || n > uint64(len(d.buf)-size) {
		d.bad = true
		return nil
	}
	field := d.buf[size : size+int(n) : size+int(n)]
	d.buf = d.buf[size+int(n):]
	return field
}

// string shares the memory of buf, which is never written again.
func (d *decoder) string() string {
	b := d.bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.buf)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.buf = d.buf[size:]
	return n
}

func (d *decoder) hash() *leat.Hash {
	if len(d.buf) < 16 {
		d.bad = true
		return nil
	}
	h := &leat.Hash{Hi: binary.BigEndian.Uint64(d.buf), Lo: binary.BigEndian.Uint64(d.buf[8:])}
	d.buf = d.buf[16:]
	return h
}

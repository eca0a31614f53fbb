package leat

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"time"
)

// SequenceNumber names a record within its shard, in the layout that Amazon
// Kinesis uses today (version 2): 47 hexadecimal digits, printed as a decimal of
// 56 digits.
//
//	digits  content
//	1       2
//	9       creation of the shard, seconds since 1970
//	1       last hexadecimal digit of the shard's index
//	16      index of the record, the top bit clear
//	2       00
//	9       arrival of the record, seconds since 1970
//	8       the shard's index
//	1       2, the version
//
// Numbers of one shard compare as their indexes do, and a shard that was created
// later has larger numbers than any shard before it of the same last digit, so a number
// that was kept from a deleted stream is behind every number of the stream that replaced it.
//
// A number with something else than 00 in the fourth field names a part of a record, see Part.
//
// The value is comparable with ==. The zero SequenceNumber is before every other.
type SequenceNumber struct{ hi, mid, lo uint64 }

// NewSequence returns the number of the record with the given index in a shard.
// The creation and the arrival count in whole seconds and must lie between 1970 and 4147;
// the index must be below 2^63.
func NewSequence(shard ShardID, created time.Time, index uint64, arrived time.Time) SequenceNumber {
	return sequenceOf(shard, uint64(created.Unix()), index, uint64(arrived.Unix()))
}

// sequenceOf places the fields; seconds are 36 bits wide.
//
//	hi   bits 128..187  2, creation (36), digit (4), top 20 bits of the index
//	mid  bits 64..127   low 44 bits of the index, 00 (8), top 12 bits of arrival
//	lo   bits 0..63     low 24 bits of arrival, shard (32), version (4), 4 bits unused
//
// The number is kept shifted left by four bits so that it fills whole bytes.
func sequenceOf(shard ShardID, created, index, arrived uint64) SequenceNumber {
	const sec = 1<<36 - 1
	created &= sec
	arrived &= sec
	return SequenceNumber{
		hi:  2<<60 | created<<24 | uint64(shard&0xf)<<20 | index>>44,
		mid: index<<20 | arrived>>24,
		lo:  arrived<<40 | uint64(shard)<<8 | 2<<4,
	}
}

// IsZero reports whether s is the zero SequenceNumber.
func (s SequenceNumber) IsZero() bool { return s == SequenceNumber{} }

// Shard returns the shard that s belongs to.
func (s SequenceNumber) Shard() ShardID { return ShardID(s.Whole().lo >> 8) }

// Index returns the index of the record within its shard.
func (s SequenceNumber) Index() uint64 { return s.hi<<44 | s.mid>>20 }

// Created returns when the shard of s was created, to the second.
func (s SequenceNumber) Created() time.Time {
	return time.Unix(int64(s.hi>>24&(1<<36-1)), 0)
}

// Arrived returns when the record arrived, to the second.
func (s SequenceNumber) Arrived() time.Time {
	s = s.Whole()
	return time.Unix(int64(s.mid<<24&(1<<36-1)|s.lo>>40), 0)
}

// MaxPart is the largest part of a record that a number can name.
const MaxPart = 255<<12 - 1

// The places of a part: bits that are zero in the numbers of Kinesis, below the index so that parts of one record compare by
// their number, and all of them before the next record.
//
//	mid  12..19  00, here 1 and the top 8 bits of the part
//	mid   8..11  the top 4 bits of arrival, which are zero until 2106: bits 8..11 of the part
//	lo   32..39  the top 8 bits of the shard, which are zero in the first 16,777,216 shards of a stream: bits 0..7 of the part
const (
	partHigh   = 0xff << 12
	partMiddle = 0xf << 8
	partLow    = 0xff << 32
)

// Part returns which part of a record s names, if several events lie in one record of Amazon Kinesis, counting from 0. Part 0 has the
// number of the record itself.
func (s SequenceNumber) Part() int {
	if s.mid&partHigh == 0 {
		return 0
	}
	return int(s.mid&partHigh - 1<<12 | s.mid&partMiddle | s.lo&partLow>>32)
}

// Whole returns the number of the record that s names a part of: what Amazon Kinesis knows.
func (s SequenceNumber) Whole() SequenceNumber {
	if s.mid&partHigh != 0 {
		s.mid &^= partHigh | partMiddle
		s.lo &^= partLow
	}
	return s
}

// WithPart returns the number of a part of the record that s names. It is false where it has no place: n is above MaxPart,
// or the bits that it needs are taken.
func (s SequenceNumber) WithPart(n int) (SequenceNumber, bool) {
	s = s.Whole()
	switch {
	case n == 0:
		return s, true
	case n < 0 || n > MaxPart || s.mid&partMiddle != 0 || s.lo&partLow != 0:
		return SequenceNumber{}, false
	}
	part := uint64(n)
	s.mid |= part&^0xfff + 1<<12 | part&0xf00
	s.lo |= part & 0xff << 32
	return s, true
}

// Compare returns -1, 0 or 1 as s is before, equal to or after o. The numbers are
// compared as numbers; as texts they would compare wrongly.
func (s SequenceNumber) Compare(o SequenceNumber) int {
	switch {
	case s == o:
		return 0
	case s.hi != o.hi:
		return sign(s.hi < o.hi)
	case s.mid != o.mid:
		return sign(s.mid < o.mid)
	}
	return sign(s.lo < o.lo)
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}

// String returns the decimal form. The zero SequenceNumber is "0".
func (s SequenceNumber) String() string {
	var buf [60]byte
	return string(s.append(buf[:0]))
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (s SequenceNumber) MarshalText() ([]byte, error) { return s.append(nil), nil }

// AppendText implements encoding.TextAppender with the form of String.
func (s SequenceNumber) AppendText(buf []byte) ([]byte, error) { return s.append(buf), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseSequence; "0" gives
// the zero SequenceNumber.
func (s *SequenceNumber) UnmarshalText(text []byte) (err error) {
	if string(text) == "0" {
		*s = SequenceNumber{}
		return nil
	}
	*s, err = ParseSequence(string(text))
	return err
}

func (s SequenceNumber) append(buf []byte) []byte {
	const chunk = 1e19 // the largest power of ten in 64 bits
	n := [3]uint64{s.hi >> 4, s.hi<<60 | s.mid>>4, s.mid<<60 | s.lo>>4}
	var text [60]byte
	at := len(text)
	for n != [3]uint64{} || at == len(text) {
		var rest uint64
		for i := range n {
			n[i], rest = bits.Div64(rest, n[i], chunk)
		}
		last := n == [3]uint64{}
		for digit := 0; digit < 19 && !(last && rest == 0 && digit > 0); digit++ {
			at--
			text[at] = byte('0' + rest%10)
			rest /= 10
		}
	}
	return append(buf, text[at:]...)
}

// ParseSequence reads the decimal form of a version 2 sequence number.
func ParseSequence(text string) (SequenceNumber, error) {
	bad := func(why string) (SequenceNumber, error) {
		return SequenceNumber{}, fmt.Errorf("parse sequence number %q: %s", text, why)
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.Sign() <= 0 || n.String() != text {
		return bad("want a decimal number of 56 digits")
	}
	if n.BitLen() != 186 {
		return bad("not a number of version 2, which has 186 bits")
	}
	var raw [24]byte
	n.Lsh(n, 4).FillBytes(raw[:])
	s := SequenceNumber{
		hi:  binary.BigEndian.Uint64(raw[:]),
		mid: binary.BigEndian.Uint64(raw[8:]),
		lo:  binary.BigEndian.Uint64(raw[16:]),
	}
	// The bound on the creation is the one AWS applies; see sequenceOf for the places.
	switch {
	case s.hi>>60 != 2 || s.lo&0xff != 2<<4:
		return bad("not a number of version 2")
	case s.Index()>>63 != 0:
		return bad("its index is out of range")
	case s.Created().Unix() >= 16025175000:
		return bad("its shard creation is out of range")
	case s.Shard()&0xf != ShardID(s.hi>>20&0xf):
		return bad("its two shard fields differ")
	}
	return s, nil
}

package leat

import (
	"crypto/md5" //nolint:gosec // the ring of Amazon Kinesis is defined by MD5
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
)

// Hash is a place on the ring of a stream: an unsigned 128-bit number, Hi the
// upper half. The zero Hash is the start of the ring.
type Hash struct{ Hi, Lo uint64 }

// MaxHash is the last place on the ring, 2^128 - 1.
var MaxHash = Hash{Hi: ^uint64(0), Lo: ^uint64(0)}

// HashKey returns the place of a partition key: the MD5 of its UTF-8 bytes, as
// Amazon Kinesis defines it (API reference, PutRecord, PartitionKey).
func HashKey(partitionKey string) Hash {
	var buf [64]byte
	sum := md5.Sum(append(buf[:0], partitionKey...)) //nolint:gosec // see the import
	return Hash{Hi: binary.BigEndian.Uint64(sum[:8]), Lo: binary.BigEndian.Uint64(sum[8:])}
}

// Compare returns -1, 0 or 1 as h lies before, at or after o.
func (h Hash) Compare(o Hash) int {
	switch {
	case h == o:
		return 0
	case h.Hi < o.Hi || h.Hi == o.Hi && h.Lo < o.Lo:
		return -1
	}
	return 1
}

// Next returns the place after h; after MaxHash it is the start of the ring.
func (h Hash) Next() Hash {
	lo, carry := bits.Add64(h.Lo, 1, 0)
	return Hash{Hi: h.Hi + carry, Lo: lo}
}

// Prev returns the place before h; before the start of the ring it is MaxHash.
func (h Hash) Prev() Hash {
	lo, borrow := bits.Sub64(h.Lo, 1, 0)
	return Hash{Hi: h.Hi - borrow, Lo: lo}
}

// String returns h as a decimal number, as the Kinesis API writes it.
func (h Hash) String() string { return h.big().String() }

// MarshalText implements encoding.TextMarshaler with the form of String.
func (h Hash) MarshalText() ([]byte, error) { return h.big().Append(nil, 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseHash.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// ParseHash reads a decimal number from 0 to 2^128 - 1 without leading zeros,
// the form in which the Kinesis API takes explicit hash keys.
func ParseHash(s string) (Hash, error) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 || n.String() != s {
		return Hash{}, fmt.Errorf("parse hash key %q: want a decimal number from 0 to %s", s, MaxHash)
	}
	var buf [16]byte
	n.FillBytes(buf[:])
	return Hash{Hi: binary.BigEndian.Uint64(buf[:8]), Lo: binary.BigEndian.Uint64(buf[8:])}, nil
}

func (h Hash) big() *big.Int {
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:8], h.Hi)
	binary.BigEndian.PutUint64(buf[8:], h.Lo)
	return new(big.Int).SetBytes(buf[:])
}

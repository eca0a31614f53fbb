// Package iterator seals the tokens that the Kinesis API hands out: shard iterators and the NextTokens of lists.
//
// A token holds a position, not an open cursor: it costs the server nothing, may be used any number of times, and outlives a
// restart if the key does. It is encrypted and authenticated (XAES-256-GCM), so nobody reads or makes one without the key.
//
//	shard iterator, in the outer form of AWS: 152 + ⌊(bytes of the name + 2)/16⌋ × 16 bytes, then base64 with padding
//	┌─────────────────────────┬───────────┬──────────────────────────┬────────┐
//	│ 00 00 00 00 00 00 00 01 │ nonce, 24 │ sealed fields, 00 behind │ tag 16 │
//	└─────────────────────────┴───────────┴──────────────────────────┴────────┘
//	NextToken of a list: the same with 02, the fields being the time of issue and the payload
package iterator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

const (
	// Life is how long a token is valid.
	Life = 300 * time.Second
	// MaxShardIterator is the largest length of a shard iterator in characters.
	MaxShardIterator = 512
	// skew is how far the time of issue may lie in the future: a clock that is stepped back a little breaks no reader.
	skew = 10 * time.Second
)

// ErrInvalid says that a token is not one that was sealed with the key, for this use. The API calls it InvalidArgumentException.
var ErrInvalid = errors.New("invalid token")

// ExpiredError says that a token is older than Life.
type ExpiredError struct{ Issued, Now time.Time }

// Error returns the text of AWS for an expired shard iterator.
func (e *ExpiredError) Error() string {
	const form = "Mon Jan 02 15:04:05 MST 2006"
	return fmt.Sprintf("Iterator expired. The iterator was created at time %s while right now it is %s "+
		"which is further in the future than the tolerated delay of %d milliseconds.",
		e.Issued.UTC().Format(form), e.Now.UTC().Format(form), Life.Milliseconds())
}

// Iterator is what a shard iterator says.
type Iterator struct {
	Stream  string          // as the engine knows it
	Created time.Time       // when that stream was created, to the nanosecond: a later one of the same name is another
	Shard   leat.ShardID    // where the position lies
	From    stream.Position // never of the kind FromLatest, which has to be fixed when the iterator is made
	Issued  time.Time       // to the millisecond
}

// String describes the iterator, for logs.
func (it Iterator) String() string {
	return fmt.Sprintf("%s (created %d) %s %s", it.Stream, it.Created.UnixNano(), it.Shard, it.From)
}

// Seal returns the token of an iterator. It fails for a name so long that the token would exceed MaxShardIterator (longer than 237
// bytes) and for a position that is not fixed.
func (s *Sealer) Seal(it Iterator) (string, error) {
	if it.From.Kind == stream.FromLatest {
		return "", fmt.Errorf("seal shard iterator: position %q is not fixed", it.From)
	}
	size := aligned(len(it.Stream))
	if encodedLen(size) > MaxShardIterator {
		return "", fmt.Errorf("seal shard iterator: stream name of %d bytes is too long", len(it.Stream))
	}
	return s.seal(kindShard, it.fields(), size), nil
}

// Open returns what a shard iterator says. It checks, in this order: form, seal, fields, time of issue not in the future (ErrInvalid
// until here), age (*ExpiredError). Quotes around a token are ignored, as AWS does.
func (s *Sealer) Open(token string, now time.Time) (Iterator, error) {
	fields, err := s.open(kindShard, token)
	if err != nil {
		return Iterator{}, err
	}
	it, ok := parse(fields)
	if !ok {
		return Iterator{}, ErrInvalid
	}
	return it, current(it.Issued, now)
}

// SealList returns a NextToken, which is opaque to its holder. The payload is the list's own.
func (s *Sealer) SealList(payload []byte, now time.Time) string {
	fields := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	fields = append(fields, payload...)
	return s.seal(kindList, fields, overhead+len(fields))
}

// OpenList returns the payload of a NextToken, with the checks and errors of Open.
func (s *Sealer) OpenList(token string, now time.Time) ([]byte, error) {
	fields, err := s.open(kindList, token)
	if err != nil {
		return nil, err
	}
	if len(fields) < 8 {
		return nil, ErrInvalid
	}
	issued := time.UnixMilli(int64(binary.BigEndian.Uint64(fields)))
	if err := current(issued, now); err != nil {
		return nil, err
	}
	return fields[8:], nil
}

func current(issued, now time.Time) error {
	switch {
	case issued.After(now.Add(skew)):
		return ErrInvalid
	case now.Sub(issued) > Life:
		return &ExpiredError{Issued: issued, Now: now}
	}
	return nil
}

// aligned is the size of AWS's tokens for a stream name of n bytes. The fields, at most 83 bytes and the name, always fit.
func aligned(n int) int { return 152 + (n+2)/16*16 }

// fields returns the sealed part of a shard iterator: all integers are big-endian.
//
//	issued ms 8, stream created s 8 + ns 4, shard 4, position kind 1, text of the sequence number or time in ns: length 1 + bytes,
//	name: length 1 + bytes
func (it *Iterator) fields() []byte {
	b := make([]byte, 0, 96+len(it.Stream))
	b = binary.BigEndian.AppendUint64(b, uint64(it.Issued.UnixMilli()))
	b = appendTime(b, it.Created)
	b = binary.BigEndian.AppendUint32(b, uint32(it.Shard))
	b = append(b, byte(it.From.Kind))
	var at []byte
	switch it.From.Kind {
	case stream.FromAt, stream.FromAfter:
		at, _ = it.From.Sequence.MarshalText() // never fails
	case stream.FromTime:
		at = appendTime(nil, it.From.Time)
	case stream.FromOldest, stream.FromLatest:
	}
	b = append(append(b, byte(len(at))), at...)
	return append(append(b, byte(len(it.Stream))), it.Stream...)
}

// parse is the inverse of fields. It ignores the zeros behind them.
func parse(b []byte) (it Iterator, ok bool) {
	const fixed = 8 + 12 + 4 + 1
	if len(b) < fixed {
		return it, false
	}
	it.Issued = time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
	it.Created = timeOf(b[8:])
	it.Shard = leat.ShardID(binary.BigEndian.Uint32(b[20:]))
	it.From.Kind = stream.PositionKind(b[24])
	at, rest, ok := text(b[fixed:])
	if !ok {
		return it, false
	}
	name, _, ok := text(rest)
	if !ok || len(name) == 0 {
		return it, false
	}
	it.Stream = string(name)
	return it, it.place(at)
}

// place sets the sequence number or the time of the position.
func (it *Iterator) place(at []byte) bool {
	switch it.From.Kind {
	case stream.FromOldest:
		return len(at) == 0
	case stream.FromAt, stream.FromAfter:
		return it.From.Sequence.UnmarshalText(at) == nil
	case stream.FromTime:
		if len(at) != 12 {
			return false
		}
		it.From.Time = timeOf(at)
		return true
	case stream.FromLatest:
	}
	return false
}

func text(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func timeOf(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:])))
}

package decode

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/leatstream/leat/internal/jsontext"
)

// maxDepth is how deep a message may be nested.
const maxDepth = 256

var (
	errShort = errors.New("it ends too early")
	errDeep  = fmt.Errorf("it is nested more than %d deep", maxDepth)
)

// transcript is a binary message that is written as JSON.
type transcript struct {
	in    []byte
	out   []byte
	limit int
	depth int
}

// take returns the next n bytes.
func (t *transcript) take(n uint64) ([]byte, error) {
	if n > uint64(len(t.in)) {
		return nil, errShort
	}
	data := t.in[:n]
	t.in = t.in[n:]
	return data, nil
}

// number returns the big-endian number in the next size bytes.
func (t *transcript) number(size int) (uint64, error) {
	data, err := t.take(uint64(size))
	if err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[8-size:], data)
	return binary.BigEndian.Uint64(whole[:]), nil
}

// within runs write one level deeper.
func (t *transcript) within(write func() error) error {
	if t.depth++; t.depth > maxDepth {
		return errDeep
	}
	err := write()
	t.depth--
	if err == nil && len(t.out) > t.limit {
		err = errLarge
	}
	return err
}

// list writes what follows as a list, until more says that there is no more.
func (t *transcript) list(more func(i uint64) (bool, error), item func() error) error {
	t.out = append(t.out, '[')
	for i := uint64(0); ; i++ {
		ok, err := more(i)
		if err != nil || !ok {
			t.out = append(t.out, ']')
			return err
		}
		if i > 0 {
			t.out = append(t.out, ',')
		}
		if err := item(); err != nil {
			return err
		}
	}
}

// object writes what follows as an object. Names that are no texts become texts.
func (t *transcript) object(more func(i uint64) (bool, error), item func() error) error {
	t.out = append(t.out, '{')
	for i := uint64(0); ; i++ {
		ok, err := more(i)
		if err != nil || !ok {
			t.out = append(t.out, '}')
			return err
		}
		if i > 0 {
			t.out = append(t.out, ',')
		}
		start := len(t.out)
		if err := item(); err != nil {
			return err
		}
		if t.out[start] != '"' {
			name := bytes.Clone(t.out[start:])
			t.out = jsontext.AppendString(t.out[:start], name)
		}
		t.out = append(t.out, ':')
		if err := item(); err != nil {
			return err
		}
	}
}

// counted says that there are n items.
func counted(n uint64) func(uint64) (bool, error) {
	return func(i uint64) (bool, error) { return i < n, nil }
}

// integer writes a big-endian number of any size.
func (t *transcript) integer(magnitude []byte, negative bool) {
	n := new(big.Int).SetBytes(magnitude)
	if negative {
		n.Not(n) // -1 - n
	}
	t.out = n.Append(t.out, 10)
}

var cidEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// link writes a CID in the manner of AT Protocol.
func (t *transcript) link(cid []byte) {
	t.out = append(t.out, `{"$link":"b`...)
	t.out = cidEncoding.AppendEncode(t.out, cid)
	t.out = append(t.out, `"}`...)
}

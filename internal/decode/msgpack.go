package decode

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/leatstream/leat/internal/jsontext"
)

// msgpackStage writes MessagePack as JSON.
type msgpackStage struct{ limit int }

// run implements stage.
func (s msgpackStage) run(in, out []byte) ([]byte, bool, error) {
	m := msgpack{transcript{in: in, out: out, limit: s.limit}}
	err := m.item()
	if err == nil && len(m.in) > 0 {
		err = errBehind
	}
	return m.out, true, err
}

type msgpack struct{ transcript }

// item writes one item.
func (m *msgpack) item() error { return m.within(m.value) }

func (m *msgpack) value() error {
	first, err := m.take(1)
	if err != nil {
		return err
	}
	switch b := first[0]; {
	case b < 0x80:
		m.out = strconv.AppendUint(m.out, uint64(b), 10)
	case b < 0x90:
		return m.object(counted(uint64(b&15)), m.item)
	case b < 0xa0:
		return m.list(counted(uint64(b&15)), m.item)
	case b < 0xc0:
		return m.text(uint64(b & 31))
	case b >= 0xe0:
		m.out = strconv.AppendInt(m.out, int64(int8(b)), 10)
	case b == 0xc0:
		m.out = append(m.out, "null"...)
	case b == 0xc1:
		return fmt.Errorf("the byte %#x begins nothing", b)
	case b == 0xc2:
		m.out = append(m.out, "false"...)
	case b == 0xc3:
		m.out = append(m.out, "true"...)
	default:
		return m.sized(b)
	}
	return nil
}

// sized writes an item whose first byte says how large the number behind it is.
func (m *msgpack) sized(b byte) error {
	switch {
	case b >= 0xd4 && b <= 0xd8:
		return m.extension(1 << (b - 0xd4))
	case b == 0xca || b == 0xcb:
		n, err := m.number(4 << (b - 0xca))
		if err != nil {
			return err
		}
		if b == 0xca {
			m.out = appendFloat(m.out, float64(math.Float32frombits(uint32(n))), 32)
		} else {
			m.out = appendFloat(m.out, math.Float64frombits(n), 64)
		}
		return nil
	}
	// Families of items, by their first one, with the size of the number behind it.
	for _, family := range []struct {
		first, last byte
		size        int
		write       func(n uint64) error
	}{
		{0xc4, 0xc6, 1, m.bytes},
		{0xc7, 0xc9, 1, m.extension},
		{0xcc, 0xcf, 1, m.unsigned},
		{0xd9, 0xdb, 1, m.text},
		{0xdc, 0xdd, 2, func(n uint64) error { return m.list(counted(n), m.item) }},
		{0xde, 0xdf, 2, func(n uint64) error { return m.object(counted(n), m.item) }},
	} {
		if b >= family.first && b <= family.last {
			n, err := m.number(family.size << (b - family.first))
			if err != nil {
				return err
			}
			return family.write(n)
		}
	}
	return m.signed(1 << (b - 0xd0)) // 0xd0 to 0xd3
}

func (m *msgpack) unsigned(n uint64) error {
	m.out = strconv.AppendUint(m.out, n, 10)
	return nil
}

func (m *msgpack) signed(size int) error {
	n, err := m.number(size)
	shift := 64 - 8*size
	m.out = strconv.AppendInt(m.out, int64(n<<shift)>>shift, 10)
	return err
}

func (m *msgpack) text(n uint64) error {
	data, err := m.take(n)
	m.out = jsontext.AppendString(m.out, data)
	return err
}

// bytes writes bytes; older writers have no texts, so that the name of a member may be bytes.
func (m *msgpack) bytes(n uint64) error {
	data, err := m.take(n)
	m.out = appendBytes(m.out, data)
	return err
}

// extension writes a time stamp as RFC 3339, and anything else as its type and its bytes.
func (m *msgpack) extension(n uint64) error {
	kind, err := m.take(1)
	if err != nil {
		return err
	}
	data, err := m.take(n)
	if err != nil {
		return err
	}
	if at, ok := timestamp(data); ok && kind[0] == 0xff {
		m.out = append(m.out, '"')
		m.out = at.AppendFormat(m.out, time.RFC3339Nano)
		m.out = append(m.out, '"')
		return nil
	}
	m.out = append(m.out, `{"$type":`...)
	m.out = strconv.AppendInt(m.out, int64(int8(kind[0])), 10)
	m.out = append(m.out, ',')
	start := len(m.out)
	m.out = appendBytes(m.out, data)
	m.out = append(m.out[:start], m.out[start+1:]...) // one object of both
	return nil
}

// timestamp reads the extension of type -1.
func timestamp(data []byte) (time.Time, bool) {
	var seconds, nanos int64
	switch len(data) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(data))
	case 8:
		both := binary.BigEndian.Uint64(data)
		seconds, nanos = int64(both&(1<<34-1)), int64(both>>34)
	case 12:
		seconds, nanos = int64(binary.BigEndian.Uint64(data[4:])), int64(binary.BigEndian.Uint32(data))
	}
	const first, last = -62135596800, 253402300799 // the years 1 to 9999
	ok := (len(data) == 4 || len(data) == 8 || len(data) == 12) && seconds >= first && seconds <= last && nanos < 1e9
	return time.Unix(seconds, nanos).UTC(), ok
}

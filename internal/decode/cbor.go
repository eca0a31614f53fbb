package decode

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/leatstream/leat/internal/jsontext"
)

// maxInteger is how many bytes a number may have to be written as one.
const maxInteger = 256

// The major types of CBOR (RFC 8949, 3.1).
const (
	cborUnsigned = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborOther
)

// The arguments that mean something else than a number (RFC 8949, 3 and 3.3).
const (
	cborEndless = 31
	cborBreak   = 0xff
)

// cborLink is the tag of a CID in DAG-CBOR.
const cborLink = 42

// cborStage writes CBOR as JSON. With names, a message is a sequence of as many items (RFC 8742), which become the members of one object.
type cborStage struct {
	limit int
	names []string
}

func parseCBOR(option any) (func(int) (stage, error), error) {
	var list []string
	if option != nil {
		var err error
		if list, err = names(option, "names, one for each item of a message, such as [header, body]"); err != nil {
			return nil, err
		}
	}
	return func(limit int) (stage, error) { return cborStage{limit, list}, nil }, nil
}

// run implements stage.
func (s cborStage) run(in, out []byte) ([]byte, bool, error) {
	c := cbor{transcript{in: in, out: out, limit: s.limit}}
	err := s.items(&c)
	if err == nil && len(c.in) > 0 {
		err = errBehind
	}
	return c.out, true, err
}

func (s cborStage) items(c *cbor) error {
	if len(s.names) == 0 {
		return c.item()
	}
	for i, name := range s.names {
		c.out = append(c.out, "{,"[min(i, 1)])
		c.out = append(jsontext.AppendString(c.out, []byte(name)), ':')
		if err := c.item(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	c.out = append(c.out, '}')
	return nil
}

type cbor struct{ transcript }

// head returns the major type, the short argument and the argument.
func (c *cbor) head() (major, short byte, argument uint64, err error) {
	first, err := c.take(1)
	if err != nil {
		return 0, 0, 0, err
	}
	major, short = first[0]>>5, first[0]&31
	switch {
	case short < 24:
		return major, short, uint64(short), nil
	case short < 28:
		argument, err = c.number(1 << (short - 24))
		return major, short, argument, err
	case short < cborEndless || major == cborUnsigned || major == cborNegative || major == cborTag:
		return 0, 0, 0, fmt.Errorf("the byte %#x begins nothing", first[0])
	}
	return major, short, 0, nil
}

// item writes one item.
func (c *cbor) item() error { return c.within(c.value) }

func (c *cbor) value() error {
	major, short, argument, err := c.head()
	if err != nil {
		return err
	}
	switch major {
	case cborUnsigned:
		c.out = strconv.AppendUint(c.out, argument, 10)
	case cborNegative:
		if argument > math.MaxInt64 {
			c.integer(new8(argument), true)
		} else {
			c.out = strconv.AppendInt(c.out, -1-int64(argument), 10)
		}
	case cborBytes, cborText:
		data, err := c.content(major, short, argument)
		if err != nil {
			return err
		}
		if major == cborText {
			c.out = jsontext.AppendString(c.out, data)
		} else {
			c.out = appendBytes(c.out, data)
		}
	case cborArray:
		return c.list(c.more(short, argument), c.item)
	case cborMap:
		return c.object(c.more(short, argument), c.item)
	case cborTag:
		return c.tagged(argument)
	default:
		return c.other(short, argument)
	}
	return nil
}

func new8(n uint64) []byte {
	return []byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// more tells whether an array or a map goes on.
func (c *cbor) more(short byte, n uint64) func(uint64) (bool, error) {
	if short != cborEndless {
		return counted(n)
	}
	return func(uint64) (bool, error) { return c.goesOn() }
}

// goesOn reports whether something of endless length goes on, and takes its end.
func (c *cbor) goesOn() (bool, error) {
	if len(c.in) == 0 {
		return false, errShort
	}
	if c.in[0] == cborBreak {
		c.in = c.in[1:]
		return false, nil
	}
	return true, nil
}

// content returns bytes or a text, whose pieces are joined.
func (c *cbor) content(major, short byte, n uint64) ([]byte, error) {
	if short != cborEndless {
		return c.take(n)
	}
	var joined []byte
	for {
		ok, err := c.goesOn()
		if err != nil || !ok {
			return joined, err
		}
		m, short, n, err := c.head()
		if err != nil {
			return nil, err
		}
		if m != major || short == cborEndless {
			return nil, errors.New("a piece of another kind in bytes or a text")
		}
		piece, err := c.take(n)
		if err != nil {
			return nil, err
		}
		joined = append(joined, piece...)
	}
}

// tagged writes what a tag stands before. Of most tags only that is of interest.
func (c *cbor) tagged(tag uint64) error {
	if tag != cborLink && tag != 2 && tag != 3 {
		return c.item()
	}
	major, short, n, err := c.head()
	if err != nil {
		return err
	}
	if major != cborBytes {
		return fmt.Errorf("the tag %d stands before no bytes", tag)
	}
	data, err := c.content(major, short, n)
	switch {
	case err != nil:
		return err
	case tag == cborLink && (len(data) < 2 || data[0] != 0):
		return errors.New("a link that is none")
	case tag == cborLink:
		c.link(data[1:])
	case len(data) > maxInteger:
		c.out = appendBytes(c.out, data)
	default:
		c.integer(data, tag == 3)
	}
	return nil
}

// other writes truth values, nothing, and numbers with a fraction.
func (c *cbor) other(short byte, argument uint64) error {
	switch short {
	case 20:
		c.out = append(c.out, "false"...)
	case 21:
		c.out = append(c.out, "true"...)
	case 25:
		c.out = appendFloat(c.out, half(uint16(argument)), 64)
	case 26:
		c.out = appendFloat(c.out, float64(math.Float32frombits(uint32(argument))), 32)
	case 27:
		c.out = appendFloat(c.out, math.Float64frombits(argument), 64)
	case cborEndless:
		return errors.New("the end of something that has not begun")
	default:
		c.out = append(c.out, "null"...)
	}
	return nil
}

// half returns the number of half precision (RFC 8949, appendix D).
func half(bits uint16) float64 {
	exponent, mantissa := int(bits>>10&31), float64(bits&0x3ff)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(mantissa, -24)
	case 31:
		return math.NaN() // or infinite: neither is a number of JSON
	default:
		f = math.Ldexp(mantissa+1024, exponent-25)
	}
	if bits>>15 == 1 {
		f = -f
	}
	return f
}

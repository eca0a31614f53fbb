package decode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/leatstream/leat/internal/jsontext"
)

// maxParts is how many messages may be under way at once.
const maxParts = 16

// aisJoiner joins the sentences of AIS messages (ITU-R M.1371, IEC 61162-1).
type aisJoiner struct{ open []aisParts }

// aisParts is a message of which not every sentence has come.
type aisParts struct {
	key     string // number of sentences, message identifier and channel
	next    int    // the sentence that is expected
	payload []byte
}

var errPartMissing = errors.New("a sentence of an AIS message is missing")

// join returns the payload of the message that a sentence ends, its six bits in each byte.
func (j *aisJoiner) join(s *sentence) (payload []byte, whole bool, err error) {
	if len(s.fields) < 6 {
		return nil, false, errors.New("an AIS sentence has six fields")
	}
	total, err1 := strconv.Atoi(string(s.fields[0]))
	nth, err2 := strconv.Atoi(string(s.fields[1]))
	if err1 != nil || err2 != nil || nth < 1 || nth > total || total > 9 {
		return nil, false, errors.New("the numbers of an AIS sentence are none")
	}
	text := s.fields[4]
	if total == 1 {
		return text, true, nil
	}
	key := string(s.fields[0]) + "," + string(s.fields[2]) + "," + string(s.fields[3])
	at := -1
	for i := range j.open {
		if j.open[i].key == key {
			at = i
		}
	}
	switch {
	case nth == 1:
		if at >= 0 || len(j.open) == maxParts {
			j.drop(max(at, 0))
			err = errPartMissing
		}
		j.open = append(j.open, aisParts{key, 2, append([]byte(nil), text...)})
		return nil, false, err
	case at < 0:
		return nil, false, errPartMissing
	case j.open[at].next != nth || len(j.open[at].payload)+len(text) > 1024:
		j.drop(at)
		return nil, false, errPartMissing
	}
	p := &j.open[at]
	p.payload, p.next = append(p.payload, text...), nth+1
	if nth < total {
		return nil, false, nil
	}
	payload = p.payload
	j.drop(at)
	return payload, true, nil
}

func (j *aisJoiner) drop(i int) { j.open = append(j.open[:i], j.open[i+1:]...) }

// sixBits reads numbers out of a payload.
type sixBits []byte

// unsigned returns the number in some bits; what is beyond the end is 0.
func (b sixBits) unsigned(start, n int) (value uint32) {
	for i := start; i < start+n; i++ {
		value <<= 1
		if i/6 >= len(b) {
			continue
		}
		six := b[i/6] - 48
		if six > 40 {
			six -= 8
		}
		value |= uint32(six>>(5-i%6)) & 1
	}
	return value
}

func (b sixBits) signed(start, n int) int32 {
	return int32(b.unsigned(start, n)<<(32-n)) >> (32 - n)
}

func (b sixBits) text(start, characters int) string {
	var out strings.Builder
	for i := range characters {
		c := byte(b.unsigned(start+6*i, 6))
		if c == 0 {
			break
		}
		if c < 32 {
			c += 64
		}
		out.WriteByte(c)
	}
	return strings.TrimRight(out.String(), " ")
}

// aisObject writes the members of a message; what is not available is left out.
type aisObject struct {
	out  []byte
	bits sixBits
}

func (o *aisObject) name(name string) {
	if o.out[len(o.out)-1] != '{' {
		o.out = append(o.out, ',')
	}
	o.out = append(append(append(o.out, '"'), name...), `":`...)
}

func (o *aisObject) number(name string, value, scale float64) {
	o.name(name)
	o.out = appendFloat(o.out, value/scale, 64)
}

func (o *aisObject) string(name, value string) {
	if value != "" {
		o.name(name)
		o.out = jsontext.AppendString(o.out, []byte(value))
	}
}

// appendAIS appends the object of a payload: type and MMSI of every message; positions of the types 1, 2, 3, 4, 18 and 19; names of the types
// 5, 19 and 24.
func appendAIS(out, payload []byte) ([]byte, error) {
	for _, c := range payload {
		if c < 48 || c > 119 || c > 87 && c < 96 {
			return out, fmt.Errorf("an AIS payload holds no %q", c)
		}
	}
	if len(payload) < 7 {
		return out, errors.New("an AIS message is at least 38 bits long")
	}
	o := aisObject{append(out, '{'), sixBits(payload)}
	kind := o.bits.unsigned(0, 6)
	o.number("type", float64(kind), 1)
	o.number("mmsi", float64(o.bits.unsigned(8, 30)), 1)
	least := map[uint32]int{1: 137, 2: 137, 3: 137, 4: 134, 5: 422, 18: 133, 19: 301, 24: 160}[kind]
	if 6*len(payload) < least {
		return o.out, fmt.Errorf("an AIS message of type %d is at least %d bits long", kind, least)
	}
	switch kind {
	case 1, 2, 3:
		o.number("status", float64(o.bits.unsigned(38, 4)), 1)
		o.moving(50)
	case 4:
		o.place(79)
	case 5:
		o.string("callsign", o.bits.text(70, 7))
		o.string("name", o.bits.text(112, 20))
		o.number("ship_type", float64(o.bits.unsigned(232, 8)), 1)
		o.number("draught", float64(o.bits.unsigned(294, 8)), 10)
		o.string("destination", o.bits.text(302, 20))
	case 18:
		o.moving(46)
	case 19:
		o.moving(46)
		o.string("name", o.bits.text(143, 20))
		o.number("ship_type", float64(o.bits.unsigned(263, 8)), 1)
	case 24:
		o.part()
	}
	return append(o.out, '}'), nil
}

// moving writes speed, position, course and heading, which stand in this order.
func (o *aisObject) moving(at int) {
	if sog := o.bits.unsigned(at, 10); sog != 1023 {
		o.number("sog", float64(sog), 10)
	}
	o.place(at + 11)
	if cog := o.bits.unsigned(at+66, 12); cog < 3600 {
		o.number("cog", float64(cog), 10)
	}
	if heading := o.bits.unsigned(at+78, 9); heading < 360 {
		o.number("heading", float64(heading), 1)
	}
}

// place writes longitude and latitude, in degrees.
func (o *aisObject) place(at int) {
	const minute = 600_000 // a ten-thousandth of it
	lon, lat := o.bits.signed(at, 28), o.bits.signed(at+28, 27)
	if lon >= -180*minute && lon <= 180*minute && lat >= -90*minute && lat <= 90*minute {
		o.number("lon", float64(lon), minute)
		o.number("lat", float64(lat), minute)
	}
}

// part writes one of the two halves of a static report.
func (o *aisObject) part() {
	half := o.bits.unsigned(38, 2)
	o.number("part", float64(half), 1)
	if half == 0 {
		o.string("name", o.bits.text(40, 20))
		return
	}
	o.number("ship_type", float64(o.bits.unsigned(40, 8)), 1)
	o.string("callsign", o.bits.text(90, 7))
}

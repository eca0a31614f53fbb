package decode

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/leatstream/leat/internal/jsontext"
)

// nmeaStage makes an object of a sentence of NMEA 0183, with its tag block if there is one:
//
//	\s:2573515,c:1559347200*03\!AIVDM,1,1,,A,15M67F,0*5C
//
// With ais, it also decodes positions, and joins the sentences of one message.
type nmeaStage struct{ ais *aisJoiner }

func parseNMEA(option any) (func(int) (stage, error), error) {
	if option != nil && option != "ais" {
		return nil, errors.New("its only option is ais")
	}
	return func(int) (stage, error) {
		if option == nil {
			return nmeaStage{}, nil
		}
		return nmeaStage{new(aisJoiner)}, nil
	}, nil
}

// sentence is one sentence; its texts are parts of the message.
type sentence struct {
	talker, kind []byte
	fields       [][]byte
	tag          [][]byte // of the tag block: name and value in turn
}

// run implements stage.
func (n nmeaStage) run(in, out []byte) ([]byte, bool, error) {
	s, err := parseSentence(bytes.TrimSpace(in))
	if err != nil {
		return out, true, err
	}
	if n.ais == nil || string(s.kind) != "VDM" && string(s.kind) != "VDO" {
		return append(s.write(out), '}'), true, nil
	}
	payload, whole, err := n.ais.join(&s)
	if err != nil || !whole {
		return nil, false, err
	}
	out = append(s.write(out), `,"ais":`...)
	out, err = appendAIS(out, payload)
	return append(out, '}'), true, err
}

func parseSentence(in []byte) (s sentence, err error) {
	if len(in) > 0 && in[0] == '\\' {
		block, rest, ok := bytes.Cut(in[1:], []byte(`\`))
		if !ok {
			return s, errors.New("its tag block has no end")
		}
		if block, err = checked(block); err != nil {
			return s, fmt.Errorf("its tag block: %w", err)
		}
		for item := range bytes.SplitSeq(block, []byte(",")) {
			name, value, _ := bytes.Cut(item, []byte(":"))
			s.tag = append(s.tag, name, value)
		}
		in = rest
	}
	if len(in) == 0 || in[0] != '$' && in[0] != '!' {
		return s, errors.New("it begins neither with $ nor with an exclamation mark")
	}
	if in, err = checked(in[1:]); err != nil {
		return s, err
	}
	parts := bytes.Split(in, []byte(","))
	s.fields = parts[1:]
	switch address := parts[0]; {
	case len(address) > 1 && address[0] == 'P': // proprietary
		s.talker, s.kind = address[:1], address[1:]
	case len(address) > 2:
		s.talker, s.kind = address[:2], address[2:]
	default:
		return s, errors.New("a sentence begins with its talker and its type")
	}
	return s, nil
}

// checked returns what stands before the checksum, if that is right.
func checked(in []byte) ([]byte, error) {
	i := bytes.LastIndexByte(in, '*')
	if i < 0 || len(in)-i != 3 {
		return nil, errors.New("it has no checksum")
	}
	want, err := strconv.ParseUint(string(in[i+1:]), 16, 8)
	if err != nil {
		return nil, errors.New("its checksum is no number")
	}
	sum := byte(0)
	for _, c := range in[:i] {
		sum ^= c
	}
	if byte(want) != sum {
		return nil, fmt.Errorf("its checksum is %02X, which should be %02X", want, sum)
	}
	return in[:i], nil
}

// write appends an object without its end.
func (s *sentence) write(out []byte) []byte {
	out = append(out, `{"talker":`...)
	out = jsontext.AppendString(out, s.talker)
	out = append(out, `,"type":`...)
	out = jsontext.AppendString(out, s.kind)
	out = append(out, `,"fields":[`...)
	for i, field := range s.fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = jsontext.AppendString(out, field)
	}
	out = append(out, ']')
	for i := 0; i < len(s.tag); i += 2 {
		out = append(out, []string{`,"tag":{`, `,`}[min(i, 1)]...)
		out = append(jsontext.AppendString(out, s.tag[i]), ':')
		out = jsontext.AppendString(out, s.tag[i+1])
	}
	if len(s.tag) > 0 {
		out = append(out, '}')
	}
	return out
}

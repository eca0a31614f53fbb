package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// Path is the place of a member in a message: data.symbol or ids[0]. With [] it means every element of an array:
// data[], events[].trades[]; the elements of the message itself are []. The zero Path is the message itself. It is
// immutable and safe for concurrent use.
type Path struct {
	source string
	parts  []string // gjson paths; between two of them stands []. An empty one is the value itself
}

var stepPattern = regexp.MustCompile(`^([^\[\]."'\s]+)?((?:\[[0-9]*\])*)$`)

// ParsePath returns the Path that a text names.
func ParsePath(source string) (Path, error) {
	source = strings.TrimSpace(source)
	p := Path{source: source, parts: []string{""}}
	if source == "" {
		return Path{}, errors.New("the path is empty")
	}
	for i, text := range strings.Split(source, ".") {
		m := stepPattern.FindStringSubmatch(text)
		if m == nil || text == "" || m[1] == "" && i > 0 {
			return Path{}, fmt.Errorf("expected a path such as data.items or events[].trades[], got %q", source)
		}
		if m[1] != "" {
			p.deepen(gjson.Escape(m[1]))
		}
		for _, index := range strings.SplitAfter(m[2], "]") {
			switch index = strings.Trim(index, "[]"); {
			case index != "":
				p.deepen(index)
			case m[2] != "":
				p.parts = append(p.parts, "")
			}
		}
		if m[2] != "" {
			p.parts = p.parts[:len(p.parts)-1] // what SplitAfter leaves at the end
		}
	}
	return p, nil
}

// deepen adds a step to the last part.
func (p *Path) deepen(step string) {
	last := &p.parts[len(p.parts)-1]
	if *last != "" {
		*last += "."
	}
	*last += step
}

// MemberPath returns the Path of one member, whatever its name.
func MemberPath(name string) Path { return Path{source: name, parts: []string{gjson.Escape(name)}} }

// MustParsePath is ParsePath for paths that are part of the program; it panics on an error.
func MustParsePath(source string) Path {
	p, err := ParsePath(source)
	if err != nil {
		panic(err)
	}
	return p
}

// UnmarshalText implements encoding.TextUnmarshaler with ParsePath.
func (p *Path) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePath(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler with the text that was parsed.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.source), nil }

// IsZero reports whether p is the message itself.
func (p *Path) IsZero() bool { return p.source == "" }

// String returns the text that was parsed.
func (p *Path) String() string { return p.source }

// Arrays returns how many times p goes through the elements of an array.
func (p *Path) Arrays() int { return max(0, len(p.parts)-1) }

// Part returns the path from one array to the next: of events[].trades[] the parts 0 and 1 are events and trades, and
// part 2 is the element itself.
func (p *Path) Part(i int) Path {
	part := p.parts[i]
	return Path{source: part, parts: []string{part}}
}

// Inside reports whether p goes through no other arrays than the first ones of outer: events[].type is inside of
// events[].trades[], and so is channel.
func (p *Path) Inside(outer *Path) bool {
	for i := range p.Arrays() {
		if i >= outer.Arrays() || p.parts[i] != outer.parts[i] {
			return false
		}
	}
	return true
}

// Name returns the name of the member that p ends with; empty if it ends with an array or its index.
func (p *Path) Name() string {
	name := p.source[strings.LastIndexByte(p.source, '.')+1:]
	if strings.ContainsAny(name, "[]") {
		return ""
	}
	return name
}

// Find returns what data, valid JSON, has at p, which must go through no array, as it is written, and where that begins.
func (p *Path) Find(data string) (raw string, at int, ok bool) {
	if len(p.parts) == 0 || p.parts[0] == "" {
		return data, 0, data != ""
	}
	r := gjson.Get(data, p.parts[0])
	return r.Raw, r.Index, r.Exists()
}

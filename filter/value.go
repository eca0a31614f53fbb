package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/setting"
)

// value is a part of a pattern.
type value struct {
	kind    byte // of the text: { [ " 0 t f n
	at, end int  // where it is
	text    string
	members []member
	items   []*value
}

type member struct {
	name  string
	at    int
	value *value
}

// wrongError says what is wrong with a pattern, and where. It repeats no value.
type wrongError struct {
	at         int    // in the text
	path       string // data.event[0]
	what, hint string
}

func (e *wrongError) Error() string {
	text := e.what
	if e.path != "" {
		text = e.path + ": " + text
	}
	if e.hint != "" {
		text += "; " + e.hint
	}
	return text
}

// describe says what kind of value there is.
func (v *value) describe() string {
	switch v.kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case '0':
		return "a number"
	case 'n':
		return "null"
	}
	return "true or false"
}

// get returns a member, or nil.
func (v *value) get(name string) *value {
	for i := range v.members {
		if v.members[i].name == name {
			return v.members[i].value
		}
	}
	return nil
}

// parseValue reads a whole text. Its errors have line and column.
func parseValue(text string) (*value, error) {
	p := &parser{scanner: scanner{data: []byte(text)}}
	v, err := p.value("", 0)
	if err == nil && !p.ended() {
		err = p.expected("the end of the text")
	}
	if err != nil {
		line, column := lineColumn(text, err.at)
		return nil, fmt.Errorf("line %d, column %d: %s", line, column, err.what)
	}
	return v, nil
}

// lineColumn returns where a byte of a text is, counted from 1, columns in characters.
func lineColumn(text string, at int) (line, column int) {
	before := text[:min(at, len(text))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}

type parser struct{ scanner }

func (p *parser) expected(what string) *wrongError {
	got := "the text ends"
	if !p.ended() {
		r, _ := utf8.DecodeRune(p.data[p.at:])
		got = fmt.Sprintf("got %q", r)
	}
	return &wrongError{at: p.at, what: fmt.Sprintf("expected %s, %s", what, got)}
}

func (p *parser) value(path string, depth int) (*value, *wrongError) {
	if depth > maxDepth {
		return nil, &wrongError{at: p.at, what: fmt.Sprintf("a pattern is nested at most %d deep", maxDepth)}
	}
	c := p.peek()
	v := &value{kind: c, at: p.at}
	var err *wrongError
	ok := true
	switch c {
	case '{':
		err = p.object(v, path, depth)
	case '[':
		err = p.list(v, path, depth)
	case '"':
		v.text, err = p.text()
	case 't':
		ok = p.word("true")
	case 'f':
		ok = p.word("false")
	case 'n':
		ok = p.word("null")
	default:
		v.kind = '0'
		var raw []byte
		raw, ok = p.number()
		v.text = string(raw)
	}
	if !ok {
		p.at = v.at
		err = p.expected("a value in JSON")
	}
	v.end = p.at
	return v, err
}

func (p *parser) text() (string, *wrongError) {
	at := p.at
	raw, escaped, ok := p.str()
	if !ok {
		return "", &wrongError{at: at, what: "the text that begins here is not closed, or has a character that must be escaped"}
	}
	if escaped {
		raw = unescape(nil, raw)
	}
	return string(raw), nil
}

func (p *parser) object(v *value, path string, depth int) *wrongError {
	p.at++
	if p.take('}') {
		return nil
	}
	for {
		if p.peek() != '"' {
			return p.expected("a name in quotes")
		}
		m := member{at: p.at}
		var err *wrongError
		if m.name, err = p.text(); err != nil {
			return err
		}
		if v.get(m.name) != nil {
			return &wrongError{at: m.at, what: fmt.Sprintf("%q is here for the second time, and only one of them would count", setting.Below(path, m.name))}
		}
		if !p.take(':') {
			return p.expected("a colon")
		}
		if m.value, err = p.value(setting.Below(path, m.name), depth+1); err != nil {
			return err
		}
		v.members = append(v.members, m)
		if p.take('}') {
			return nil
		}
		if !p.take(',') {
			return p.expected("a comma or }")
		}
	}
}

func (p *parser) list(v *value, path string, depth int) *wrongError {
	p.at++
	if p.take(']') {
		return nil
	}
	for {
		item, err := p.value(element(path, len(v.items)), depth+1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
		if p.take(']') {
			return nil
		}
		if !p.take(',') {
			return p.expected("a comma or ]")
		}
	}
}

// element returns the path of an element.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

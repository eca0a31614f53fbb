package source

import (
	"encoding/json"
	"strings"
)

// elements goes through the elements of a JSON list without recursion, so that no nesting does harm. It is for
// valid JSON.
type elements struct{ rest string }

const jsonBlanks = " \t\r\n"

// newElements returns the elements of a list; false if it is none, or has no end.
func newElements(raw string) (elements, bool) {
	raw = strings.Trim(raw, jsonBlanks)
	if len(raw) < 2 || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return elements{}, false
	}
	return elements{raw[1 : len(raw)-1]}, true
}

// next returns the next element, without blanks round it.
func (e *elements) next() (element string, ok bool) {
	e.rest = strings.TrimLeft(e.rest, jsonBlanks)
	if e.rest == "" {
		return "", false
	}
	end := elementEnd(e.rest)
	element = strings.TrimRight(e.rest[:end], jsonBlanks)
	e.rest = e.rest[min(end+1, len(e.rest)):]
	return element, element != "" || e.rest != ""
}

// elementEnd returns where the comma behind an element is, or the end.
func elementEnd(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// object writes the members of a JSON object.
type object struct{ out []byte }

func (o *object) comma() {
	if o.out[len(o.out)-1] != '{' {
		o.out = append(o.out, ',')
	}
}

// member writes a member, whose name is JSON, too.
func (o *object) member(name, raw string) {
	o.comma()
	o.out = append(append(o.out, name...), ':')
	o.out = append(o.out, raw...)
}

// quoted returns a text as JSON.
func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text
	}
	return string(out)
}

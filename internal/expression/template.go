package expression

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// Template is a text with expressions in double braces: ?cursor={{cursor}}. Two braces
// that are meant literally are written {{"{{"}}. It is immutable and safe for concurrent use.
type Template struct {
	source string
	parts  []part
}

type part struct {
	text    string
	program *vm.Program // nil: only text
}

// ParseTemplate returns the Template of a text. The error names the expression and the column in it.
func ParseTemplate(source string) (Template, error) {
	t := Template{source: source}
	rest := source
	for {
		text, after, found := strings.Cut(rest, "{{")
		if text != "" {
			t.parts = append(t.parts, part{text: text})
		}
		if !found {
			return t, nil
		}
		end := closing(after)
		if end < 0 {
			return Template{}, fmt.Errorf("%q has {{ without }}", source)
		}
		program, err := compile(strings.TrimSpace(after[:end]))
		if err != nil {
			return Template{}, err
		}
		t.parts = append(t.parts, part{program: program})
		rest = after[end+2:]
	}
}

// closing returns where the first }} outside of quotes begins, or -1.
func closing(s string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == '\\' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return i
		}
	}
	return -1
}

// MustParseTemplate is ParseTemplate for templates that are part of the program; it panics on an error.
func MustParseTemplate(source string) Template {
	t, err := ParseTemplate(source)
	if err != nil {
		panic(err)
	}
	return t
}

// UnmarshalText implements encoding.TextUnmarshaler with ParseTemplate.
func (t *Template) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTemplate(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler with the text that was parsed.
func (t Template) MarshalText() ([]byte, error) { return []byte(t.source), nil }

// IsZero reports whether t is the empty text.
func (t *Template) IsZero() bool { return t.source == "" }

// String returns the text that was parsed.
func (t *Template) String() string { return t.source }

// Expand returns the text with every expression replaced by its value, passed through
// escape if that is not nil. What does not exist becomes the empty text.
func (t *Template) Expand(variables map[string]any, escape func(string) string) (string, error) {
	var out strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			out.WriteString(p.text)
			continue
		}
		value, err := expr.Run(p.program, variables)
		if err != nil {
			return "", errors.Join(fmt.Errorf("expand %q", t.source), err)
		}
		text, _ := textOf(value)
		if escape != nil {
			text = escape(text)
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

package expression

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
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
	column  int         // of the expression
}

// ParseTemplate returns the Template of a text. Its error, as that of Expand, names a column and never repeats the text: templates
// hold secrets.
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
		end, column := closing(after), utf8.RuneCountInString(source[:len(source)-len(after)])+1
		if end < 0 {
			return Template{}, fmt.Errorf("the {{ before column %d has no }}", column)
		}
		program, err := compile(strings.TrimSpace(after[:end]))
		if err != nil {
			return Template{}, fmt.Errorf("between the {{ }} at column %d is no expression", column)
		}
		t.parts = append(t.parts, part{program: program, column: column})
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

// Uses reports whether an expression in t names a variable.
func (t *Template) Uses(variable string) bool {
	for _, p := range t.parts {
		if p.program == nil {
			continue
		}
		v := &naming{variable: variable}
		root := p.program.Node()
		if ast.Walk(&root, v); v.found {
			return true
		}
	}
	return false
}

type naming struct {
	variable string
	found    bool
}

// Visit implements ast.Visitor.
func (v *naming) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.IdentifierNode); ok && n.Value == v.variable {
		v.found = true
	}
}

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
			return "", fmt.Errorf("the expression at column %d has no value here", p.column)
		}
		text, _ := textOf(value)
		if escape != nil {
			text = escape(text)
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

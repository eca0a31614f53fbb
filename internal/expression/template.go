package expression

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

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
	column  int         // of the expression
	quoted  bool        // it stands in a text of JSON
	alone   bool        // it is a value of JSON
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
		program, err := compileTemplate(strings.TrimSpace(after[:end]))
		var told *functionError
		if errors.As(err, &told) {
			return Template{}, fmt.Errorf("between the {{ }} at column %d %w", column, told)
		}
		if err != nil {
			return Template{}, fmt.Errorf("between the {{ }} at column %d is no expression", column)
		}
		t.parts = append(t.parts, part{program: program, column: column})
		rest = after[end+2:]
	}
}

// closing returns where the first }} outside of quotes and braces begins, or -1.
func closing(s string) int {
	var quote byte
	depth := 0
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
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
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
	return t.expand(variables, func(_, value string) string {
		if escape != nil {
			return escape(value)
		}
		return value
	})
}

// ExpandAddress is Expand for an address. What it begins with is inserted as it is: an address, or the beginning of one. Behind that, what is
// inserted is escaped, so that it ends neither the host nor the parameter that it stands in.
func (t *Template) ExpandAddress(variables map[string]any) (string, error) {
	return t.expand(variables, func(before, value string) string {
		if before == "" {
			return value
		}
		escaped := url.QueryEscape(value)
		if inHost(before) {
			escaped = inHostSafe.Replace(escaped)
		}
		return escaped
	})
}

// inHostSafe gives what a host and its port are written with back.
var inHostSafe = strings.NewReplacer("%3A", ":", "%5B", "[", "%5D", "]")

// inHost reports whether what follows the beginning of an address belongs to its scheme or host.
func inHost(beginning string) bool {
	_, host, found := strings.Cut(beginning, "://")
	return !found || !strings.ContainsAny(host, "/?#")
}

// expand inserts what escape makes of each value, and of what stands before it.
func (t *Template) expand(variables map[string]any, escape func(before, value string) string) (string, error) {
	var out strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			out.WriteString(p.text)
			continue
		}
		value, err := expr.Run(p.program, variables)
		var told *functionError
		switch {
		case errors.As(err, &told):
			return "", fmt.Errorf("the expression at column %d: %w", p.column, told)
		case err != nil:
			return "", fmt.Errorf("the expression at column %d has no value here", p.column)
		}
		text, _ := textOf(value)
		switch {
		case p.alone && !structured(value):
			text = `"` + quoted(text) + `"`
		case p.quoted:
			text = quoted(text)
		}
		out.WriteString(escape(out.String(), text))
	}
	return out.String(), nil
}

// structured reports whether a value is a list or an object.
func structured(value any) bool {
	switch value.(type) {
	case []any, []string, map[string]any:
		return true
	}
	return false
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parse returns the tree of a file, or nil if there is none: the file is empty, or it has a
// mistake that leaves no sense in going on, which is then reported.
func (l *loader) parse(f *file) *yaml.Node {
	if at, what, hint := unreadable(f.text); at >= 0 {
		line, column := f.at(at)
		l.fatal(f, report{code: codeEncoding, at: span{line, column, 0}, message: what, hint: hint})
		return nil
	}
	parser, err := yaml.NewLoader(bytes.NewReader([]byte(f.text)))
	if err != nil {
		panic(fmt.Sprintf("start the YAML parser: %v", err)) // only options can be wrong, and there are none
	}
	var document, second yaml.Node
	if err := parser.Load(&document); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		l.fatal(f, syntaxError(f, err))
		return nil
	}
	f.index(&document)
	switch err := parser.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		l.fatal(f, syntaxError(f, err))
		return nil
	default:
		at := span{second.Line, second.Column, second.Column + 3}
		l.report(f, report{code: codeSecondDocument, at: at, message: "a second YAML document begins here", hint: "put it into a file of its own"})
	}
	s := structure{loader: l, file: f, open: map[*yaml.Node]bool{}, sizes: map[*yaml.Node]int{}}
	if s.walk(document.Content[0]); s.fatal {
		l.unread = true
		maskSuspicious(f)
		return nil
	}
	return document.Content[0]
}

// fatal reports a mistake behind which nothing more can be said about the file.
func (l *loader) fatal(f *file, r report) {
	l.unread = true
	maskSuspicious(f)
	l.report(f, r)
}

// unreadable returns the offset of the first byte that YAML does not allow, what is wrong with it and
// what to do; or -1.
func unreadable(text string) (at int, what, hint string) {
	const save = "save the file as UTF-8"
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return 0, "the file is encoded in UTF-16", save
	}
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			return i, fmt.Sprintf("the byte 0x%02X is not UTF-8", text[i]), save
		case r < 0x20 && r != '\t' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return i, fmt.Sprintf("the control character U+%04X is not allowed", r), "remove it, or write it as an escape sequence in double quotes"
		}
	}
	return -1, "", ""
}

func syntaxError(f *file, err error) report {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return report{code: codeSyntax, at: span{1, 1, 2}, message: "this is not YAML: " + err.Error()}
	}
	r := report{code: codeSyntax, at: span{at.Mark.Line, at.Mark.Column, 0}, message: at.Message}
	context := span{at.ContextMark.Line, at.ContextMark.Column, 0}
	if line := f.clamp(r.at); r.at.line > 0 && isTab(f, line) {
		r.code, r.message, r.hint = codeTab, "a tab cannot indent", "use spaces"
		return r
	}
	if at := f.offset(r.at.line, r.at.column) - 1; at >= 0 && strings.HasPrefix(f.text[at:], "${") {
		r.message, r.hint, r.at.column = "inside of { } and [ ] a reference needs quotes", "a number or true and false cannot have them: write such a field on a line of its own", r.at.column-1
		return r
	}
	for _, w := range wordings {
		if strings.Contains(at.Message, w.parser) {
			r.message, r.hint = w.message, w.hint
			if w.begin != "" && context.line > 0 && context != r.at {
				r.related = []Related{{Position: f.position(context), Message: w.begin}}
			}
			if w.atBegin && context.line > 0 {
				r.at, r.related = context, nil
			}
			break
		}
	}
	return r
}

func isTab(f *file, s span) bool {
	line := f.line(s.line)
	return s.column <= len(line) && line[s.column-1] == '\t' && strings.TrimSpace(string(line[:s.column-1])) == ""
}

// wordings are our words for what the parser says.
var wordings = []struct {
	parser, message, hint string
	begin                 string // what the context of the parser's message is
	atBegin               bool   // that is the place to show
}{
	{parser: "mapping values are not allowed", message: "a colon is not expected here", hint: `a text that contains ": " needs quotes; a key needs the indentation of its neighbours`},
	{parser: "did not find expected key", message: "the indentation fits no mapping around", hint: "give it the indentation of its neighbours", begin: "the mapping begins at"},
	{parser: "did not find expected '-'", message: "expected an item that begins with a dash", hint: `give every item "- " and the same indentation`, begin: "the list begins at"},
	{parser: "did not find expected ',' or ']'", message: "expected a comma or ]", begin: "the list begins at"},
	{parser: "did not find expected ',' or '}'", message: "expected a comma or }", begin: "the mapping begins at"},
	{parser: "did not find expected node content", message: "expected a value"},
	{parser: "could not find expected ':'", message: "expected a colon behind this key", hint: `write "key: value"`, atBegin: true},
	{parser: "block sequence entries are not allowed", message: "a list is not expected here", hint: "begin it on a line of its own"},
	{parser: "found unexpected end of stream", message: "this quote is not closed", atBegin: true},
	{parser: "found unexpected document indicator", message: "this quote is not closed", atBegin: true},
	{parser: "found unknown escape character", message: `unknown escape sequence in a text in double quotes`, hint: `write \\ for a backslash, or use single quotes`},
	{parser: "invalid Unicode character escape", message: "this escape sequence is no character", hint: `write one beyond U+FFFF as \U0001F600, not as a pair`},
	{parser: "cannot start any token", message: "a plain text cannot begin with this character", hint: "put the text into quotes"},
	{parser: "unknown anchor", message: "this alias has no anchor before it", hint: "a text that begins with * needs quotes"},
	{parser: "found incompatible YAML document", message: "this version of YAML is not supported", hint: "remove the %YAML line"},
	{parser: "exceeded max depth", message: "this is nested too deeply"},
	{parser: "did not find expected <document start>", message: "nothing may follow the end of the document", hint: "remove it, or give it the indentation of its neighbours"},
}

package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// check lets the structs of a scope check themselves. What they say about fields that are wrong already, which
// were left out or hold nothing, is dropped.
func (d *decoder) check(s *scope, wrong []span) {
	for _, v := range s.structs {
		if c, ok := v.Addr().Interface().(setting.Checker); ok {
			d.refused(s, slices.Clone(wrong), c.Check())
		}
		if f, ok := v.Addr().Interface().(setting.Filer); ok {
			for _, named := range f.Files() {
				d.readNamed(s, &named)
			}
		}
	}
}

// readNamed reads a file that a field names, and reports what is wrong with it.
func (d *decoder) readNamed(s *scope, f *setting.File) {
	n := valueAt(s.node, f.Field)
	if n == nil || d.failed(resolve(n)) {
		return
	}
	r := report{code: codeUnreadableFile, at: d.span(n), subject: f.Field, hint: "the file must exist and be readable by the user that leat runs as"}
	content, err := d.read(f.Path)
	if err != nil {
		r.message = fmt.Sprintf("%s: %v", f.Field, err)
		d.fail(r)
		return
	}
	if f.Parse == nil {
		return
	}
	if err := f.Parse(content); err != nil {
		r.code, r.hint, r.message = codeRefused, "", fmt.Sprintf("%s: %s: %v", f.Field, f.Path, err)
		d.fail(r)
	}
}

// refused reports an error of Check, or each of several that are joined.
func (d *decoder) refused(s *scope, wrong []span, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			d.refused(s, wrong, e)
		}
		return
	}
	r := report{code: codeRefused, at: d.span(s.node), message: s.label + ": " + err.Error()}
	var about *setting.FieldError
	if errors.As(err, &about) {
		r.message, r.hint = about.Field+": "+fmt.Sprint(about.Err), about.Hint
		if n := valueAt(s.node, about.Field); n != nil {
			r.at = d.span(n)
		}
	}
	if len(wrong) > 0 && (about == nil || d.follows(s, wrong, about)) {
		return
	}
	r.subject = r.message
	d.fail(r)
}

// follows reports whether an error may be there only because of mistakes that are reported: it is about a field that has one or
// lacks a value, or names another such field.
func (d *decoder) follows(s *scope, wrong []span, err *setting.FieldError) bool {
	name, _, _ := strings.Cut(err.Field, ".")
	name, _, _ = strings.Cut(name, "[")
	n := valueAt(s.node, err.Field)
	if s.lacks(name) || s.excused[name] || n != nil && d.touched(n, wrong) {
		return true
	}
	text := fmt.Sprint(err.Err)
	if d.mentioned(text, get(s.node, name), wrong) {
		return true
	}
	for _, other := range s.names {
		value := get(s.node, other)
		spoilt := s.lacks(other) || s.excused[other] || value != nil && slices.ContainsFunc(wrong, d.span(value).begins)
		if other != name && spoilt && mentions(text, other) {
			return true
		}
	}
	return false
}

// mentioned reports whether a text names a field somewhere in a subtree that has a mistake. Names of two letters are words of every text.
func (d *decoder) mentioned(text string, n *yaml.Node, wrong []span) bool {
	if n == nil {
		return false
	}
	n = resolve(n)
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && slices.ContainsFunc(wrong, d.span(c).begins) {
			if name := n.Content[i-1].Value; len(name) > 2 && mentions(text, name) {
				return true
			}
		}
		if d.mentioned(text, c, wrong) {
			return true
		}
	}
	return false
}

// touched reports whether a mistake is in a subtree.
func (d *decoder) touched(n *yaml.Node, wrong []span) bool {
	if slices.ContainsFunc(wrong, d.span(n).begins) {
		return true
	}
	return slices.ContainsFunc(resolve(n).Content, func(c *yaml.Node) bool { return d.touched(c, wrong) })
}

// begins reports whether two spans begin at one place.
func (s span) begins(other span) bool { return s.line == other.line && s.column == other.column }

// mentions reports whether a word stands in a text.
func mentions(text, word string) bool {
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), word)
}

// valueAt returns the value of a field of a mapping, whose name may go on with dots and indices
// (rules[1].name), or the innermost value on the way that is there; or nil.
func valueAt(n *yaml.Node, path string) *yaml.Node {
	if path == "" {
		return nil
	}
	name, rest := path, ""
	if i := strings.IndexAny(path[1:], ".[") + 1; i > 0 {
		name, rest = path[:i], strings.TrimPrefix(path[i:], ".")
	}
	var value *yaml.Node
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		value = get(n, name)
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(strings.Trim(name, "[]")); err == nil && i >= 0 && i < len(n.Content) {
			value = n.Content[i]
		}
	}
	if value == nil || rest == "" {
		return value
	}
	if inner := valueAt(value, rest); inner != nil {
		return inner
	}
	return value
}

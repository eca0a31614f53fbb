package config

import (
	"fmt"
	"slices"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// unknown reports a field that the scope does not have: as misplaced if it is known further out
// or one level further in, else with the nearest name.
func (d *decoder) unknown(s *scope, e entry) {
	near, ok := setting.Nearest(e.name, s.names)
	if s.open && !(ok && s.lacks(near)) {
		d.wrong = append(d.wrong, d.span(e.key))
		return
	}
	r := report{code: codeMisplacedField, subject: e.name, at: d.span(e.key)}
	if level, hint := misplaced(s, e); level != "" && !s.open {
		r.message, r.hint = fmt.Sprintf("%s is a field of %s, not of %s", e.name, level, s.level), hint
		d.fail(r)
		return
	}
	r.code, r.message = codeUnknownField, fmt.Sprintf("unknown field %s %s", quote(e.name), s.where())
	if ok {
		s.excused[near] = true
		r.hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.fail(r)
}

func (s *scope) where() string {
	if s.up == nil {
		return "at " + s.label
	}
	return "in " + s.label
}

// misplaced returns the level that has the field and what to do; nothing if there is none.
func misplaced(s *scope, e entry) (level, hint string) {
	for up := s.up; up != nil; up = up.up {
		if slices.Contains(up.names, e.name) {
			up.excused[e.name] = true
			return up.level, moveOut(s, up, e)
		}
	}
	for _, name := range s.names {
		if in := s.levelBelow(name); slices.Contains(in.names, e.name) {
			return in.level, moveIn(s, name, in, e)
		}
	}
	return "", ""
}

// level is what stands below a field.
type level struct {
	level string
	names []string
	many  bool // the field holds several of them
}

func (s *scope) levelBelow(name string) level {
	if in, ok := s.below[name]; ok {
		return in
	}
	typ := s.fields[name][0].value.Type()
	in := level{level: name, names: namesBelow(typ)}
	switch kindOf(typ) {
	case kindList:
		in.level, in.many = name+"[]", true
	case kindMap:
		in.level, in.many = "an entry of "+name, true
	}
	return in
}

func moveOut(s, up *scope, e entry) string {
	if n := e.key.Column - column(up.node); e.own && n > 0 && inBlock(s.node) && inBlock(up.node) {
		return fmt.Sprintf("move it %s to the left", plural(n, "column"))
	}
	return fmt.Sprintf("move it out of %s", s.level)
}

func moveIn(s *scope, name string, in level, e entry) string {
	if in.many {
		return fmt.Sprintf("write it where it belongs below %s", name)
	}
	child := get(s.node, name)
	if child == nil {
		return fmt.Sprintf("write it below %s", name)
	}
	if n := column(child) - e.key.Column; e.own && n > 0 && inBlock(s.node) && inBlock(child) {
		return fmt.Sprintf("move it below %s, %s to the right", name, plural(n, "column"))
	}
	return fmt.Sprintf("move it into %s", name)
}

// column returns the column of the keys of a mapping.
func column(n *yaml.Node) int {
	if len(n.Content) > 0 {
		return n.Content[0].Column
	}
	return n.Column
}

func inBlock(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0
}

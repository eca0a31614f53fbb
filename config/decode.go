package config

import (
	"fmt"
	"slices"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// decoder fills structs from the nodes of one file.
type decoder struct {
	*loader
	file     *file
	expanded map[*yaml.Node]expansion
	wrong    []span // where mistakes are, and values that a mistake has spoilt
}

// scope is one mapping that is being decoded.
type scope struct {
	table
	level  string // what its fields are fields of: consumers[], destination, batch
	label  string // where it is: source "trades", batch of source "trades"
	node   *yaml.Node
	up     *scope
	custom map[string]func(entry) // fields that are decoded in their own way
	below  map[string]level       // what stands below a field, where its type does not say
	open   bool                   // the fields are not all known: say nothing about unknown ones
	late   bool                   // defaults are filled in later

	seen    map[string]entry // what the mapping holds
	excused map[string]bool  // fields that need not be missed
}

// fail reports an error and remembers that there was one.
func (d *decoder) fail(r report) {
	d.wrong = append(d.wrong, r.at)
	d.report(d.file, r)
}

// written returns the value of a scalar as it is in the file.
func (d *decoder) written(n *yaml.Node) string {
	if e, ok := d.expanded[n]; ok {
		return e.written
	}
	return n.Value
}

// span returns where a node is in the file; of a mapping in block style that is its first key.
func (d *decoder) span(n *yaml.Node) span {
	if inBlock(n) && len(n.Content) > 0 {
		n = n.Content[0]
	}
	s, _ := d.file.span(n, d.written(n))
	return s
}

// mapping fills the structs of a scope from its node, which must be a mapping. It fills in
// the defaults, and lets the structs check themselves.
func (d *decoder) mapping(s *scope) {
	before := len(d.wrong)
	found, wrong := entries(s.node)
	for _, n := range wrong {
		d.fail(report{code: codeType, at: d.span(n), message: "<<: expected a mapping, or a list of mappings, to merge"})
	}
	s.seen, s.excused = map[string]entry{}, map[string]bool{}
	for _, e := range found {
		if e.second {
			d.skip(s, e)
			continue
		}
		s.seen[e.name] = e
		d.entry(s, e)
	}
	d.missing(s)
	if s.late {
		return
	}
	for _, v := range s.structs {
		setting.Default(v.Addr().Interface())
	}
	d.check(s, d.wrong[before:])
}

func (d *decoder) entry(s *scope, e entry) {
	if decode := s.custom[e.name]; decode != nil {
		decode(e)
		return
	}
	fields := s.fields[e.name]
	if len(fields) == 0 {
		d.unknown(s, e)
		d.skip(s, e)
		return
	}
	for _, f := range fields {
		d.field(s, f, e)
	}
}

// skip masks what may be secret in a value that is not decoded.
func (d *decoder) skip(s *scope, e entry) {
	if s.secret(e.name) {
		d.hideAll(e.value)
	}
	name := e.name
	if near, ok := setting.Nearest(name, s.names); ok && s.secret(near) {
		name = "secret"
	}
	d.hideSuspicious(name, e.value)
}

// missing reports the fields that must be there and are not, but for those that are there
// under a wrong name or in a wrong place, which is reported already.
func (d *decoder) missing(s *scope) {
	for _, name := range s.names {
		if !s.lacks(name) || s.excused[name] || s.up != nil && len(s.up.fields[name]) == 0 && get(s.up.node, name) != nil {
			continue
		}
		d.fail(report{
			code: codeMissingField, subject: name, at: d.span(s.node),
			message: fmt.Sprintf("%s has no %s", s.label, name), hint: "add " + name,
		})
	}
}

// lacks reports whether a field must be there and is not.
func (s *scope) lacks(name string) bool {
	required := slices.ContainsFunc(s.fields[name], func(f field) bool { return f.required })
	return required && get(s.node, name) == nil
}

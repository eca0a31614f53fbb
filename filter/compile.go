package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/setting"
)

// program is a compiled Filter. Everything that can hold has a place in one list of truths, so that an event is read once for all patterns:
// the leaves and the nested patterns of one field lie beside each other, and so do the fields of one object.
type program struct {
	text     string
	root     object
	rules    []rule // one of each pattern
	required [][]int
	truths   int
	late     wrongError // path is empty: the patterns name nothing that only records have
}

// object is what patterns say about one object, all patterns that look there together.
type object struct {
	fields   []*field
	index    map[string]*field // nil: there are few
	rules    []rule            // what is nested, judged at the end of each object
	from, to int               // the truths of the fields
	absent   []bool            // what they are if the object is empty
}

// field is what patterns say about one member.
type field struct {
	name     string
	leaves   []*leaf
	inner    *object // nil: no pattern is nested there
	from, to int     // truths: of the leaves, then of the rules of inner
}

// leaf is the list of a member in one pattern.
type leaf struct {
	path   string
	truth  int
	tests  []test
	absent bool // it holds where there is no value
}

// rule holds if all of some truths do, and of every group of alternatives one.
type rule struct {
	truth  int // where the result goes, in the field that the object is the value of
	all    []int
	groups [][]rule

	leaves []*leaf // until the truths are numbered
	nested []*nestedRule
}

// nestedRule is a rule of a nested object: one of its rules by its place.
type nestedRule struct {
	in    *object
	place int
}

// fewFields are looked through faster than a map.
const fewFields = 8

// holds judges a rule.
func (r *rule) holds(truths []bool) bool {
	for _, i := range r.all {
		if !truths[i] {
			return false
		}
	}
	for _, alternatives := range r.groups {
		if !anyHolds(alternatives, truths) {
			return false
		}
	}
	return true
}

func anyHolds(rules []rule, truths []bool) bool {
	for i := range rules {
		if rules[i].holds(truths) {
			return true
		}
	}
	return false
}

// compiler makes a program of values.
type compiler struct{ p *program }

func compile(v *value) (*program, error) {
	p := &program{}
	patterns, path := []*value{v}, func(int) string { return "" }
	if v.kind == '[' {
		patterns, path = v.items, func(i int) string { return element("", i) }
	}
	if len(patterns) == 0 {
		return nil, &wrongError{at: v.at, what: "there is no pattern in the list", hint: "write a pattern, such as {data: {event: [final]}}, or leave the filter out"}
	}
	if len(patterns) > maxPatterns {
		return nil, &wrongError{at: v.at, what: fmt.Sprintf("at most %d patterns, got %d", maxPatterns, len(patterns))}
	}
	c := compiler{p}
	for i, pattern := range patterns {
		if pattern.kind != '{' {
			return nil, &wrongError{at: pattern.at, path: path(i), what: "expected a pattern, got " + pattern.describe(), hint: "a pattern is a mapping, such as {data: {event: [final]}}"}
		}
		if n := utf8.RuneCountInString(pattern.json()); n > maxText {
			return nil, &wrongError{at: pattern.at, path: path(i), what: fmt.Sprintf("a pattern has at most %d characters, this one has %d", maxText, n), hint: "make several patterns of it"}
		}
		if err := c.top(pattern, path(i)); err != nil {
			return nil, err
		}
		r, err := c.rule(&p.root, pattern, path(i))
		if err != nil {
			return nil, err
		}
		p.rules = append(p.rules, r)
	}
	c.number(&p.root)
	c.link(p.rules)
	for i := range p.rules {
		p.required = append(p.required, required(&p.rules[i], nil))
	}
	c.empty(&p.root)
	p.text = v.json()
	return p, nil
}

// rule compiles an object of a pattern into what it says about an object of an event.
func (c *compiler) rule(o *object, v *value, path string) (r rule, err error) {
	if len(v.members) == 0 {
		return r, &wrongError{at: v.at, path: path, what: "the pattern is empty", hint: "name a field, such as event: [final]"}
	}
	for i := range v.members {
		m := &v.members[i]
		at := setting.Below(path, m.name)
		switch {
		case alternatives(m):
			group, err := c.group(o, m.value, at)
			if err != nil {
				return r, err
			}
			r.groups = append(r.groups, group)
		case m.value.kind == '[':
			l, err := newLeaf(m.value, at)
			if err != nil {
				return r, err
			}
			f := o.field(m.name)
			f.leaves = append(f.leaves, l)
			r.leaves = append(r.leaves, l)
		case m.value.kind == '{':
			f := o.field(m.name)
			if f.inner == nil {
				f.inner = &object{}
			}
			inner, err := c.rule(f.inner, m.value, at)
			if err != nil {
				return r, err
			}
			r.nested = append(r.nested, &nestedRule{f.inner, len(f.inner.rules)})
			f.inner.rules = append(f.inner.rules, inner)
		default:
			return r, notAList(m, at)
		}
	}
	return r, nil
}

// notAList is the error of a value that stands where a list must.
func notAList(m *member, path string) error {
	hint := fmt.Sprintf("put it into a list: %s: […]", m.name)
	if isOperator(m.name) {
		hint = fmt.Sprintf("an operator stands in the list of a field: [{%s: …}]", m.name)
	}
	return &wrongError{at: m.value.at, path: path, what: "expected a list of values and operators, got " + m.value.describe(), hint: hint}
}

// alternatives reports whether a member is the operator $or: a list of two or more objects that name no operators. Anything else of that name is an ordinary field.
func alternatives(m *member) bool {
	if m.name != "$or" || m.value.kind != '[' || len(m.value.items) < 2 {
		return false
	}
	for _, item := range m.value.items {
		if item.kind != '{' {
			return false
		}
		for i := range item.members {
			if isOperator(item.members[i].name) {
				return false
			}
		}
	}
	return true
}

func (c *compiler) group(o *object, v *value, path string) (group []rule, err error) {
	for i, item := range v.items {
		r, err := c.rule(o, item, element(path, i))
		if err != nil {
			return nil, err
		}
		group = append(group, r)
	}
	return group, nil
}

// field returns the field of a name, which it makes if it is new.
func (o *object) field(name string) *field {
	for _, f := range o.fields {
		if f.name == name {
			return f
		}
	}
	f := &field{name: name}
	o.fields = append(o.fields, f)
	return f
}

// find returns the field of a name, or nil.
func (o *object) find(name []byte) *field {
	if o.index != nil {
		return o.index[string(name)]
	}
	for _, f := range o.fields {
		if f.name == string(name) {
			return f
		}
	}
	return nil
}

// number gives everything below an object its place in the list of truths.
func (c *compiler) number(o *object) {
	o.from = c.p.truths
	for _, f := range o.fields {
		f.from = c.p.truths
		for _, l := range f.leaves {
			l.truth = c.p.truths
			c.p.truths++
		}
		for i := range f.inner.rulesOf() {
			f.inner.rules[i].truth = c.p.truths
			c.p.truths++
		}
		f.to = c.p.truths
	}
	o.to = c.p.truths
	if len(o.fields) > fewFields {
		o.index = map[string]*field{}
	}
	for _, f := range o.fields {
		if o.index != nil {
			o.index[f.name] = f
		}
		if f.inner != nil {
			c.number(f.inner)
			c.link(f.inner.rules)
		}
	}
}

func (o *object) rulesOf() []rule {
	if o == nil {
		return nil
	}
	return o.rules
}

// link replaces what rules need by its places.
func (c *compiler) link(rules []rule) {
	for i := range rules {
		r := &rules[i]
		for _, l := range r.leaves {
			r.all = append(r.all, l.truth)
		}
		for _, n := range r.nested {
			r.all = append(r.all, n.in.rules[n.place].truth)
		}
		for _, group := range r.groups {
			c.link(group)
		}
	}
}

// required appends the leaves that need a value for a rule to hold.
func required(r *rule, to []int) []int {
	for _, l := range r.leaves {
		if !l.absent {
			to = append(to, l.truth)
		}
	}
	for _, n := range r.nested {
		to = required(&n.in.rules[n.place], to)
	}
	return to
}

// empty works out what holds for an object without members.
func (c *compiler) empty(o *object) {
	truths := make([]bool, c.p.truths)
	for _, f := range o.fields {
		for _, l := range f.leaves {
			truths[l.truth] = l.absent
		}
		if f.inner == nil {
			continue
		}
		c.empty(f.inner)
		copy(truths[f.inner.from:f.inner.to], f.inner.absent)
		for i := range f.inner.rules {
			r := &f.inner.rules[i]
			truths[r.truth] = r.holds(truths)
		}
	}
	o.absent = truths[o.from:o.to]
}

// json writes a value without blanks.
func (v *value) json() string {
	var out strings.Builder
	v.write(&out)
	return out.String()
}

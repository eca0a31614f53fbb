package kinesisapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFindings is how many findings one ValidationException names.
const maxFindings = 10

// validate checks the members of a request against the model and returns the ValidationException that AWS gives, or nil.
func validate(v *value, of *shape) error {
	c := checker{}
	c.members(v, of, "")
	if len(c.found) == 0 {
		return nil
	}
	plural := "s"
	if len(c.found) == 1 {
		plural = ""
	}
	return failure("ValidationException", "%d validation error%s detected: %s", len(c.found), plural, strings.Join(c.found, "; "))
}

type checker struct{ found []string }

func (c *checker) fail(v *value, of *shape, path, constraint string) {
	if len(c.found) >= maxFindings {
		return
	}
	text := "null"
	if v.kind != kindNull {
		text = "'" + v.java(of) + "'"
	}
	c.found = append(c.found, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", text, path, constraint))
}

func (c *checker) members(v *value, of *shape, prefix string) {
	for i := range of.members {
		m := &of.members[i]
		path := prefix + strings.ToLower(m.name[:1]) + m.name[1:]
		member := v.get(m.name)
		switch {
		case member.kind != kindNull:
			c.value(member, m.shape, path)
		case m.required:
			c.fail(member, m.shape, path, "Member must not be null")
		}
	}
}

func (c *checker) value(v *value, of *shape, path string) {
	for _, constraint := range broken(v, of) {
		c.fail(v, of, path, constraint)
	}
	switch of.kind {
	case typeStructure:
		c.members(v, of, path+".")
	case typeList:
		c.list(v, of, path)
	case typeMap:
		c.entries(v, of, path)
	case typeString, typeInteger, typeBoolean, typeBlob, typeTimestamp:
	}
}

// broken returns the constraints of the shape itself that v does not satisfy.
func broken(v *value, of *shape) (constraints []string) {
	if of.enum != nil && !slices.Contains(of.enum, v.text) {
		constraints = append(constraints, "Member must satisfy enum value set: ["+strings.Join(of.enum, ", ")+"]")
	}
	if of.pattern != nil && !of.pattern.re.MatchString(v.text) {
		constraints = append(constraints, "Member must satisfy regular expression pattern: "+of.pattern.text)
	}
	if !of.bounded {
		return constraints
	}
	what, size := "length", length(v)
	if of.kind == typeInteger {
		what, size = "value", int(v.number)
	}
	if size < of.min {
		constraints = append(constraints, fmt.Sprintf("Member must have %s greater than or equal to %d", what, of.min))
	}
	if of.max > 0 && size > of.max {
		constraints = append(constraints, fmt.Sprintf("Member must have %s less than or equal to %d", what, of.max))
	}
	return constraints
}

// length counts the characters of a string, the bytes of a blob, the items of a list or map.
func length(v *value) int {
	return utf8.RuneCountInString(v.text) + len(v.blob) + len(v.list) + len(v.fields)
}

// list checks the items of a list. Those that are structures are named one by one, others make one finding of the whole list.
func (c *checker) list(v *value, of *shape, path string) {
	for i := range v.list {
		item := &v.list[i]
		switch {
		case item.kind == kindNull:
			c.fail(item, of.elem, fmt.Sprintf("%s.%d.member", path, i+1), "Member must not be null")
		case of.elem.kind == typeStructure:
			c.value(item, of.elem, fmt.Sprintf("%s.%d.member", path, i+1))
		case len(broken(item, of.elem)) > 0:
			c.fail(v, of, path, "Member must satisfy constraint: "+inside(of.elem))
			return
		}
	}
}

func (c *checker) entries(v *value, of *shape, path string) {
	badKey, badValue := false, false
	for i := range v.fields {
		name := textOf(v.fields[i].name)
		badKey = badKey || len(broken(&name, of.key)) > 0
		badValue = badValue || v.fields[i].value.kind == kindNull || len(broken(&v.fields[i].value, of.elem)) > 0
	}
	if badKey {
		c.fail(v, of, path, "Map keys must satisfy constraint: "+inside(of.key))
	}
	if badValue {
		c.fail(v, of, path, "Map value must satisfy constraint: "+inside(of.elem))
	}
}

// inside lists all constraints of the items of a list or map, as AWS prints them.
func inside(of *shape) string {
	var all []string
	if of.bounded {
		all = append(all, fmt.Sprintf("Member must have length less than or equal to %d", of.max),
			fmt.Sprintf("Member must have length greater than or equal to %d", of.min))
	}
	if of.pattern != nil {
		all = append(all, "Member must satisfy regular expression pattern: "+of.pattern.text)
	}
	if of.enum != nil {
		all = append(all, "Member must satisfy enum value set: ["+strings.Join(of.enum, ", ")+"]")
	}
	return "[" + strings.Join(all, ", ") + "]"
}

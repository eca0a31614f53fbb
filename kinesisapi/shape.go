package kinesisapi

import (
	"regexp"
	"strings"
)

// typ is the type of a shape, named as the texts of AWS name it.
type typ string

const (
	typeString    typ = "String"
	typeInteger   typ = "Integer"
	typeBoolean   typ = "Boolean"
	typeBlob      typ = "Blob"
	typeTimestamp typ = "Timestamp"
	typeList      typ = "List"
	typeMap       typ = "Map"
	typeStructure typ = "Structure"
)

// shape is the type of a member and what its values must satisfy.
type shape struct {
	kind    typ
	name    string // of a structure
	bounded bool   // min applies: to the value of a number, the length of everything else
	min     int
	max     int // 0: none
	pattern *pattern
	enum    []string
	elem    *shape // of a list, the values of a map
	key     *shape // of a map
	members []member
}

// member is a member of a structure.
type member struct {
	name     string
	shape    *shape
	required bool
}

// pattern is a regular expression that a whole string must match.
type pattern struct {
	text string // as messages print it
	re   *regexp.Regexp
}

func matching(text string) *pattern {
	return &pattern{text: text, re: regexp.MustCompile(`\A(?:` + text + `)\z`)}
}

func (s *shape) member(name string) *member {
	for i := range s.members {
		if s.members[i].name == name {
			return &s.members[i]
		}
	}
	return nil
}

// The constructors below make the model readable as a table.

func str(low, high int, p string) *shape {
	s := &shape{kind: typeString, bounded: high > 0, min: low, max: high}
	if p != "" {
		s.pattern = matching(p)
	}
	return s
}

func enum(values string) *shape { return &shape{kind: typeString, enum: strings.Fields(values)} }

func num(low, high int) *shape {
	return &shape{kind: typeInteger, bounded: true, min: low, max: high}
}

func list(of *shape, low, high int) *shape {
	return &shape{kind: typeList, elem: of, bounded: high > 0, min: low, max: high}
}

func structure(name string, members ...member) *shape {
	return &shape{kind: typeStructure, name: name, members: members}
}

func must(name string, s *shape) member { return member{name: name, shape: s, required: true} }
func may(name string, s *shape) member  { return member{name: name, shape: s} }

package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// maxExpansion is how many nodes aliases may stand for.
const maxExpansion = 10_000

// structure checks what the parser lets pass: keys, tags, and what aliases lead to.
type structure struct {
	*loader
	file     *file
	open     map[*yaml.Node]bool // the nodes round the current one
	sizes    map[*yaml.Node]int  // number of nodes, with aliases expanded
	expanded int                 // number of nodes that aliases stand for
	fatal    bool
}

// walk checks a tree and returns how many nodes it stands for, at most a little more than
// maxExpansion.
func (s *structure) walk(n *yaml.Node) int {
	if s.fatal {
		return 0
	}
	if n.Kind == yaml.AliasNode {
		return s.alias(n)
	}
	s.tag(n)
	s.open[n] = true
	size := 1
	for _, c := range n.Content {
		size = min(size+s.walk(c), maxExpansion+1)
	}
	delete(s.open, n)
	s.sizes[n] = size
	if n.Kind == yaml.MappingNode {
		s.keys(n)
	}
	return size
}

func (s *structure) alias(n *yaml.Node) int {
	at, _ := s.file.span(n, "")
	if s.open[n.Alias] {
		s.fatal = true
		s.report(s.file, report{
			code: codeAliasCycle, at: at, message: fmt.Sprintf("the alias *%s stands inside its own anchor", n.Value),
			related: []Related{s.file.related(n.Alias, "the anchor is at")},
		})
		return 0
	}
	size := s.sizes[n.Alias]
	if s.expanded += size; s.expanded > maxExpansion {
		s.fatal = true
		s.report(s.file, report{
			code: codeAliasLimit, at: at,
			message: fmt.Sprintf("with the alias *%s the aliases of this file stand for more than %d nodes", n.Value, maxExpansion),
		})
	}
	return size
}

func (s *structure) tag(n *yaml.Node) {
	if n.Style&yaml.TaggedStyle == 0 {
		return
	}
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq":
		return
	}
	s.file.mistagged[n] = true
	at := s.file.clamp(span{n.Line, n.Column, n.Column + len([]rune(n.Tag))})
	s.report(s.file, report{code: codeTag, at: at, message: fmt.Sprintf("unknown tag %q", n.Tag), hint: "a text that begins with ! needs quotes"})
}

// keys checks that the keys of a mapping are texts and that each is there once.
func (s *structure) keys(n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at, _ := s.file.span(key, key.Value)
		if resolve(key).Kind != yaml.ScalarNode {
			s.report(s.file, report{code: codeKey, at: at, message: "a key must be a text", hint: "a text that begins with { or [ needs quotes"})
			continue
		}
		name := resolve(key).Value
		before, twice := first[name]
		if !twice {
			first[name] = key
			continue
		}
		hint := "remove one of them"
		if name == "<<" {
			hint = "merge several mappings with <<: [*one, *two]"
		}
		s.report(s.file, report{
			code: codeDuplicateKey, at: at, message: fmt.Sprintf("the key %q is there twice", name), hint: hint,
			related: []Related{s.file.related(before, "the first is at")},
		})
	}
}

// resolve returns the node that an alias stands for, any other node as it is.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// entry is one key of a mapping with its value.
type entry struct {
	name   string
	key    *yaml.Node
	value  *yaml.Node
	own    bool // written in this mapping, not merged into it
	second bool // the key was there before, which is reported already
}

// entries returns what a mapping holds, with << merged: what the mapping itself says wins,
// then what comes first. The second result lists values of << that are no mappings.
func entries(n *yaml.Node) (found []entry, wrong []*yaml.Node) {
	seen := map[string]bool{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if key.Kind != yaml.ScalarNode {
			continue
		}
		if key.Value == "<<" && key.Tag == "!!merge" {
			merges = append(merges, n.Content[i+1])
			continue
		}
		found = append(found, entry{name: key.Value, key: n.Content[i], value: n.Content[i+1], own: true, second: seen[key.Value]})
		seen[key.Value] = true
	}
	for _, m := range merges {
		list := []*yaml.Node{m}
		if r := resolve(m); r.Kind == yaml.SequenceNode {
			list = r.Content
		}
		for _, item := range list {
			if resolve(item).Kind != yaml.MappingNode {
				wrong = append(wrong, item)
				continue
			}
			more, bad := entries(resolve(item))
			wrong = append(wrong, bad...)
			for _, e := range more {
				if e.own = false; !e.second && !seen[e.name] {
					seen[e.name] = true
					found = append(found, e)
				}
			}
		}
	}
	return found, wrong
}

package config

import (
	"fmt"

	"github.com/leatstream/leat/stream"
	"go.yaml.in/yaml/v4"
)

// top decodes the top level of a file.
func (d *decoder) top(n *yaml.Node) {
	s := &scope{table: tableOf(&d.config), level: "the top level", label: "the top level", node: resolve(n), late: true}
	if s.node.Kind != yaml.MappingNode {
		if d.classify(s.node) != nullScalar && !d.spoilt(n) {
			d.hideSuspicious("", s.node)
			d.fail(report{code: codeType, at: d.span(n), message: "expected a mapping at the top level, got " + d.describe(slot{}, s.node)})
		}
		return
	}
	s.below = map[string]level{
		"engine":    {level: "engine", names: tableOf(&Engine{}).names},
		"streams":   {level: "a stream", names: tableOf(&Stream{}).names, many: true},
		"sources":   {level: "sources[]", names: tableOf(&Source{}).names, many: true},
		"consumers": {level: "consumers[]", names: tableOf(&Consumer{}).names, many: true},
	}
	s.custom = map[string]func(entry){
		"engine":    func(e entry) { d.once(s, e) },
		"streams":   func(e entry) { d.streamList(s, e) },
		"sources":   func(e entry) { d.items(s, e, d.source) },
		"consumers": func(e entry) { d.items(s, e, d.consumer) },
	}
	for _, name := range s.names {
		if s.custom[name] == nil {
			s.custom[name] = func(e entry) { d.once(s, e) }
		}
	}
	d.mapping(s)
}

// once decodes a field of the top level that only one file may set.
func (d *decoder) once(s *scope, e entry) {
	here := declared{name: e.name, file: d.file, at: d.span(e.key)}
	if before, ok := d.set[e.name]; ok {
		d.fail(report{
			code: codeSetTwice, at: here.at, message: e.name + " is set in two files", hint: "remove one of them",
			related: []Related{before.related("the first is at")},
		})
		return
	}
	d.set[e.name] = here
	if e.name == "engine" {
		d.engine(s, e)
		return
	}
	before := len(d.wrong)
	for _, f := range s.fields[e.name] {
		d.field(s, f, e)
	}
	if e.name == "metrics" && len(d.wrong) == before {
		d.metrics(e.value)
	}
}

// engine decodes what keeps the streams.
func (d *decoder) engine(up *scope, e entry) {
	out := &d.config.Engine
	s := &scope{table: tableOf(out), level: "engine", label: "engine", up: up, open: true}
	n := resolve(e.value)
	if n.Kind != yaml.MappingNode {
		if !d.spoilt(e.value) {
			d.mismatch(slot{scope: up, name: e.name, at: e.value}, up.fields[e.name][0].value.Type(), e.value)
		}
		return
	}
	s.node = n
	out.Adapter = d.adapter(n, d.adapters.Engines, "engine")
	if out.Adapter != nil {
		s.table, s.open = tableOf(out, out.Adapter), false
	}
	d.mapping(s)
}

// streamList decodes the mapping of streams.
func (d *decoder) streamList(up *scope, e entry) {
	n := resolve(e.value)
	if n.Kind != yaml.MappingNode {
		d.wrongCollection(up, e, "a mapping from names to streams", `write "name:" with the fields of the stream below`)
		return
	}
	found, wrong := entries(n)
	if len(wrong) > 0 {
		d.unread = true
	}
	for _, c := range wrong {
		d.fail(report{code: codeType, at: d.span(c), message: "streams.<<: expected a mapping, or a list of mappings, to merge"})
	}
	for _, e := range found {
		if !e.second {
			d.stream(up, e)
		}
	}
}

func (d *decoder) stream(up *scope, e entry) {
	here := declared{name: e.name, file: d.file, at: d.span(e.key)}
	fresh := d.named("stream", here, "") && d.unique("stream", here)
	here.broken = !fresh
	d.streams = append(d.streams, here)
	out := Stream{Name: e.name, At: d.file.position(here.at)}
	s := &scope{table: tableOf(&out), level: "a stream", label: fmt.Sprintf("stream %q", e.name), node: resolve(e.value), up: up}
	if d.classify(s.node) == nullScalar {
		s.node = &yaml.Node{Kind: yaml.MappingNode, Line: e.key.Line, Column: e.key.Column}
	}
	if s.node.Kind == yaml.MappingNode {
		d.mapping(s)
	} else if !d.spoilt(s.node) {
		d.hideSuspicious("", s.node)
		d.fail(report{code: codeType, at: d.span(e.value), message: fmt.Sprintf("stream %q: expected a mapping, got %s", e.name, d.describe(slot{}, s.node))})
	}
	_, out.ShardsGiven = s.seen["shards"]
	if fresh {
		d.config.Streams = append(d.config.Streams, out)
	}
}

// named checks a name. A source or consumer needs room for the suffix of its own stream.
func (d *decoder) named(what string, here declared, suffix string) bool {
	if stream.CheckName(here.name+suffix) == nil && here.name != "" {
		return true
	}
	d.fail(report{
		code: codeName, at: here.at, message: fmt.Sprintf("%s cannot be the name of a %s", quote(here.name), what),
		hint: fmt.Sprintf("use 1 to %d letters, digits, _, - and .", 128-len(suffix)),
	})
	return false
}

// unique checks that a name is not declared yet.
func (d *decoder) unique(what string, here declared) bool {
	key := what + " " + here.name
	before, twice := d.names[key]
	if !twice {
		d.names[key] = here
		return true
	}
	d.fail(report{
		code: codeDuplicateName, at: here.at, message: fmt.Sprintf("there are two %ss named %q", what, here.name), hint: "rename one of them",
		related: []Related{before.related("the first is at")},
	})
	return false
}

// failed reports whether a node is a scalar without a meaning, which is reported already.
func (d *decoder) failed(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (d.expanded[n].failed || d.file.mistagged[n])
}

// spoilt reports whether a node has failed, and takes note.
func (d *decoder) spoilt(n *yaml.Node) bool {
	if !d.failed(resolve(n)) {
		return false
	}
	d.wrong = append(d.wrong, d.span(n))
	return true
}

// wrongCollection reports a value of streams, sources or consumers that is not what it must be.
func (d *decoder) wrongCollection(up *scope, e entry, want, hint string) {
	if d.classify(resolve(e.value)) == nullScalar {
		return
	}
	d.unread = true
	if d.spoilt(e.value) {
		return
	}
	d.skip(up, e)
	d.fail(report{code: codeType, at: d.span(e.value), message: fmt.Sprintf("%s: expected %s, got %s", e.name, want, d.describe(slot{}, resolve(e.value))), hint: hint})
}

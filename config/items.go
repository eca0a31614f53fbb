package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// item is an element of sources or consumers that is being decoded.
type item struct {
	label string     // source "trades"
	at    *yaml.Node // where it is, before an alias is followed
	node  *yaml.Node // its mapping
	up    *scope
}

// items decodes a list of sources or consumers.
func (d *decoder) items(up *scope, e entry, decode func(item)) {
	list := resolve(e.value)
	if list.Kind != yaml.SequenceNode {
		d.wrongCollection(up, e, "a list", `begin every item with "- name:"`)
		return
	}
	what := strings.TrimSuffix(e.name, "s")
	for i, at := range list.Content {
		it := item{label: fmt.Sprintf("%s %d", what, i+1), at: at, node: resolve(at), up: up}
		if it.node.Kind != yaml.MappingNode {
			d.unread = true
			if !d.spoilt(at) {
				d.hideSuspicious("", it.node)
				d.fail(report{code: codeType, at: d.span(at), message: fmt.Sprintf("%s: expected a mapping, got %s", it.label, d.describe(slot{}, it.node))})
			}
			continue
		}
		if name, ok := d.text(get(it.node, "name")); ok && name != "" {
			it.label = fmt.Sprintf("%s %s", what, quote(name))
		}
		decode(it)
	}
}

// get returns the value of a field of a mapping, or nil.
func get(n *yaml.Node, name string) *yaml.Node {
	found, _ := entries(n)
	for _, e := range found {
		if e.name == name {
			return e.value
		}
	}
	return nil
}

// text returns the text of a node, which may be nil, and whether there is one that can be used.
func (d *decoder) text(n *yaml.Node) (string, bool) {
	if n == nil {
		return "", false
	}
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || d.classify(n) == nullScalar || d.failed(n) {
		return "", false
	}
	return n.Value, true
}

// adapter returns a new Config of the type that a mapping names, or nil. It reports a type that
// is not offered; that there is none is reported with the other fields.
func (d *decoder) adapter(n *yaml.Node, offered map[string]func() any, what string) any {
	at := get(n, "type")
	name, ok := d.text(at)
	if !ok {
		return nil
	}
	if fresh := offered[name]; fresh != nil {
		return fresh()
	}
	known := slices.Sorted(maps.Keys(offered))
	hint := "write one of " + strings.Join(known, ", ")
	if near, ok := setting.Nearest(name, known); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.fail(report{code: codeUnknownType, at: d.span(at), message: fmt.Sprintf("unknown type of %s %s", what, quote(name)), hint: hint})
	return nil
}

func (d *decoder) source(it item) {
	out := Source{At: d.file.position(d.span(it.at))}
	s := &scope{table: tableOf(&out), level: "sources[]", label: it.label, node: it.node, up: it.up}
	out.Adapter = d.adapter(it.node, d.adapters.Sources, "source")
	if s.open = out.Adapter == nil; !s.open {
		s.table = tableOf(&out, out.Adapter)
	}
	d.mapping(s)
	w := writer{declared: d.place(s, "name"), stream: d.place(s, "stream"), connections: d.place(s, "connections")}
	w.redundant = out.Settings.Connections > 1 && get(it.node, "event_id") == nil
	d.declare("source", w.declared, gapsSuffix)
	d.sources = append(d.sources, w)
	d.config.Sources = append(d.config.Sources, out)
}

func (d *decoder) consumer(it item) {
	out := Consumer{At: d.file.position(d.span(it.at))}
	s := &scope{table: tableOf(&out), level: "consumers[]", label: it.label, node: it.node, up: it.up}
	to := d.destination(s, &out.Destination)
	s.below = map[string]level{"destination": {level: "destination", names: to.names}}
	s.custom = map[string]func(entry){"destination": func(e entry) {
		if to.node != nil {
			d.mapping(to)
			d.target(to, out.Destination.Adapter)
		} else if !d.spoilt(e.value) {
			d.mismatch(slot{scope: s, name: e.name, at: e.value}, s.fields[e.name][0].value.Type(), e.value)
		}
	}}
	d.mapping(s)
	if out.Settings.DeadLetters == "" {
		out.Settings.DeadLetters = out.Name + deadSuffix
	}
	r := reader{declared: d.place(s, "name"), stream: d.place(s, "stream"), dead: d.place(s, "dead_letters")}
	d.declare("consumer", r.declared, deadSuffix)
	d.readers = append(d.readers, r)
	d.config.Consumers = append(d.config.Consumers, out)
}

// destination returns the scope of a consumer's destination. Its node is nil if there is no mapping.
func (d *decoder) destination(up *scope, out *Destination) *scope {
	s := &scope{table: tableOf(out), level: "destination", label: "destination of " + up.label, up: up, open: true}
	n := get(up.node, "destination")
	if n == nil || resolve(n).Kind != yaml.MappingNode {
		return s
	}
	s.node = resolve(n)
	out.Adapter = d.adapter(s.node, d.adapters.Destinations, "destination")
	if out.Adapter != nil {
		s.table, s.open = tableOf(out, out.Adapter), false
	}
	return s
}

// place returns the value of a field, if it can be used, and where it is.
func (d *decoder) place(s *scope, field string) declared {
	here := declared{file: d.file, at: d.span(s.node)}
	if e, ok := s.seen[field]; ok {
		here.at = d.span(e.value)
		here.name, here.given = d.text(e.value)
		here.broken = !here.given
	}
	return here
}

// declare checks the name of a source or consumer.
func (d *decoder) declare(what string, here declared, suffix string) {
	if !here.given {
		d.unnamed = true
		return
	}
	if d.named(what, here, suffix) {
		d.unique(what, here)
	}
}

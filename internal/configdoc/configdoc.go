// Package configdoc makes the reference of the configuration, docs/config.md and
// leat.schema.json, from the source of the Config structs: the comment of a field is its
// meaning, and its tags are its name, default and limits. So there is one place for both.
package configdoc

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/leatstream/leat/config"
)

// Role says where in a file the fields of a Part stand.
type Role int

// The roles.
const (
	Top             Role = iota // the top level
	Stream                      // an entry of streams
	Source                      // an item of sources, whatever its type
	Consumer                    // an item of consumers
	SourceType                  // an item of sources of one type, beside the fields of Source
	DestinationType             // a destination of one type, beside its type
	EngineType                  // an engine of one type, beside its type
)

// Part is one struct of the reference, and one section of docs/config.md.
type Part struct {
	Package string // import path
	Struct  string // name of the type
	Heading string
	Role    Role
	Type    string // what type: says, for SourceType, DestinationType and EngineType
}

// Frame returns the parts of package config, which every reference begins with.
func Frame() []Part {
	part := func(v any, role Role, heading string) Part {
		t := reflect.TypeOf(v)
		return Part{Package: t.PkgPath(), Struct: t.Name(), Heading: heading, Role: role}
	}
	return []Part{
		part(config.Config{}, Top, "Top level"),
		part(config.Stream{}, Stream, "streams"),
		part(config.Source{}, Source, "sources"),
		part(config.Consumer{}, Consumer, "consumers"),
	}
}

// AdapterParts returns the parts of all adapters, sorted by their types, so that the table that
// config.Load is given is the only list of them.
func AdapterParts(a config.Adapters) []Part {
	var parts []Part
	add := func(offered map[string]func() any, role Role, what string) {
		for _, name := range slices.Sorted(maps.Keys(offered)) {
			t := reflect.TypeOf(offered[name]()).Elem()
			parts = append(parts, Part{Package: t.PkgPath(), Struct: t.Name(), Heading: what + " " + name, Role: role, Type: name})
		}
	}
	add(a.Sources, SourceType, "Source of type")
	add(a.Destinations, DestinationType, "Destination of type")
	add(a.Engines, EngineType, "Engine of type")
	return parts
}

// Docs is the reference.
type Docs struct {
	Markdown []byte // docs/config.md
	Schema   []byte // leat.schema.json, draft 07
}

// files returns the documents by their paths below the root of the module.
func (d Docs) files() map[string][]byte {
	return map[string][]byte{"docs/config.md": d.Markdown, "leat.schema.json": d.Schema}
}

// Generate reads the source of the parts below root, the directory of go.mod, and returns the
// reference. A field without a comment is an error, and so is a default or a limit that the field cannot hold.
func Generate(root string, parts []Part) (Docs, error) {
	r, err := newReader(root, parts)
	if err != nil {
		return Docs{}, err
	}
	sections := make([]section, 0, len(parts))
	for _, p := range parts {
		fields, err := r.fields(p.Package, p.Struct)
		if err != nil {
			return Docs{}, fmt.Errorf("describe %s.%s: %w", p.Package, p.Struct, err)
		}
		for i := range fields {
			if p.Role == Top && fields[i].name == "streams" {
				fields[i].value.kind = kindMap // in Go a list of structs with names
			}
		}
		sections = append(sections, section{Part: p, fields: fields})
	}
	schema, err := schemaOf(sections)
	if err != nil {
		return Docs{}, err
	}
	return Docs{Markdown: markdownOf(sections), Schema: schema}, nil
}

// Write generates the reference and writes it below root.
func Write(root string, parts []Part) error {
	docs, err := Generate(root, parts)
	if err != nil {
		return err
	}
	for name, content := range docs.files() {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// Check returns an error if what Write would write differs from what is there.
func Check(root string, parts []Part) error {
	docs, err := Generate(root, parts)
	if err != nil {
		return err
	}
	for name, want := range docs.files() {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("check %s: %w", name, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("check %s: not up to date with the comments of the structs; generate it again", name)
		}
	}
	return nil
}

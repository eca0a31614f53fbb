package configdoc

import (
	"errors"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// section is a Part with what its source says.
type section struct {
	Part
	fields []field
}

// field is one field of a struct.
type field struct {
	name     string
	text     string // its comment
	required bool
	def      string
	least    string
	most     string
	enum     []string
	value    value
}

// value is what a field holds.
type value struct {
	kind   kind
	fields []field // of a mapping
	elem   *value  // of a list or a map
}

type kind string

const (
	kindText       kind = "text"
	kindBool       kind = "true or false"
	kindInt        kind = "integer"
	kindFloat      kind = "number"
	kindDuration   kind = "duration"
	kindSize       kind = "size"
	kindSecret     kind = "secret"
	kindExpression kind = "expression"
	kindTemplate   kind = "text with {{…}}"
	kindMessage    kind = "text, mapping or list"
	kindMapping    kind = "mapping"
	kindList       kind = "list"
	kindMap        kind = "mapping of names"
	kindAny        kind = "anything"
)

// named are types that are described by what they mean: those of the module by their directory, others
// by their import path.
var named = map[string]kind{
	"time.Duration": kindDuration, "time.Time": kindText,
	"internal/setting.Size": kindSize, "internal/setting.Secret": kindSecret,
	"internal/expression.Value": kindExpression, "internal/expression.Template": kindTemplate,
	"internal/expression.Condition": kindExpression,
}

var builtin = map[string]kind{
	"string": kindText, "bool": kindBool, "int": kindInt, "int32": kindInt, "int64": kindInt, "float64": kindFloat, "any": kindAny,
}

// reader reads structs from the source of a module.
type reader struct {
	root     string
	module   string
	parts    map[string]bool // structs with a section of their own, by import path and name
	packages map[string]*pkg
	open     map[string]bool // structs that are being read
}

func newReader(root string, parts []Part) (*reader, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	r := &reader{root: root, parts: map[string]bool{}, packages: map[string]*pkg{}, open: map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			r.module = strings.TrimSpace(name)
		}
	}
	for _, p := range parts {
		r.parts[p.Package+"."+p.Struct] = true
	}
	return r, nil
}

// fields returns the fields of a struct, with those of inlined structs.
func (r *reader) fields(importPath, name string) ([]field, error) {
	decl, err := r.lookup(importPath, name)
	if err != nil {
		return nil, err
	}
	s, ok := decl.spec.Type.(*ast.StructType)
	if !ok {
		return nil, fmt.Errorf("%s is no struct", name)
	}
	key := importPath + "." + name
	if r.open[key] {
		return nil, fmt.Errorf("%s holds itself", name)
	}
	r.open[key] = true
	defer delete(r.open, key)
	return r.structFields(s, decl.in)
}

func (r *reader) structFields(s *ast.StructType, in scope) ([]field, error) {
	var found []field
	for _, f := range s.Fields.List {
		tag := tagOf(f)
		text, tagged := tag.Lookup("yaml")
		name, option, _ := strings.Cut(text, ",")
		switch {
		case name == "-", len(f.Names) > 0 && (!tagged || !f.Names[0].IsExported()):
		case option == "inline", len(f.Names) == 0 && name == "":
			inner, err := r.inlined(f.Type, in)
			if err != nil {
				return nil, err
			}
			found = append(found, inner...)
		default:
			described, err := r.field(f, name, option == "required", in)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", name, err)
			}
			found = append(found, described)
		}
	}
	return found, nil
}

func tagOf(f *ast.Field) reflect.StructTag {
	if f.Tag == nil {
		return ""
	}
	return reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
}

func (r *reader) inlined(expr ast.Expr, in scope) ([]field, error) {
	importPath, name, ok := in.name(expr)
	if !ok {
		return nil, errors.New("only a named struct can be inlined")
	}
	return r.fields(importPath, name)
}

func (r *reader) field(f *ast.Field, name string, required bool, in scope) (field, error) {
	tag := tagOf(f)
	out := field{name: name, required: required, def: tag.Get("default"), least: tag.Get("min"), most: tag.Get("max")}
	if enum := tag.Get("enum"); enum != "" {
		out.enum = strings.Split(enum, ",")
	}
	if out.text = textOf(f); out.text == "" {
		return field{}, errors.New("has no comment, which would be its entry in the reference")
	}
	var err error
	if out.value, err = r.value(f.Type, in); err != nil {
		return field{}, err
	}
	return out, out.check(isPointer(f.Type))
}

func isPointer(e ast.Expr) bool {
	_, ok := e.(*ast.StarExpr)
	return ok
}

// textOf returns the comment of a field, its paragraphs apart by blank lines.
func textOf(f *ast.Field) string {
	if text := strings.TrimSpace(f.Doc.Text()); text != "" {
		return text
	}
	return strings.TrimSpace(f.Comment.Text())
}

// value says what an expression for a type holds.
func (r *reader) value(e ast.Expr, in scope) (value, error) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return r.value(e.X, in)
	case *ast.ArrayType:
		return r.collection(kindList, e.Elt, in)
	case *ast.MapType:
		return r.collection(kindMap, e.Value, in)
	case *ast.InterfaceType:
		return value{kind: kindAny}, nil
	case *ast.StructType:
		fields, err := r.structFields(e, in)
		return value{kind: kindMapping, fields: fields}, err
	}
	importPath, name, ok := in.name(e)
	if !ok {
		return value{}, fmt.Errorf("cannot describe the type %T", e)
	}
	return r.namedValue(importPath, name)
}

func (r *reader) collection(k kind, elem ast.Expr, in scope) (value, error) {
	v, err := r.value(elem, in)
	return value{kind: k, elem: &v}, err
}

func (r *reader) namedValue(importPath, name string) (value, error) {
	if k, ok := builtin[name]; ok && importPath == "" {
		return value{kind: k}, nil
	}
	if k, ok := named[strings.TrimPrefix(importPath, r.module+"/")+"."+name]; ok {
		return value{kind: k}, nil
	}
	if r.parts[importPath+"."+name] {
		return value{kind: kindMapping}, nil
	}
	decl, err := r.lookup(importPath, name)
	if err != nil {
		return value{}, err
	}
	if k := r.packages[importPath].unmarsh[name]; k != "" {
		return value{kind: k}, nil
	}
	if _, ok := decl.spec.Type.(*ast.StructType); !ok {
		return r.value(decl.spec.Type, decl.in)
	}
	fields, err := r.fields(importPath, name)
	return value{kind: kindMapping, fields: fields}, err
}

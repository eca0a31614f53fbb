package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// slot is a value that is being decoded: a field, or an element of one.
type slot struct {
	scope  *scope
	name   string     // as messages call it: shards, params[2], headers.Accept
	at     *yaml.Node // where it is, before an alias is followed
	secret bool       // never show the value
}

// field decodes the value of a field and holds it against the field's tags.
func (d *decoder) field(s *scope, f field, e entry) {
	to := slot{scope: s, name: f.name, at: e.value, secret: holdsSecret(f.value.Type())}
	if !d.value(to, f.value, e.value) {
		return
	}
	if wrong := d.outside(f, to); wrong != nil {
		wrong.at = d.span(e.value)
		d.fail(*wrong)
	}
}

// outside returns what is wrong with a value of a field that is right in itself; or nil.
func (d *decoder) outside(f field, s slot) *report {
	v := f.value
	if v.Kind() == reflect.Pointer {
		v, f.def = v.Elem(), "" // a pointer tells 0 from not set
	}
	if !v.IsValid() {
		return nil
	}
	if v.Kind() == reflect.String && len(f.enum) > 0 && !slices.Contains(f.enum, v.String()) {
		hint := "write one of " + strings.Join(f.enum, ", ")
		if near, ok := setting.Nearest(v.String(), f.enum); ok {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return &report{code: codeEnum, message: fmt.Sprintf("%s: unknown value %s", f.name, quote(v.String())), hint: hint}
	}
	got, ok := number(v)
	if !ok {
		return nil
	}
	shown := cutText(resolve(s.at).Value)
	off := v.Type() == durationType && v.Interface() == setting.Off && f.def == "off" // what is not set is off, so that off may be written, too
	if least, ok := bound(v.Type(), f.least); ok && got < least && !off {
		return &report{code: codeRange, message: fmt.Sprintf("%s: at least %s, got %s", f.name, f.least, shown), hint: leastHint(v, f)}
	}
	if most, ok := bound(v.Type(), f.most); ok && got > most {
		return &report{code: codeRange, message: fmt.Sprintf("%s: at most %s, got %s", f.name, f.most, shown)}
	}
	if def, ok := bound(v.Type(), f.def); ok && got == 0 && def != 0 {
		hint := "leave the field out"
		if v.Type() == durationType {
			hint = `write "off" to switch it off, or leave the field out`
		}
		return &report{code: codeRange, message: fmt.Sprintf("%s: %s stands for \"not set\", and then it is %s", f.name, shown, f.def), hint: hint}
	}
	return nil
}

// leastHint says what to write instead of a duration that is too short.
func leastHint(v reflect.Value, f field) string {
	switch {
	case v.Type() != durationType:
		return ""
	case f.def == "off":
		return fmt.Sprintf(`write %s or more, or "off" to switch it off`, f.least)
	}
	return fmt.Sprintf("write %s or more", f.least)
}

// number returns what a bound is compared with.
func number(v reflect.Value) (float64, bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanFloat():
		return v.Float(), true
	case v.Kind() == reflect.Bool && v.Bool():
		return 1, true
	}
	return 0, v.Kind() == reflect.Bool
}

func bound(t reflect.Type, text string) (float64, bool) {
	if text == "" {
		return 0, false
	}
	v := reflect.New(t).Elem()
	if err := setting.Parse(v, text); err != nil {
		return 0, false
	}
	return number(v)
}

// value decodes a node into v and reports whether it did; where it did not, that is reported. Nothing
// where a mapping or a list may be leaves v as it is.
func (d *decoder) value(s slot, v reflect.Value, n *yaml.Node) bool {
	n = resolve(n)
	k := kindOf(v.Type())
	if k == kindPointer {
		if !kindOf(v.Type().Elem()).scalar() && d.classify(n) == nullScalar {
			return true
		}
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(s, v.Elem(), n)
	}
	if d.spoilt(n) {
		if s.secret {
			d.hideAll(n)
		}
		return false
	}
	if u, ok := v.Addr().Interface().(setting.ValueUnmarshaler); ok && n.Kind != yaml.ScalarNode {
		return d.structured(s, v, n, u)
	}
	if k.scalar() {
		return d.scalar(s, v, n)
	}
	if d.classify(n) == nullScalar {
		return true
	}
	switch {
	case k == kindAny:
		before := len(d.wrong)
		v.Set(reflect.ValueOf(d.plain(s, n)))
		return len(d.wrong) == before
	case k == kindMapping && n.Kind == yaml.MappingNode:
		before := len(d.wrong)
		d.nested(s, v, n)
		return len(d.wrong) == before
	case k == kindList && n.Kind == yaml.SequenceNode:
		return d.list(s, v, n)
	case k == kindMap && n.Kind == yaml.MappingNode:
		return d.pairs(s, v, n)
	}
	d.mismatch(s, v.Type(), n)
	return false
}

// structured decodes a mapping or a list into what can take either, or a text.
func (d *decoder) structured(s slot, v reflect.Value, n *yaml.Node, to setting.ValueUnmarshaler) bool {
	before := len(d.wrong)
	value := d.plain(s, n)
	if len(d.wrong) > before {
		return false
	}
	err := to.UnmarshalValue(value)
	var about *setting.FieldError
	switch {
	case err == nil:
		return true
	case errors.As(err, &about) && !s.secret:
		d.inside(s, n, about)
	default:
		d.unparsed(s, v.Type(), n, err)
	}
	return false
}

// inside reports what is wrong with a part of a mapping or a list, at its place.
func (d *decoder) inside(s slot, n *yaml.Node, err *setting.FieldError) {
	r := report{code: codeValue, subject: s.name, at: d.span(s.at), message: setting.Below(s.name, err.Field) + ": " + fmt.Sprint(err.Err), hint: err.Hint}
	if part := valueAt(n, err.Field); part != nil {
		r.at = d.span(part)
	}
	d.fail(r)
}

// nested decodes a struct below a field or an element of one.
func (d *decoder) nested(s slot, v reflect.Value, n *yaml.Node) {
	level := s.name
	if i := strings.LastIndexByte(level, '['); i > 0 {
		level = level[:i] + "[]"
	}
	d.mapping(&scope{table: tableOf(v.Addr().Interface()), node: n, up: s.scope, level: level, label: s.name + " of " + s.scope.label})
}

func (d *decoder) list(s slot, v reflect.Value, n *yaml.Node) bool {
	ok := true
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		item := s
		item.name, item.at = fmt.Sprintf("%s[%d]", s.name, i), c
		ok = d.element(item, out.Index(i), c) && ok
	}
	v.Set(out)
	return ok
}

func (d *decoder) pairs(s slot, v reflect.Value, n *yaml.Node) bool {
	ok := true
	out := reflect.MakeMap(v.Type())
	found, wrong := entries(n)
	for _, e := range found {
		if e.second {
			d.skip(s.scope, entry{name: s.name, value: e.value})
			continue
		}
		item, to := s, reflect.New(v.Type().Elem()).Elem()
		item.name, item.at = s.name+"."+e.name, e.value
		ok = d.element(item, to, e.value) && ok
		out.SetMapIndex(reflect.ValueOf(e.name).Convert(v.Type().Key()), to)
	}
	for _, c := range wrong {
		d.mismatch(slot{scope: s.scope, name: s.name + ".<<", at: c, secret: s.secret}, v.Type(), c)
		ok = false
	}
	v.Set(out)
	return ok
}

// element decodes an element of a list or a map; it may not be nothing, unless it may be anything.
func (d *decoder) element(s slot, v reflect.Value, n *yaml.Node) bool {
	if kindOf(v.Type()) != kindAny && d.classify(resolve(n)) == nullScalar {
		d.mismatch(s, v.Type(), n)
		return false
	}
	return d.value(s, v, n)
}

// plain returns the Go values that encoding/json would make of a node, but whole numbers
// that fit as int.
func (d *decoder) plain(s slot, n *yaml.Node) any {
	n = resolve(n)
	if d.spoilt(n) {
		return nil
	}
	switch class := d.classify(n); class {
	case nullScalar:
		return nil
	case boolScalar:
		return strings.EqualFold(n.Value, "true")
	case intScalar, floatScalar:
		return plainNumber(n.Value, class)
	case textScalar:
		return n.Value
	case noScalar:
	}
	if n.Kind == yaml.SequenceNode {
		list := []any{}
		for _, c := range n.Content {
			list = append(list, d.plain(s, c))
		}
		return list
	}
	object := map[string]any{}
	found, wrong := entries(n)
	for _, e := range found {
		if e.second {
			continue
		}
		object[e.name] = d.plain(s, e.value)
	}
	for _, c := range wrong {
		d.mismatch(slot{scope: s.scope, name: s.name + ".<<", at: c}, reflect.TypeFor[map[string]any](), c)
	}
	return object
}

func plainNumber(text string, c class) any {
	if i, err := strconv.Atoi(text); err == nil && c == intScalar {
		return i
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return text
	}
	return f
}

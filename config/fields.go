package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// field is a field of a struct that is being filled.
type field struct {
	name             string
	value            reflect.Value
	required         bool
	def, least, most string
	enum             []string
}

// table is what one mapping may hold.
type table struct {
	fields  map[string][]field
	names   []string // in the order of the structs
	structs []reflect.Value
}

// tableOf lists the fields of structs that one mapping fills. A name that two of them have fills both.
func tableOf(structs ...any) table {
	t := table{fields: map[string][]field{}}
	for _, s := range structs {
		t.add(reflect.ValueOf(s).Elem())
	}
	return t
}

// add lists the fields of a struct. An embedded struct promotes its methods, so that it is not
// listed in structs by itself.
func (t *table) add(v reflect.Value) {
	t.structs = append(t.structs, v)
	t.walk(v)
}

func (t *table) walk(v reflect.Value) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		tag, tagged := sf.Tag.Lookup("yaml")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case !sf.IsExported() && !sf.Anonymous, name == "-":
		case sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct:
			t.walk(v.Field(i))
		case options == "inline":
			t.add(v.Field(i))
		case tagged && name != "":
			f := field{name: name, value: v.Field(i), required: options == "required"}
			f.def, f.least, f.most = sf.Tag.Get("default"), sf.Tag.Get("min"), sf.Tag.Get("max")
			if values := sf.Tag.Get("enum"); values != "" {
				f.enum = strings.Split(values, ",")
			}
			if t.fields[name] == nil {
				t.names = append(t.names, name)
			}
			t.fields[name] = append(t.fields[name], f)
		}
	}
}

// secret reports whether a name stands for a field that holds a secret.
func (t *table) secret(name string) bool {
	return slices.ContainsFunc(t.fields[name], func(f field) bool { return holdsSecret(f.value.Type()) })
}

// namesBelow returns the names that may stand one level below a field of type typ.
func namesBelow(typ reflect.Type) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if kindOf(typ) != kindMapping {
		return nil
	}
	return tableOf(reflect.New(typ).Interface()).names
}

// kind is how a Go type is written in YAML.
type kind int

const (
	kindUnknown  kind = iota
	kindText          // string
	kindBool          // true, false
	kindInt           // a plain integer
	kindFloat         // a plain number
	kindDuration      // time.Duration
	kindSecret        // setting.Secret
	kindParsed        // encoding.TextUnmarshaler
	kindMapping       // struct
	kindList          // slice
	kindMap           // map with texts as keys
	kindAny           // interface without methods
	kindPointer       // as what it points to
)

var (
	durationType    = reflect.TypeFor[time.Duration]()
	secretType      = reflect.TypeFor[setting.Secret]()
	templateType    = reflect.TypeFor[expression.Template]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()

	valueUnmarshalerType = reflect.TypeFor[setting.ValueUnmarshaler]()
)

func kindOf(t reflect.Type) kind {
	switch {
	case t == durationType:
		return kindDuration
	case t == secretType:
		return kindSecret
	case reflect.PointerTo(t).Implements(unmarshalerType):
		return kindParsed
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		return kindAny
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		return kindMap
	}
	return map[reflect.Kind]kind{
		reflect.String: kindText, reflect.Bool: kindBool, reflect.Float64: kindFloat,
		reflect.Int: kindInt, reflect.Int64: kindInt, reflect.Int32: kindInt,
		reflect.Struct: kindMapping, reflect.Slice: kindList, reflect.Pointer: kindPointer,
	}[t.Kind()]
}

// scalar reports whether one text in YAML holds the value.
func (k kind) scalar() bool { return k >= kindText && k <= kindParsed }

func holdsSecret(t reflect.Type) bool {
	switch kindOf(t) {
	case kindSecret:
		return true
	case kindList, kindMap, kindPointer:
		return holdsSecret(t.Elem())
	}
	return false
}

// expected says in words what a value of type t is.
func expected(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[setting.Size]():
		return "a size such as 16MiB"
	case reflect.TypeFor[expression.Value](), reflect.TypeFor[expression.Condition]():
		return "an expression"
	case durationType:
		return "a duration such as 30s"
	}
	if reflect.PointerTo(t).Implements(valueUnmarshalerType) {
		return "a text, a mapping or a list"
	}
	switch kindOf(t) {
	case kindBool:
		return "true or false"
	case kindInt:
		return "an integer"
	case kindFloat:
		return "a number"
	case kindMapping, kindMap:
		return "a mapping"
	case kindList:
		return "a list"
	case kindPointer:
		return expected(t.Elem())
	}
	return "a text"
}

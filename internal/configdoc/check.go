package configdoc

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/setting"
)

// check returns an error if the tags of a field do not fit its type.
func (f *field) check(pointer bool) error {
	limits := map[string]string{"default": f.def, "min": f.least, "max": f.most}
	for _, tag := range []string{"default", "min", "max"} {
		if text := limits[tag]; text != "" {
			if err := f.value.kind.parse(text, tag); err != nil {
				return fmt.Errorf("tag %s: %w", tag, err)
			}
		}
	}
	switch {
	case f.def != "" && f.required:
		return fmt.Errorf("a field that is required has no use for a default")
	case f.def != "" && pointer:
		return fmt.Errorf("a pointer can have no default")
	case f.value.kind == kindBool && f.def == "true":
		return fmt.Errorf("with true as its default nobody could say false; turn its meaning round")
	case len(f.enum) > 0 && f.value.kind != kindText:
		return fmt.Errorf("only a text can have an enum")
	case len(f.enum) > 0 && f.def != "" && !slices.Contains(f.enum, f.def):
		return fmt.Errorf("its default %q is not in its enum", f.def)
	}
	return nil
}

// parse holds the text of a tag against the kind.
func (k kind) parse(text, tag string) error {
	var target any
	switch k {
	case kindInt:
		target = new(int64)
	case kindFloat:
		target = new(float64)
	case kindDuration:
		target = new(time.Duration)
	case kindSize:
		target = new(setting.Size)
	case kindBool:
		target = new(bool)
	case kindText, kindExpression, kindTemplate:
		if tag == "default" {
			return nil
		}
	}
	if target == nil || tag != "default" && k == kindBool {
		return fmt.Errorf("not for a field that holds a %s", k)
	}
	return setting.Parse(reflect.ValueOf(target).Elem(), text)
}

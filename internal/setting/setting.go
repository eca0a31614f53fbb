// Package setting holds the kinds of values that configuration is made of:
// sizes, durations with days and weeks, secrets, and defaults. Each Config struct of
// an adapter is written in them; package config reads them from YAML, and programs that
// fill a Config by hand get the same defaults through Default.
//
// A field is described by its tags:
//
//	yaml:"max_message"      its name; ",required" behind it makes it compulsory
//	default:"16MiB"         what the zero value stands for
//	min:"1" max:"64"        bounds, in the notation of the field; off is none where it is the default
//	enum:"a,b"              the only values of a text
//
// and its comment is the reference: docs/config.md is made from it.
package setting

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Off is the duration that switches a timer off; in YAML it is the word "off". It is distinct
// from 0, which means "not set".
const Off time.Duration = -1

// Default fills the zero fields of the struct that cfg points to from their default
// tags, also inside embedded and nested structs. It panics where a tag does not parse, which is a
// mistake of the programmer and caught by the first test.
func Default(cfg any) {
	fill(reflect.ValueOf(cfg).Elem())
}

func fill(v reflect.Value) {
	for i := range v.NumField() {
		field, f := v.Type().Field(i), v.Field(i)
		if !field.IsExported() {
			continue
		}
		text, ok := field.Tag.Lookup("default")
		switch {
		case ok && f.IsZero():
			if err := Parse(f, text); err != nil {
				panic(fmt.Sprintf("default of %s.%s: %v", v.Type(), field.Name, err))
			}
		case !ok && f.Kind() == reflect.Struct:
			fill(f)
		}
	}
}

var durationType = reflect.TypeFor[time.Duration]()

// Parse sets v, which must be settable, from the text of a scalar: a duration, a
// size, a number, a truth value, a text, or whatever implements encoding.TextUnmarshaler. The error
// says what was expected.
func Parse(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == durationType {
		d, err := ParseDuration(text)
		v.SetInt(int64(d))
		return err
	}
	return parseKind(v, text)
}

func parseKind(v reflect.Value, text string) error {
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); err != nil || (text != "true" && text != "false") {
			return fmt.Errorf("expected true or false, got %q", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64, reflect.Int32:
		var n int64
		if n, err = strconv.ParseInt(text, 10, v.Type().Bits()); err != nil {
			return fmt.Errorf("expected an integer, got %q", text)
		}
		v.SetInt(n)
	case reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("expected a number, got %q", text)
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("cannot read a text into %s", v.Type())
	}
	return nil
}

// Secret is a text that is shown to nobody: whatever prints, formats, logs or
// marshals it prints (secret). Only Reveal gives the text.
type Secret struct{ text string }

// NewSecret returns a Secret that hides text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the hidden text.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.text == "" }

const hidden = "(secret)"

// String implements fmt.Stringer.
func (s Secret) String() string { return hidden }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return hidden }

// Format implements fmt.Formatter, so that no verb shows the text.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText implements encoding.TextMarshaler, and with it JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	s.text = string(text)
	return nil
}

// Size is a number of bytes. In YAML it is a bare integer or has one of the units B, kB, MB, GB,
// TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
type Size int64

var sizeUnits = []struct {
	name   string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	number, factor := t, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(t, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if n, unit := strings.TrimRight(t, "KMGTkmgt"), strings.TrimLeft(t, "0123456789."); err != nil && len(unit) == 1 && n != t {
		unit = strings.ToUpper(unit)
		return fmt.Errorf("size %q is ambiguous: write %s%siB (powers of 1024) or %s%sB (powers of 1000)", t, n, unit, n, unit)
	}
	if err != nil || f < 0 || f*float64(factor) >= 1<<63 || strings.ContainsAny(number, "eExXnN+") {
		return fmt.Errorf("expected a size such as 16MiB, 10MB or a number of bytes, got %q", t)
	}
	*s = Size(f * float64(factor))
	return nil
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the size in the largest binary unit that divides it.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if f := sizeUnits[i].factor; s != 0 && int64(s)%f == 0 {
			return strconv.FormatInt(int64(s)/f, 10) + sizeUnits[i].name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

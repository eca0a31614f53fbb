package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/setting"
)

// NamedSecret is a value that a configuration holds and that nobody should see.
type NamedSecret struct {
	// Name is the name of the variable or credential, the path of the file, or the field; empty where the value is written into the file.
	Name string

	// Value is shown to nobody.
	Value setting.Secret
}

// Secrets returns every value that ${…} has brought in, all that the sources take for a secret, and the credentials that are written into the
// files. Defaults of ${…} are no secrets: they are in the file.
func (c *Config) Secrets() []NamedSecret {
	all := slices.Clone(c.secrets)
	for i := range c.Sources {
		all = secretsIn(all, "", reflect.ValueOf(c.Sources[i].Adapter))
	}
	return all
}

// secretsIn adds the secrets of a value of a Config.
func secretsIn(all []NamedSecret, name string, v reflect.Value) []NamedSecret {
	switch {
	case !v.IsValid():
	case v.Type() == secretType:
		if s := v.Interface().(setting.Secret); !s.IsZero() {
			all = append(all, NamedSecret{name, s})
		}
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		all = secretsIn(all, name, v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				below, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				all = secretsIn(all, strings.Trim(name+"."+below, "."), v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			all = secretsIn(all, fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		keys := map[string]reflect.Value{}
		for _, key := range v.MapKeys() {
			keys[key.String()] = v.MapIndex(key)
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			all = secretsIn(all, strings.Trim(name+"."+key, "."), keys[key])
		}
	}
	return all
}

// reference notes a value that ${…} has brought in.
func (l *loader) reference(name, value string) {
	if value != "" {
		l.config.secrets = append(l.config.secrets, NamedSecret{name, setting.NewSecret(value)})
	}
}

// literalSecrets notes the secrets that are written into the files.
func (l *loader) literalSecrets() {
	for _, s := range l.secrets {
		known := slices.ContainsFunc(l.config.secrets, func(n NamedSecret) bool { return n.Value.Reveal() == s })
		if !known {
			l.reference("", s)
		}
	}
}

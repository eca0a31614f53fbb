package configdoc_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/leatstream/leat/internal/configdoc"
	"go.yaml.in/yaml/v4"
)

// validator knows the part of JSON Schema, draft 07, that the generator uses.
type validator struct{ definitions map[string]any }

func (v validator) valid(schema map[string]any, x any) error {
	if ref, ok := schema["$ref"].(string); ok {
		return v.valid(v.definitions[ref[len("#/definitions/"):]].(map[string]any), x)
	}
	if types, ok := schema["type"]; ok && !slices.ContainsFunc(list(types), func(t any) bool { return isType(t.(string), x) }) {
		return fmt.Errorf("%v is no %v", x, types)
	}
	if enum, ok := schema["enum"]; ok && !slices.Contains(list(enum), x) {
		return fmt.Errorf("%v is none of %v", x, enum)
	}
	if want, ok := schema["const"]; ok && want != x {
		return fmt.Errorf("%v is not %v", x, want)
	}
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(fmt.Sprint(x)) {
		return fmt.Errorf("%v does not match %s", x, pattern)
	}
	if err := v.limits(schema, x); err != nil {
		return err
	}
	if err := v.combined(schema, x); err != nil {
		return err
	}
	switch x := x.(type) {
	case map[string]any:
		return v.object(schema, x)
	case []any:
		for _, item := range x {
			items, _ := schema["items"].(map[string]any)
			if err := v.valid(items, item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v validator) limits(schema map[string]any, x any) error {
	n, ok := x.(int)
	if least, has := schema["minimum"].(float64); ok && has && float64(n) < least {
		return fmt.Errorf("%d is below %v", n, least)
	}
	if most, has := schema["maximum"].(float64); ok && has && float64(n) > most {
		return fmt.Errorf("%d is above %v", n, most)
	}
	return nil
}

func (v validator) combined(schema map[string]any, x any) error {
	if choices, ok := schema["anyOf"]; ok && !slices.ContainsFunc(list(choices), func(s any) bool { return v.valid(s.(map[string]any), x) == nil }) {
		return fmt.Errorf("%v fits none of %v", x, choices)
	}
	if all, ok := schema["allOf"]; ok {
		for _, s := range list(all) {
			s := s.(map[string]any)
			if v.valid(s["if"].(map[string]any), x) != nil {
				continue
			}
			if err := v.valid(s["then"].(map[string]any), x); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v validator) object(schema map[string]any, x map[string]any) error {
	for _, name := range list(schema["required"]) {
		if _, ok := x[name.(string)]; !ok {
			return fmt.Errorf("%v has no %s", x, name)
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range x {
		of, known := properties[name]
		if !known {
			of = schema["additionalProperties"]
		}
		switch of := of.(type) {
		case bool:
			return fmt.Errorf("%s is not known", name)
		case map[string]any:
			if err := v.valid(of, value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func list(x any) []any {
	if x, ok := x.([]any); ok {
		return x
	}
	if x == nil {
		return nil
	}
	return []any{x}
}

func isType(name string, x any) bool {
	kinds := map[string][]reflect.Kind{
		"object": {reflect.Map}, "array": {reflect.Slice}, "string": {reflect.String}, "boolean": {reflect.Bool},
		"integer": {reflect.Int}, "number": {reflect.Int, reflect.Float64},
	}
	if x == nil {
		return name == "null"
	}
	return slices.Contains(kinds[name], reflect.TypeOf(x).Kind())
}

func TestTheSchemaTakesWhatTheLoaderTakes(t *testing.T) {
	docs, err := configdoc.Generate("testdata/house", house)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(docs.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	v := validator{schema["definitions"].(map[string]any)}
	const source = "sources: [{name: a, type: feed, url: x, "
	for text, want := range map[string]bool{
		"data: ./x\ngrace: 1d12h\nstreams: {a: , b: {shards: 4}}\n": true,
		"streams:\n  a: {shards: '${N}'}":                           true,
		"streams: {a: {shards: 0}}":                                 false,
		"streams: {a: {shards: many}}":                              false,
		"streams: {a: {shardz: 1}}":                                 false,
		"streams: [a]":                                              false,
		"grace: 30":                                                 false,
		"grace: soon":                                               false,
		"dat: x":                                                    false,
		source + "count: 5, every: off, limit: 16MiB, mode: safe, on: true, hello: [1, {a: b}], headers: {A: 1}}]": true,
		source + "rules: [{when: x, names: {a: {weight: 3}}}], tls: {ca: x}, rate: 9, times: 1}]":                  true,
		source + "limit: 1048576}]":                                           true,
		source + "limit: 16M}]":                                               false,
		source + "mode: slow}]":                                               false,
		source + "rate: 10}]":                                                 false,
		source + "rules: [{}]}]":                                              false,
		source + "unknown: 1}]":                                               false,
		"sources: [{name: a, type: feed}]":                                    false,
		"sources: [{name: a, type: food, url: x}]":                            false,
		"sources: [{type: feed, url: x}]":                                     false,
		"consumers: [{name: a, destination: {type: store, path: x}}]":         true,
		"consumers: [{name: a, destination: {type: store, path: x, way: y}}]": false,
		"consumers: [{name: a, destination: {type: store}}]":                  false,
		"consumers: [{name: a}]":                                              false,
	} {
		var x any
		if err := yaml.Load([]byte(text), &x); err != nil {
			t.Fatal(err)
		}
		if err := v.valid(schema, x); (err == nil) != want {
			t.Errorf("%s: got %v, want valid: %v", text, err, want)
		}
	}
}

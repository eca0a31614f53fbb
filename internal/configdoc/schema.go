package configdoc

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// object is a JSON object; encoding/json sorts its keys, so the same source gives the same bytes.
type object map[string]any

const (
	durationPattern = `^(off|0|([0-9]+(\.[0-9]+)?(w|d|h|m|s|ms|us|µs|ns))+)$`
	sizePattern     = `^[0-9]+(\.[0-9]+)?( ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB))?$`
)

// schemaOf returns the JSON Schema of a file. Adapters are told apart by their type, since their
// fields stand beside those that every source or destination has.
func schemaOf(sections []section) ([]byte, error) {
	by := map[Role][]section{}
	for _, s := range sections {
		by[s.Role] = append(by[s.Role], s)
	}
	top := mapping(fieldsOf(by[Top]))
	if properties, ok := top["properties"].(object); ok {
		properties["streams"] = described(properties["streams"], object{"type": []string{"object", "null"}, "additionalProperties": nullable(mapping(fieldsOf(by[Stream])))})
		properties["sources"] = described(properties["sources"], object{"type": []string{"array", "null"}, "items": typed(fieldsOf(by[Source]), by[SourceType])})
		if len(by[EngineType]) > 0 {
			properties["engine"] = described(properties["engine"], typed(nested(by[Top], "engine"), by[EngineType]))
		}
		properties["consumers"] = described(properties["consumers"], object{"type": []string{"array", "null"}, "items": consumers(by)})
	}
	top["$schema"] = "http://json-schema.org/draft-07/schema#"
	top["title"] = "Leat configuration"
	top["definitions"] = object{"reference": object{"type": "string", "pattern": `\$\{`, "description": "a text with references such as ${NAME}"}}
	out, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("marshal the schema: %w", err)
	}
	return append(out, '\n'), nil
}

func fieldsOf(sections []section) []field {
	var all []field
	for _, s := range sections {
		all = append(all, s.fields...)
	}
	return all
}

// described returns a schema with the description that a field has.
func described(of any, schema object) object {
	if property, ok := of.(object); ok && property["description"] != nil {
		schema["description"] = property["description"]
	}
	return schema
}

func consumers(by map[Role][]section) object {
	item := mapping(fieldsOf(by[Consumer]))
	properties, ok := item["properties"].(object)
	if !ok {
		return item
	}
	properties["destination"] = described(properties["destination"], typed(nested(by[Consumer], "destination"), by[DestinationType]))
	return item
}

// nested returns the fields of the field with a name.
func nested(sections []section, name string) []field {
	for _, f := range fieldsOf(sections) {
		if f.name == name {
			return f.value.fields
		}
	}
	return nil
}

// typed returns the schema of a mapping whose type decides which fields there are beside the base.
func typed(base []field, types []section) object {
	names := []string{}
	cases := []object{}
	for _, s := range types {
		names = append(names, s.Type)
		whole := mapping(append(append([]field{}, base...), s.fields...))
		cases = append(cases, object{"if": object{"properties": object{"type": object{"const": s.Type}}, "required": []string{"type"}}, "then": whole})
	}
	schema := object{"type": "object", "required": required(base), "properties": object{"type": object{"enum": names}}}
	if len(cases) > 0 {
		schema["allOf"] = cases
	}
	return schema
}

func required(fields []field) []string {
	names := []string{}
	for _, f := range fields {
		if f.required {
			names = append(names, f.name)
		}
	}
	return names
}

// mapping returns the schema of a mapping with these fields and no others.
func mapping(fields []field) object {
	properties := object{}
	for _, f := range fields {
		properties[f.name] = f.schema()
	}
	schema := object{"type": "object", "properties": properties, "additionalProperties": false}
	if names := required(fields); len(names) > 0 {
		schema["required"] = names
	}
	return schema
}

func nullable(schema object) object {
	schema["type"] = []string{"object", "null"}
	return schema
}

func (f field) schema() object {
	schema := f.value.schema(f)
	schema["description"] = strings.Join(strings.Fields(f.text), " ")
	if f.def != "" {
		schema["default"] = f.literal(f.def)
	}
	return schema
}

// schema returns the schema of a value, with the limits of the field it stands in.
func (v value) schema(f field) object {
	reference := object{"$ref": "#/definitions/reference"}
	switch v.kind {
	case kindBool:
		return object{"anyOf": []object{{"type": "boolean"}, reference}}
	case kindInt:
		return object{"anyOf": []object{f.limited("integer"), reference}}
	case kindFloat:
		return object{"anyOf": []object{f.limited("number"), reference}}
	case kindDuration:
		return object{"anyOf": []object{{"type": "string", "pattern": durationPattern}, reference}}
	case kindSize:
		return object{"anyOf": []object{{"type": "integer", "minimum": 0}, {"type": "string", "pattern": sizePattern}, reference}}
	case kindMapping:
		return nullable(mapping(v.fields))
	case kindList:
		return object{"type": []string{"array", "null"}, "items": v.elem.schema(field{})}
	case kindMap:
		return object{"type": []string{"object", "null"}, "additionalProperties": v.elem.schema(field{})}
	case kindAny, kindMessage:
		return object{}
	case kindSecret:
		return object{"type": []string{"string", "number", "boolean"}, "writeOnly": true}
	case kindText, kindExpression, kindTemplate:
		if len(f.enum) > 0 {
			return object{"anyOf": []object{{"enum": f.enum}, reference}}
		}
	}
	return object{"type": []string{"string", "number", "boolean"}}
}

func (f field) limited(name string) object {
	schema := object{"type": name}
	if f.least != "" {
		schema["minimum"] = f.literal(f.least)
	}
	if f.most != "" {
		schema["maximum"] = f.literal(f.most)
	}
	return schema
}

// literal returns the JSON value of a tag: a number or a truth value as such, all else as a text.
func (f field) literal(text string) any {
	switch f.value.kind {
	case kindInt, kindFloat:
		return json.Number(text)
	case kindBool:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	return text
}

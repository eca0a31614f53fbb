package kinesisapi

import "strings"

// kind is the kind of a value.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindBlob
	kindTime
	kindList
	kindObject
)

// value is what a body holds, whether it was JSON or CBOR. After convert it has the kinds of the model: blobs are kindBlob and
// timestamps kindTime in both. The zero value is null.
type value struct {
	kind   kind
	flag   bool
	number float64 // of kindTime: milliseconds since 1970
	text   string
	blob   []byte
	list   []value
	fields []field
}

// field is a member of an object. Objects keep the order of their members.
type field struct {
	name  string
	value value
}

func textOf(s string) value             { return value{kind: kindString, text: s} }
func boolOf(b bool) value               { return value{kind: kindBool, flag: b} }
func numberOf[N int | int64](n N) value { return value{kind: kindNumber, number: float64(n)} }
func blobOf(b []byte) value             { return value{kind: kindBlob, blob: b} }
func timeOf(ms int64) value             { return value{kind: kindTime, number: float64(ms)} }
func listOf(items []value) value        { return value{kind: kindList, list: items} }
func object(fields ...field) value      { return value{kind: kindObject, fields: fields} }

func textsOf(items []string) value {
	list := make([]value, len(items))
	for i, s := range items {
		list[i] = textOf(s)
	}
	return listOf(list)
}

// with appends a member to an object and returns it.
func (v value) with(name string, member value) value {
	v.fields = append(v.fields, field{name, member})
	return v
}

// withText is with, but for the empty string: absent members are left out of answers, never null.
func (v value) withText(name, text string) value {
	if text == "" {
		return v
	}
	return v.with(name, textOf(text))
}

// get returns the member, the null value if there is none. Of members that are there twice the last one counts.
func (v *value) get(name string) *value {
	for i := len(v.fields) - 1; i >= 0; i-- {
		if v.fields[i].name == name {
			return &v.fields[i].value
		}
	}
	return &null
}

var null value

func (v *value) has(name string) bool     { return v.get(name).kind != kindNull }
func (v *value) str(name string) string   { return v.get(name).text }
func (v *value) bool(name string) bool    { return v.get(name).flag }
func (v *value) int(name string) int      { return int(v.get(name).number) }
func (v *value) millis(name string) int64 { return int64(v.get(name).number) }

// strs returns the strings of a list.
func (v *value) strs(name string) []string {
	var texts []string
	for i := range v.get(name).list {
		texts = append(texts, v.get(name).list[i].text)
	}
	return texts
}

// intOr returns the number, or otherwise where the member is absent.
func (v *value) intOr(name string, otherwise int) int {
	if !v.has(name) {
		return otherwise
	}
	return v.int(name)
}

// java returns v as the texts of AWS print it, which are made by Java.
func (v *value) java(of *shape) string {
	switch v.kind {
	case kindNull:
		return "null"
	case kindBool:
		if v.flag {
			return "true"
		}
		return "false"
	case kindNumber, kindTime:
		return formatNumber(v.number)
	case kindBlob:
		n := itoa(len(v.blob))
		return "java.nio.HeapByteBuffer[pos=0 lim=" + n + " cap=" + n + "]"
	case kindString:
		return v.text
	case kindList:
		return "[" + strings.Join(javaItems(v, of), ", ") + "]"
	case kindObject:
	}
	if of.kind == typeStructure {
		return "com.amazonaws.kinesis.v20131202." + of.name + "@" + javaHash(v)
	}
	parts := make([]string, len(v.fields))
	for i := range v.fields {
		parts[i] = v.fields[i].name + "=" + v.fields[i].value.java(of.elem)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func javaItems(v *value, of *shape) []string {
	parts := make([]string, len(v.list))
	for i := range v.list {
		parts[i] = v.list[i].java(of.elem)
	}
	return parts
}

// javaHash stands for the identity hash that Java prints behind the name of a class; it only has to look like one.
func javaHash(v *value) string {
	h := uint32(len(v.fields)) + 1
	for i := range v.fields {
		for _, c := range []byte(v.fields[i].value.text) {
			h = h*31 + uint32(c)
		}
		for _, c := range v.fields[i].value.blob {
			h = h*31 + uint32(c)
		}
	}
	return formatHex(h)
}

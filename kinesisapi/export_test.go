package kinesisapi

import (
	"log/slog"
	"net"
	"slices"
	"strings"

	"github.com/leatstream/leat"
)

// Bound limits the connections of a listener.
func Bound(l net.Listener, limit int, log *slog.Logger) net.Listener { return bound(l, limit, log) }

// Operations returns the names of all operations, in order.
func Operations() []string {
	var names []string
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ToCBOR returns a request in JSON as CBOR, with the types that the model wants; ok is false where it does not fit the model.
func ToCBOR(operation, body string) (out string, ok bool) {
	v, err := parseJSON([]byte(body))
	if err != nil || operations[operation] == nil {
		return "", false
	}
	err = convert(&v, operations[operation].input)
	return string(appendCBOR(nil, &v)), err == nil
}

// FromCBOR returns an answer in CBOR as JSON.
func FromCBOR(body string) (string, error) {
	v, err := parseCBOR([]byte(body))
	return string(appendJSON(nil, &v)), err
}

// Normal returns JSON as this package writes it.
func Normal(body string) (string, error) {
	v, err := parseJSON([]byte(body))
	return string(appendJSON(nil, &v)), err
}

// Breaking returns for every constraint of the model, in every operation, a request that breaks it, with what the answer says of the value. The other
// members of the request are good.
func Breaking() []Broken {
	var all []Broken
	for _, name := range Operations() {
		good := example(operations[name].input)
		b := breaker{operation: name, root: operations[name].input, good: good}
		b.members(operations[name].input, nil, "")
		all = append(all, b.found...)
	}
	return all
}

// Broken is a request that breaks one constraint.
type Broken struct {
	Operation string
	Body      value
	Path      string
	Want      string // the message
}

// JSON returns the request in JSON.
func (b *Broken) JSON() string { return string(appendJSON(nil, &b.Body)) }

// CBOR returns the request in CBOR.
func (b *Broken) CBOR() string { return string(appendCBOR(nil, &b.Body)) }

type breaker struct {
	operation string
	root      *shape
	good      value
	found     []Broken
}

// members breaks the members of a structure that lies at steps; a list is stepped into at its first item.
func (b *breaker) members(of *shape, steps []string, path string) {
	for i := range of.members {
		m := &of.members[i]
		at := append(slices.Clone(steps), m.name)
		place := path + strings.ToLower(m.name[:1]) + m.name[1:]
		if m.required {
			b.add(at, value{}, "1 validation error detected: Value null at '"+place+"' failed to satisfy constraint: Member must not be null")
		}
		b.constraints(m.shape, at, place)
		switch {
		case m.shape.kind == typeStructure:
			b.members(m.shape, at, place+".")
		case m.shape.kind == typeList && m.shape.elem.kind == typeStructure:
			b.members(m.shape.elem, append(at, "0"), place+".1.member.")
		}
	}
}

func (b *breaker) constraints(of *shape, at []string, place string) {
	say := func(bad value, constraint string) {
		b.add(at, bad, "1 validation error detected: Value '"+bad.java(of)+"' at '"+place+"' failed to satisfy constraint: "+constraint)
	}
	switch {
	case of.kind == typeInteger && of.bounded:
		say(numberOf(of.min-1), "Member must have value greater than or equal to "+itoa(of.min))
		if of.max > 0 {
			say(numberOf(of.max+1), "Member must have value less than or equal to "+itoa(of.max))
		}
	case of.enum != nil:
		say(textOf("Wrong"), "Member must satisfy enum value set: ["+strings.Join(of.enum, ", ")+"]")
	case of.kind == typeString:
		if of.pattern != nil {
			say(textOf("?"), "Member must satisfy regular expression pattern: "+of.pattern.text)
		}
		if of.bounded && of.pattern == nil {
			say(textOf(strings.Repeat("é", of.max+1)), "Member must have length less than or equal to "+itoa(of.max))
			if of.min > 0 {
				say(textOf(""), "Member must have length greater than or equal to "+itoa(of.min))
			}
		}
	case of.kind == typeList && of.bounded:
		good := example(of).list[0]
		say(listOf([]value{}), "Member must have length greater than or equal to "+itoa(of.min))
		say(listOf(slices.Repeat([]value{good}, of.max+1)), "Member must have length less than or equal to "+itoa(of.max))
	case of.kind == typeMap:
		say(object(), "Member must have length greater than or equal to "+itoa(of.min))
		say(object(field{"", textOf("v")}), "Map keys must satisfy constraint: [Member must have length less than or equal to 128, "+
			"Member must have length greater than or equal to 1]")
		say(object(field{"k", textOf(strings.Repeat("v", 257))}), "Map value must satisfy constraint: "+
			"[Member must have length less than or equal to 256, Member must have length greater than or equal to 0]")
	}
}

func (b *breaker) add(at []string, bad value, want string) {
	b.found = append(b.found, Broken{b.operation, replace(b.good, at, bad), strings.Join(at, "."), want})
}

// replace returns a copy of v with the value at steps replaced, or left out if it is null.
func replace(v value, steps []string, with value) value {
	if len(steps) == 0 {
		return with
	}
	if v.kind == kindList {
		v.list = slices.Clone(v.list)
		v.list[0] = replace(v.list[0], steps[1:], with)
		return v
	}
	out := value{kind: kindObject}
	done := false
	for _, f := range v.fields {
		if f.name == steps[0] {
			done = true
			f.value = replace(f.value, steps[1:], with)
			if f.value.kind == kindNull {
				continue
			}
		}
		out.fields = append(out.fields, f)
	}
	if !done && with.kind != kindNull {
		out.fields = append(out.fields, field{steps[0], replace(value{kind: kindObject}, steps[1:], with)})
	}
	return out
}

// example returns a value that satisfies a shape, every member given.
func example(of *shape) value {
	switch of.kind {
	case typeString:
		return textOf(exampleText(of))
	case typeInteger:
		return numberOf(max(of.min, 1))
	case typeBoolean:
		return boolOf(false)
	case typeBlob:
		return blobOf([]byte("data"))
	case typeTimestamp:
		return timeOf(946684800000)
	case typeList:
		return listOf([]value{example(of.elem)})
	case typeMap:
		return object(field{"key", textOf("value")})
	case typeStructure:
	}
	out := value{kind: kindObject}
	for i := range of.members {
		out.fields = append(out.fields, field{of.members[i].name, example(of.members[i].shape)})
	}
	return out
}

func exampleText(of *shape) string {
	if of.enum != nil {
		return of.enum[0]
	}
	for _, text := range []string{
		"7", "a", "abcdefghijklmnopqrst-abc", "arn:aws:kinesis:us-east-1:000000000000:stream/a",
		"arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/b:1", "arn:aws:kinesis:us-east-1:000000000000:channel/a",
	} {
		v := textOf(text)
		if len(broken(&v, of)) == 0 {
			return text
		}
	}
	panic("no example")
}

// Puts is what a PutRecords asks for.
type Puts struct {
	Stream, ARN string
	Events      []leat.Event
}

// Fast reads a PutRecords by the fast path, Slow by the general one; ok is false where it gives up, or finds something wrong.
func Fast(body []byte, cbor bool) (p Puts, ok bool) {
	c := &call{body: body, cbor: cbor, scratch: &scratch{}}
	if !c.scanRecords() {
		return p, false
	}
	return Puts{c.in.str("StreamName"), c.in.str("StreamARN"), c.scratch.events}, true
}

// Slow is described with Fast.
func Slow(body []byte, cbor bool) (p Puts, ok bool) {
	c := &call{body: body, cbor: cbor, scratch: &scratch{}, op: operations["PutRecords"]}
	if c.parse() != nil || c.check() != nil {
		return p, false
	}
	records := c.in.get("Records").list
	for i := range records {
		if c.addEvent(&records[i]) != nil {
			return p, false
		}
	}
	return Puts{c.in.str("StreamName"), c.in.str("StreamARN"), c.scratch.events}, true
}

// Again writes what a body holds and reads that, too; same says whether both are the same. ok is false if the body does not parse.
func Again(body []byte, cbor bool) (same, ok bool) {
	read, write := parseJSON, appendJSON
	if cbor {
		read, write = parseCBOR, appendCBOR
	}
	v, err := read(body)
	if err != nil {
		return true, false
	}
	text := write(nil, &v)
	w, err := read(text)
	return err == nil && string(write(nil, &w)) == string(text), true
}

// GoodRequest returns a request in JSON that the model finds good, with every member given but those named.
func GoodRequest(operation string, without ...string) string {
	v := example(operations[operation].input)
	v.fields = slices.DeleteFunc(v.fields, func(f field) bool { return slices.Contains(without, f.name) })
	return string(appendJSON(nil, &v))
}

// Rates returns how often operations may be called in a second.
func Rates() map[string]int {
	rates := map[string]int{}
	for name, r := range callRates {
		rates[name] = int(r.perSecond)
	}
	return rates
}

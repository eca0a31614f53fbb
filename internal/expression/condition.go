package expression

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"
)

// Condition is an expression that holds for a message or does not. Comparisons of plain member paths with constants, joined
// with and, or and not, are answered without decoding the message. It is immutable and safe for concurrent use.
type Condition struct {
	source  string
	program *vm.Program
	fast    term // nil: only the program answers
}

// ParseCondition returns the Condition of an expression. The error names the column.
func ParseCondition(source string) (Condition, error) {
	v, err := Parse(source)
	if err != nil {
		return Condition{}, err
	}
	c := Condition{source: v.source, program: v.program}
	if c.program == nil {
		if c.program, err = compile(c.source); err != nil {
			return Condition{}, err
		}
	}
	if tree, err := parser.Parse(c.source); err == nil {
		c.fast = termOf(tree.Node)
	}
	return c, nil
}

// MustParseCondition is ParseCondition for conditions that are part of the program; it panics on an error.
func MustParseCondition(source string) Condition {
	c, err := ParseCondition(source)
	if err != nil {
		panic(err)
	}
	return c
}

// UnmarshalText implements encoding.TextUnmarshaler with ParseCondition.
func (c *Condition) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCondition(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler with the text that was parsed.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.source), nil }

// IsZero reports whether c is not set. It then holds for nothing.
func (c *Condition) IsZero() bool { return c.source == "" }

// String returns the text that was parsed.
func (c *Condition) String() string { return c.source }

// Holds reports whether the expression is true. Where it fails on this message, it is not.
func (c *Condition) Holds(l *Look) bool {
	if c.fast != nil {
		if a := c.fast.answer(l); a != undecided {
			return a == yes
		}
	}
	if c.program == nil {
		return false
	}
	out, err := (&Value{program: c.program}).run(&l.msg)
	return err == nil && out == true
}

// Look is a message that Conditions look into, one after the other. It remembers what they found. Its zero value is ready for Reset, and
// it is reused, by one goroutine.
type Look struct {
	msg  Message
	seen []sight
}

type sight struct {
	path  string
	found gjson.Result
}

// Reset makes data the message. It must not be changed as long as what is taken from l is in use.
func (l *Look) Reset(data []byte) {
	clear(l.seen)
	l.msg, l.seen = NewMessage(data), l.seen[:0]
}

// Message returns the message, for Values.
func (l *Look) Message() *Message { return &l.msg }

func (l *Look) get(path string) gjson.Result {
	for i := range l.seen {
		if l.seen[i].path == path {
			return l.seen[i].found
		}
	}
	r := gjson.Get(l.msg.data, path)
	l.seen = append(l.seen, sight{path, r})
	return r
}

// answer is what a term says. Where the language is intricate, the term is undecided.
type answer int

const (
	undecided answer = iota
	yes
	no
	fails // the language would: the condition does not hold, whatever else there is
)

func answered(is bool) answer {
	if is {
		return yes
	}
	return no
}

// term is a part of a condition.
type term interface{ answer(l *Look) answer }

type notTerm struct{ of term }

func (t notTerm) answer(l *Look) answer {
	switch t.of.answer(l) {
	case yes:
		return no
	case no:
		return yes
	case fails:
		return fails
	case undecided:
	}
	return undecided
}

// joinedTerm is and, or or, from left to right.
type joinedTerm struct {
	left, right term
	decisive    answer // of the left: the right is not looked at
}

func (t joinedTerm) answer(l *Look) answer {
	if a := t.left.answer(l); a == t.decisive || a == undecided || a == fails {
		return a
	}
	return t.right.answer(l)
}

// place is a plain member path.
type place struct {
	path   string
	parent string   // empty: the message
	arrays []string // what must be an array for the path to mean what the language means
	index  bool     // it ends with an index
}

// at returns what the message has at a place, and yes; anything else is the answer.
func (p *place) at(l *Look) (gjson.Result, answer) {
	r := l.get(p.path)
	for _, array := range p.arrays {
		if a := l.get(array); !a.IsArray() {
			return r, notThere(a)
		}
	}
	if !r.Exists() && p.parent != "" {
		if parent := l.get(p.parent); p.index || !parent.IsObject() {
			return r, notThere(parent)
		}
	}
	return r, yes
}

// notThere is the answer of something that is looked for in a value where it cannot be.
func notThere(in gjson.Result) answer {
	if in.Type == gjson.Null {
		return fails
	}
	return undecided
}

// comparison is a place and what it is compared with.
type comparison struct {
	place
	operator string
	with     []constant
	nothing  answer // of in, where there is nothing at the place
}

type constant struct {
	kind   gjson.Type
	text   string
	number float64
}

func (t *comparison) answer(l *Look) answer {
	r, is := t.at(l)
	switch {
	case is != yes:
		return is
	case t.operator == "==":
		return answered(t.with[0].is(r))
	case t.operator == "!=":
		return answered(!t.with[0].is(r))
	case r.Type == gjson.Null && t.operator == "in":
		return t.nothing
	case r.Type == gjson.Null:
		return no
	case r.Type != gjson.String:
		return undecided
	}
	text := t.with[0].text
	switch t.operator {
	case "startsWith":
		return answered(strings.HasPrefix(r.Str, text))
	case "endsWith":
		return answered(strings.HasSuffix(r.Str, text))
	case "contains":
		return answered(strings.Contains(r.Str, text))
	}
	for _, c := range t.with {
		if c.is(r) {
			return yes
		}
	}
	return no
}

func (c constant) is(r gjson.Result) bool {
	switch c.kind {
	case gjson.String:
		return r.Type == gjson.String && r.Str == c.text
	case gjson.Number:
		return r.Type == gjson.Number && r.Num == c.number
	case gjson.Null, gjson.True, gjson.False, gjson.JSON:
	}
	return r.Type == c.kind
}

// truth is a place alone.
type truth struct{ place }

func (t *truth) answer(l *Look) answer {
	r, is := t.at(l)
	switch {
	case is != yes:
		return is
	case r.Type == gjson.True:
		return yes
	case r.Type == gjson.False:
		return no
	case r.Type == gjson.Null:
		return fails
	}
	return undecided
}

// termOf returns the term that a node stands for; nil if there is none.
func termOf(node ast.Node) term {
	switch n := node.(type) {
	case *ast.UnaryNode:
		if of := termOf(n.Node); of != nil && (n.Operator == "not" || n.Operator == "!") {
			return notTerm{of}
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			left, right := termOf(n.Left), termOf(n.Right)
			if left == nil || right == nil {
				return nil
			}
			decisive := no
			if n.Operator == "or" || n.Operator == "||" {
				decisive = yes
			}
			return joinedTerm{left, right, decisive}
		}
		return comparisonOf(n)
	case *ast.IdentifierNode, *ast.MemberNode:
		if p, ok := placeOf(node); ok {
			return &truth{p}
		}
	}
	return nil
}

func comparisonOf(n *ast.BinaryNode) term {
	p, ok := placeOf(n.Left)
	if !ok {
		return nil
	}
	t := &comparison{place: p, operator: n.Operator}
	switch n.Operator {
	case "==", "!=", "startsWith", "endsWith", "contains":
		c, ok := constantOf(n.Right)
		if !ok || n.Operator[1] != '=' && c.kind != gjson.String {
			return nil
		}
		t.with = []constant{c}
		return t
	case "in":
		list, ok := n.Right.(*ast.ArrayNode)
		if !ok || len(list.Nodes) == 0 {
			return nil
		}
		t.nothing = no
		for _, node := range list.Nodes {
			c, ok := constantOf(node)
			if !ok || c.kind != gjson.String {
				return nil
			}
			if t.with = append(t.with, c); c.text == "" {
				t.nothing = undecided // the language may take nothing for the empty text
			}
		}
		return t
	}
	return nil
}

func constantOf(node ast.Node) (constant, bool) {
	const exact = 1 << 53
	switch n := node.(type) {
	case *ast.StringNode:
		return constant{kind: gjson.String, text: n.Value}, true
	case *ast.BoolNode:
		if n.Value {
			return constant{kind: gjson.True}, true
		}
		return constant{kind: gjson.False}, true
	case *ast.NilNode:
		return constant{kind: gjson.Null}, true
	case *ast.IntegerNode:
		return constant{kind: gjson.Number, number: float64(n.Value)}, n.Value < exact && n.Value > -exact
	case *ast.UnaryNode:
		c, ok := constantOf(n.Node)
		c.number = -c.number
		return c, ok && n.Operator == "-" && c.kind == gjson.Number
	}
	return constant{}, false
}

// placeOf returns the place that a node names, if it does nothing else.
func placeOf(node ast.Node) (place, bool) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if n.Value == "msg" {
			return place{path: wholeMessage}, true
		}
		return place{path: gjson.Escape(n.Value)}, !strings.HasPrefix(n.Value, "$")
	case *ast.MemberNode:
		p, ok := placeOf(n.Node)
		step, index := stepOf(n.Property)
		if !ok || step == "" || n.Optional || n.Method {
			return place{}, false
		}
		p.index, p.parent = index, p.path
		if index {
			p.arrays = append(p.arrays, p.parent)
		}
		p.path += "." + step
		if p.parent == wholeMessage {
			p.path = step
		}
		return p, true
	}
	return place{}, false
}

// stepOf returns a step of a gjson path; nothing for what is none, or might be taken for the other kind.
func stepOf(property ast.Node) (step string, index bool) {
	switch p := property.(type) {
	case *ast.StringNode:
		if strings.Trim(p.Value, "0123456789") != "" {
			return gjson.Escape(p.Value), false
		}
	case *ast.IntegerNode:
		if p.Value >= 0 {
			return strconv.Itoa(p.Value), true
		}
	}
	return "", false
}

// Evaluate returns what v picks out of a message, as the type that it has there: a whole number as int, any other as float64. It reports false for
// nothing, and where the expression fails on this message.
func (v *Value) Evaluate(m *Message) (any, bool) {
	if v.program == nil {
		return m.value(v.path)
	}
	out, err := expr.Run(v.program, m.variables())
	return out, err == nil && out != nil
}

// value returns what the message has at a path. It decodes nothing else.
func (m *Message) value(path string) (any, bool) {
	switch r := gjson.Get(m.data, path); r.Type {
	case gjson.Null:
		return nil, false
	case gjson.String:
		return strings.Clone(r.Str), true // it may outlive the message
	case gjson.False, gjson.True:
		return r.Type == gjson.True, true
	case gjson.Number:
		return m.numbers(json.Number(r.Raw)), true
	case gjson.JSON:
		of := Message{data: r.Raw}
		whole := of.variables()["msg"]
		return whole, whole != nil
	}
	return nil, false
}

// Members returns the variables that expressions see: the members of the message, and msg. They must not be changed.
func (m *Message) Members() map[string]any { return m.variables() }

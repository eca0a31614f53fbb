// Package expression is the one expression language of Leat's configuration, the one of
// github.com/expr-lang/expr, with a fast path for plain member paths.
//
// Inside an expression the members of a JSON object are variables (params.symbol), and the
// whole message is msg, which also reaches into arrays (msg[0].T). A member that does
// not exist is nil; a?.b and a ?? b work as usual.
//
// Beside the functions of the language there are those for signatures: sha256(x), sha512(x), hmac_sha256(key, x) and hmac_sha512(key, x) give
// bytes, as do bytes(x, y, …), which joins, and base64_decode(text); hex(x), base64(x) and base64url(x), which does not pad, give texts. Bytes
// that are left are written as hexadecimal digits. Templates, which are evaluated at each use, also have now(), unix(), unix_ms(), uuid(),
// random_hex(bytes) and jwt(algorithm, key, claims, header).
package expression

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"
)

// Value picks a value out of a message. The zero Value picks nothing. It is
// immutable after UnmarshalText and safe for concurrent use.
type Value struct {
	source  string
	path    string      // of a plain member path, in the notation of gjson
	program *vm.Program // of everything else
}

// Parse returns the Value of an expression. The error names the column.
func Parse(source string) (Value, error) {
	v := Value{source: strings.TrimSpace(source)}
	if v.source == "" {
		return Value{}, errors.New("the expression is empty")
	}
	if path, ok := plainPath(v.source); ok {
		v.path = path
		return v, nil
	}
	program, err := compile(v.source)
	if err != nil {
		return Value{}, err
	}
	v.program = program
	return v, nil
}

// MustParse is Parse for expressions that are part of the program; it panics on an error.
func MustParse(source string) Value {
	v, err := Parse(source)
	if err != nil {
		panic(err)
	}
	return v
}

// UnmarshalText implements encoding.TextUnmarshaler with Parse.
func (v *Value) UnmarshalText(text []byte) (err error) {
	*v, err = Parse(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler with the text that was parsed.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.source), nil }

// IsZero reports whether v picks nothing.
func (v *Value) IsZero() bool { return v.source == "" }

// String returns the text that was parsed.
func (v *Value) String() string { return v.source }

// Text returns what v picks as a text: a string as it is, a number as the message writes
// it, anything else as JSON. It reports false for null, for what does not exist, and where
// the expression fails on this message. The text may share memory with the message.
func (v *Value) Text(m *Message) (string, bool) {
	if v.program == nil {
		text, _, ok := m.at(v.path)
		return text, ok
	}
	out, err := v.run(m)
	if err != nil {
		return "", false
	}
	return textOf(out)
}

// Identity is Text for what tells messages apart: it also reports false for a list with a null in it, because all
// messages that lack the same member would have the same one.
func (v *Value) Identity(m *Message) (string, bool) {
	if v.program == nil {
		text, isList, ok := m.at(v.path)
		if isList && hasNull(text) {
			return "", false
		}
		return text, ok
	}
	out, err := v.run(m)
	if list, isList := out.([]any); err != nil || isList && slices.Contains(list, nil) {
		return "", false
	}
	return textOf(out)
}

func hasNull(list string) (found bool) {
	gjson.Parse(list).ForEach(func(_, item gjson.Result) bool {
		found = item.Type == gjson.Null
		return !found
	})
	return found
}

func (v *Value) run(m *Message) (any, error) {
	out, err := expr.Run(v.program, m.variables())
	if err != nil && m.long {
		return expr.Run(v.program, rounded(m.vars)) // it calculates with a number that was kept as text
	}
	return out, err
}

func textOf(out any) (string, bool) {
	switch out := out.(type) {
	case nil:
		return "", false
	case string:
		return out, true
	case int:
		return strconv.Itoa(out), true
	case float64:
		return strconv.FormatFloat(out, 'f', -1, 64), true
	case []byte:
		return hex.EncodeToString(out), true
	}
	text, err := json.Marshal(out)
	return string(text), err == nil
}

// Message is one message that Values look into. Make one per message with NewMessage; it
// decodes at most once, however many Values look.
type Message struct {
	data string
	vars map[string]any
	long bool // a number in vars is kept as text
}

// NewMessage returns the Message of data, which must not be changed as long as the Message or a text
// taken from it is in use.
func NewMessage(data []byte) Message {
	return Message{data: unsafe.String(unsafe.SliceData(data), len(data))}
}

// at returns what the message has at a path, as text, and whether that is a list.
func (m *Message) at(path string) (text string, isList, ok bool) {
	if path == "" {
		return "", false, false
	}
	if path == wholeMessage {
		return m.data, strings.HasPrefix(strings.TrimLeft(m.data, " \t\r\n"), "["), m.data != ""
	}
	r := gjson.Get(m.data, path)
	switch r.Type {
	case gjson.Null:
		return "", false, false
	case gjson.String:
		return r.Str, false, true
	case gjson.False, gjson.True, gjson.Number, gjson.JSON:
	}
	return r.Raw, r.IsArray(), true
}

func (m *Message) variables() map[string]any {
	if m.vars != nil {
		return m.vars
	}
	m.vars = map[string]any{}
	// The decoder of the standard library takes time in proportion to the size and refuses what is nested too deeply, whatever a provider sends.
	d := json.NewDecoder(strings.NewReader(m.data))
	d.UseNumber()
	var whole any
	if manyValues(m.data) || d.Decode(&whole) != nil {
		whole = nil
	} else if _, err := d.Token(); !errors.Is(err, io.EOF) {
		whole = nil
	}
	whole = m.numbers(whole)
	if members, ok := whole.(map[string]any); ok {
		maps.Copy(m.vars, members)
	}
	m.vars["msg"] = whole
	return m.vars
}

// mostValues is how many values a message may have that an expression looks into; a member path has no such limit. Decoded, each takes up to
// 400 bytes, however few it has in the message.
const mostValues = 250_000

// manyValues reports whether a message may have more values than that.
func manyValues(data string) bool {
	if len(data) <= mostValues {
		return false
	}
	n := 1
	for _, c := range []string{",", "[", "{"} { // a value stands behind one of them, or is a member
		n += strings.Count(data, c)
	}
	return n > mostValues
}

// numbers gives a whole number as int, so that large ids keep every digit, and any other as float64. A whole number that fits no
// int, and what fits no float64, stays as it is written: two of them must not become the same.
func (m *Message) numbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			v[name] = m.numbers(v[name])
		}
	case []any:
		for i := range v {
			v[i] = m.numbers(v[i])
		}
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil || strings.Trim(v.String(), "-0123456789") == "" {
			m.long = true
			return v
		}
		return f
	}
	return value
}

// rounded returns a copy of value in which every number is one to calculate with.
func rounded(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = rounded(v[name])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = rounded(v[i])
		}
		return out
	case json.Number:
		f, _ := v.Float64()
		return f
	}
	return value
}

// wholeMessage is the path of the expression msg.
const wholeMessage = "@this"

var (
	pathPattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*((\.[A-Za-z_][A-Za-z0-9_]*)|(\[[0-9]+\]))*$`)
	indexPattern = regexp.MustCompile(`\[([0-9]+)\]`)
	reserved     = map[string]bool{"true": true, "false": true, "nil": true, "let": true, "if": true}
)

// plainPath returns the gjson path of an expression that only names members.
func plainPath(source string) (string, bool) {
	if !pathPattern.MatchString(source) || reserved[source] {
		return "", false
	}
	path := indexPattern.ReplaceAllString(source, ".$1")
	if path == "msg" {
		return wholeMessage, true
	}
	return strings.TrimPrefix(path, "msg."), true
}

// compile compiles what looks into messages: the same message has the same value at any time.
func compile(source string) (*vm.Program, error) { return compileWith(source, messageFunctions) }

// compileTemplate compiles what stands in a template.
func compileTemplate(source string) (*vm.Program, error) {
	return compileWith(source, append(slices.Clone(messageFunctions), templateFunctions...))
}

func compileWith(source string, functions []function) (*vm.Program, error) {
	names := &memberNames{functions: map[string]bool{}}
	options := []expr.Option{expr.AllowUndefinedVariables(), expr.DisableBuiltin("now"), expr.Patch(names)}
	for _, f := range functions {
		names.functions[f.name] = true
		options = append(options, f.option())
	}
	program, err := expr.Compile(source, options...)
	if err == nil && names.unknown != "" {
		return nil, &functionError{"there is no function " + names.unknown + " here"}
	}
	var at *file.Error
	if errors.As(err, &at) {
		message := at.Message
		if message == `unexpected token Operator("=")` {
			message += "; to compare write =="
		}
		return nil, fmt.Errorf("expression %q, column %d: %s", source, at.Column+1, message)
	}
	return program, err
}

// memberNames makes a name that is not called mean the member of the message, also where the language has a function of
// that name: type == "trade" and last > max are about the message, len(x) is the function.
type memberNames struct {
	made      map[ast.Node]string
	functions map[string]bool
	unknown   string // a function that is called and is none
}

// Visit implements ast.Visitor. It meets the name of a call before the call.
func (v *memberNames) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if _, isBuiltin := builtin.Index[n.Value]; isBuiltin || functionNames[n.Value] {
			member := &ast.MemberNode{Node: &ast.IdentifierNode{Value: "$env"}, Property: &ast.StringNode{Value: n.Value}}
			if v.made == nil {
				v.made = map[ast.Node]string{}
			}
			v.made[member] = n.Value
			ast.Patch(node, member)
		}
	case *ast.CallNode:
		if name, ok := v.made[n.Callee]; ok {
			n.Callee = &ast.IdentifierNode{Value: name}
		}
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && !v.functions[callee.Value] {
			v.unknown = callee.Value
		}
	}
}

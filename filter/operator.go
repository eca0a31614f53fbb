package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/leatstream/leat/internal/jsontext"
	"github.com/leatstream/leat/internal/setting"
)

// operators are the words that stand as the only member of an object in the list of a field.
var operators = []string{"exists", "numeric", "prefix", "suffix", "equals-ignore-case", "anything-but", "wildcard", "cidr"}

// isOperator reports whether AWS takes a name inside of $or for an operator.
func isOperator(name string) bool { return name == "exactly" || slices.Contains(operators, name) }

// newLeaf compiles the list of a field.
func newLeaf(v *value, path string) (*leaf, error) {
	if len(v.items) == 0 {
		return nil, &wrongError{at: v.at, path: path, what: "the list is empty, and would never hold", hint: "name a value or an operator, such as {exists: true}"}
	}
	l := &leaf{path: path}
	for i, item := range v.items {
		at := element(path, i)
		switch item.kind {
		case '{':
			t, err := newOperator(item, at)
			if err != nil {
				return nil, err
			}
			l.absent = l.absent || t.op == opAbsent
			l.tests = append(l.tests, t)
		case '[':
			hint := ""
			if strings.HasSuffix(path, "$or") {
				hint = "$or takes two or more objects in its list"
			}
			return nil, &wrongError{at: item.at, path: at, what: "expected a value or an operator, got a list", hint: hint}
		default:
			l.tests = append(l.tests, equals(item))
		}
	}
	l.tests = gather(l.tests)
	return l, nil
}

// equals is the test for one value.
func equals(v *value) test {
	switch v.kind {
	case '"':
		return test{op: opText, text: v.text}
	case '0':
		n, _ := strconv.ParseFloat(v.text, 64)
		return test{op: opNumber, text: v.text, low: n}
	}
	return test{op: opWord, word: v.kind}
}

// fewTexts are compared one by one.
const fewTexts = 8

// gather makes one test of many texts.
func gather(tests []test) []test {
	texts := map[string]bool{}
	rest := []test{}
	for i := range tests {
		if tests[i].op == opText {
			texts[tests[i].text] = true
		} else {
			rest = append(rest, tests[i])
		}
	}
	if len(texts) <= fewTexts {
		return tests
	}
	return append(rest, test{op: opTexts, texts: texts})
}

// newOperator compiles an object in a list.
func newOperator(v *value, path string) (test, error) {
	if len(v.members) != 1 {
		return test{}, &wrongError{
			at: v.at, path: path, what: fmt.Sprintf("expected one operator, got %d", len(v.members)),
			hint: "each operator is an object of its own in the list; a nested object stands under the field without a list",
		}
	}
	m := &v.members[0]
	at := setting.Below(path, m.name)
	switch m.name {
	case "exists":
		switch m.value.kind {
		case 't':
			return test{op: opPresent}, nil
		case 'f':
			return test{op: opAbsent}, nil
		}
		return test{}, &wrongError{at: m.value.at, path: at, what: "expected true or false, got " + m.value.describe()}
	case "numeric":
		return numeric(m.value, at)
	case "anything-but":
		return anythingBut(m.value, at)
	case "prefix", "suffix", "equals-ignore-case", "wildcard", "cidr":
		return ofText(m, at)
	}
	hint := "operators are " + strings.Join(operators, ", ")
	if strings.HasSuffix(path, "$or[0]") {
		hint = "$or takes two or more objects in its list"
	} else if near, ok := setting.Nearest(m.name, operators); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return test{}, &wrongError{at: m.at, path: path, what: fmt.Sprintf("unknown operator %q", cutName(m.name)), hint: hint}
}

// ofText compiles an operator whose value is a text, or of prefix and suffix an equals-ignore-case.
func ofText(m *member, path string) (test, error) {
	if m.value.kind == '{' && (m.name == "prefix" || m.name == "suffix") {
		return ignoringCase(m, path)
	}
	if m.value.kind != '"' {
		return test{}, &wrongError{at: m.value.at, path: path, what: "expected a text, got " + m.value.describe(), hint: listHint(m)}
	}
	text := m.value.text
	switch m.name {
	case "prefix":
		return test{op: opPrefix, text: text}, nil
	case "suffix":
		return test{op: opSuffix, text: text}, nil
	case "equals-ignore-case":
		return test{op: opFold, folded: foldAll(text)}, nil
	case "wildcard":
		return wildcard(m, path)
	}
	net, err := netip.ParsePrefix(text)
	if err != nil {
		return test{}, &wrongError{at: m.value.at, path: path, what: "expected a range of addresses", hint: "write it as 10.0.0.0/8 or 2001:db8::/32"}
	}
	return test{op: opNet, net: net.Masked()}, nil
}

func listHint(m *member) string {
	if m.value.kind == '[' {
		return fmt.Sprintf("for several write [{%s: …}, {%s: …}]", m.name, m.name)
	}
	return ""
}

// ignoringCase compiles {equals-ignore-case: …} as the value of prefix or suffix.
func ignoringCase(m *member, path string) (test, error) {
	inner := m.value.get("equals-ignore-case")
	if inner == nil || len(m.value.members) != 1 {
		return test{}, &wrongError{at: m.value.at, path: path, what: "expected a text or one equals-ignore-case", hint: fmt.Sprintf("write {%s: {equals-ignore-case: …}}", m.name)}
	}
	t, err := ofText(&m.value.members[0], setting.Below(path, "equals-ignore-case"))
	if err != nil {
		return t, err
	}
	t.op = opFoldPrefix
	if m.name == "suffix" {
		t.op = opFoldSuffix
	}
	return t, nil
}

// wildcard compiles a text in which * stands for any characters.
func wildcard(m *member, path string) (test, error) {
	wrong := func(what, hint string) (test, error) {
		return test{}, &wrongError{at: m.value.at, path: path, what: what, hint: hint}
	}
	var part []byte
	t := test{op: opWildcard}
	text := m.value.text
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '*' || text[i+1] == '\\'):
			i++
			part = append(part, text[i])
		case text[i] == '\\':
			return wrong(`a backslash stands before * or another backslash`, `write \* for a star and \\ for a backslash; JSON doubles each of them once more`)
		case text[i] == '*' && i+1 < len(text) && text[i+1] == '*':
			return wrong("two stars in a row", "one star stands for any number of characters")
		case text[i] == '*':
			t.parts = append(t.parts, string(part))
			part = nil
		default:
			part = append(part, text[i])
		}
	}
	t.parts = append(t.parts, string(part))
	return t, nil
}

// numeric compiles a comparison or a range.
func numeric(v *value, path string) (test, error) {
	wrong := func(at *value, what string) (test, error) {
		return test{}, &wrongError{at: at.at, path: path, what: what, hint: `write ["=", 5], [">", 0] or [">=", 0, "<", 10]`}
	}
	if v.kind != '[' || len(v.items) != 2 && len(v.items) != 4 {
		return wrong(v, "expected a list of one or two comparisons")
	}
	t := test{op: opRange, low: -inf, high: inf}
	lower, upper := false, false
	for i := 0; i < len(v.items); i += 2 {
		op, n := v.items[i], v.items[i+1]
		if op.kind != '"' {
			return wrong(op, "expected =, <, <=, > or >=, got "+op.describe())
		}
		if n.kind != '0' {
			return wrong(n, "expected a number behind the comparison, got "+n.describe())
		}
		bound, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			return wrong(n, "the number is too large")
		}
		switch op.text {
		case ">", ">=":
			lower, t.low, t.lowOpen = !lower, bound, op.text == ">"
		case "<", "<=":
			upper, t.high, t.highOpen = !upper, bound, op.text == "<"
		case "=":
			lower, upper, t.low, t.high = true, true, bound, bound
		default:
			return wrong(op, "expected =, <, <=, > or >=")
		}
	}
	if len(v.items) == 4 && (!lower || !upper || v.items[0].text == "=" || v.items[2].text == "=") {
		return wrong(v, "two comparisons are one of > and >=, and one of < and <=")
	}
	if t.low > t.high || t.low == t.high && (t.lowOpen || t.highOpen) {
		return wrong(v, "no number is in this range")
	}
	return t, nil
}

// anythingBut compiles a value, a list of texts or of numbers, or an operator that must not hold.
func anythingBut(v *value, path string) (test, error) {
	t := test{op: opNot}
	switch v.kind {
	case '{':
		if len(v.members) != 1 || !slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, v.members[0].name) {
			return t, &wrongError{at: v.at, path: path, what: "expected a value, a list or one operator", hint: "operators in anything-but are prefix, suffix, equals-ignore-case and wildcard"}
		}
		return butOperator(&v.members[0], setting.Below(path, v.members[0].name))
	case '[':
		if len(v.items) == 0 {
			return t, &wrongError{at: v.at, path: path, what: "the list is empty", hint: "for any value write {exists: true}"}
		}
		for i, item := range v.items {
			if item.kind != '"' && item.kind != '0' || item.kind != v.items[0].kind {
				return t, &wrongError{at: item.at, path: element(path, i), what: "a list in anything-but holds texts only, or numbers only"}
			}
			t.tests = append(t.tests, equals(item))
		}
		t.tests = gather(t.tests)
	default:
		t.tests = []test{equals(v)}
	}
	return t, nil
}

// butOperator compiles an operator in anything-but, of one text or several.
func butOperator(m *member, path string) (test, error) {
	t := test{op: opNot}
	values := []*value{m.value}
	if m.value.kind == '[' {
		values = m.value.items
	}
	if len(values) == 0 {
		return t, &wrongError{at: m.value.at, path: path, what: "the list is empty"}
	}
	for i, v := range values {
		at := path
		if m.value.kind == '[' {
			at = element(path, i)
		}
		one, err := ofText(&member{m.name, v.at, v}, at)
		if err != nil {
			return t, err
		}
		if v.kind == '"' && v.text == "" {
			return t, &wrongError{at: v.at, path: at, what: "the text is empty"}
		}
		t.tests = append(t.tests, one)
	}
	return t, nil
}

// write writes a value as JSON, without blanks.
func (v *value) write(out *strings.Builder) {
	switch v.kind {
	case '{':
		out.WriteByte('{')
		for i := range v.members {
			if i > 0 {
				out.WriteByte(',')
			}
			out.Write(append(jsontext.AppendString(nil, v.members[i].name), ':'))
			v.members[i].value.write(out)
		}
		out.WriteByte('}')
	case '[':
		out.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				out.WriteByte(',')
			}
			item.write(out)
		}
		out.WriteByte(']')
	case '"':
		out.Write(jsontext.AppendString(nil, v.text))
	case '0':
		out.WriteString(v.text)
	default:
		out.WriteString(map[byte]string{'t': "true", 'f': "false", 'n': "null"}[v.kind])
	}
}

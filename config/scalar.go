package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// class is what a scalar looks like.
type class int

const (
	noScalar class = iota
	nullScalar
	boolScalar
	intScalar
	floatScalar
	textScalar
)

var numeric = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// classify says what a node looks like: a plain scalar is a number where JSON has that number; a
// quoted one is a text, and so is a plain one that was expanded to nothing or null.
func (d *decoder) classify(n *yaml.Node) class {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	switch {
	case n.Kind != yaml.ScalarNode:
		return noScalar
	case n.Style&quoted != 0, n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str":
		return textScalar
	}
	_, expanded := d.expanded[n]
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		if expanded {
			return textScalar
		}
		return nullScalar
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return boolScalar
	}
	return numberClass(n.Value)
}

// numberClass tells numbers from texts.
func numberClass(text string) class {
	m := numeric.FindStringSubmatch(text)
	switch {
	case m == nil:
		return textScalar
	case m[2] == "" && m[3] == "":
		return intScalar
	}
	return floatScalar
}

// scalar decodes a text, a number or a truth value.
func (d *decoder) scalar(s slot, v reflect.Value, n *yaml.Node) bool {
	k, class := kindOf(v.Type()), d.classify(n)
	fits := class != noScalar && class != nullScalar
	text := n.Value
	switch k {
	case kindBool:
		fits = class == boolScalar
		text = strings.ToLower(text)
	case kindInt:
		fits = class == intScalar
	case kindFloat:
		fits = class == intScalar || class == floatScalar
	}
	if !fits {
		d.mismatch(s, v.Type(), n)
		return false
	}
	switch {
	case k == kindSecret:
		d.secret(s, n)
	case v.Type() == templateType && telling(s.name) && literal(n.Value):
		d.secret(s, n) // a parameter of an address, or a variable
	case k == kindText || k == kindParsed:
		d.address(s, n)
	}
	if err := setting.Parse(v, text); err != nil {
		d.unparsed(s, v.Type(), n, err)
		return false
	}
	return true
}

// secret masks a value that is written into the file and warns of it.
func (d *decoder) secret(s slot, n *yaml.Node) {
	if n.Value == "" {
		return
	}
	d.secrets = append(d.secrets, n.Value)
	e := d.expanded[n]
	if e.whole {
		return
	}
	d.file.hide(n, d.written(n))
	if len(e.forms) > 0 && !e.literal || noSecret(s.name) || inserted(n.Value) {
		return
	}
	d.report(d.file, report{
		code: codeLiteralSecret, at: d.span(n), message: fmt.Sprintf("%s: the secret is written into the file", s.name),
		hint: "take it from a file or the environment: ${file:/path} or ${NAME}",
	})
}

// telling reports whether a text of this name is a secret. The address where a token comes from is none.
func telling(name string) bool {
	name = name[strings.LastIndexByte(name, '.')+1:]
	return setting.Telling(name) && !strings.HasSuffix(name, "_url")
}

// openHeaders are header fields that hold no secret, though others beside them may.
var openHeaders = []string{"accept", "accept-language", "content-type", "host", "origin", "referer", "user-agent"}

// noSecret reports whether a field of secrets is known to hold none.
func noSecret(name string) bool {
	field, isHeader := strings.CutPrefix(name, "headers.")
	return isHeader && slices.Contains(openHeaders, strings.ToLower(field))
}

// mismatch reports a value that is not of the kind that the field wants.
func (d *decoder) mismatch(s slot, t reflect.Type, n *yaml.Node) {
	n = resolve(n)
	if s.secret {
		d.hideAll(n)
	} else {
		d.hideSuspicious(s.name, n)
	}
	d.fail(report{
		code: codeType, subject: s.name, at: d.span(s.at), hint: d.remedy(t, n),
		message: fmt.Sprintf("%s: expected %s, got %s", s.name, expected(t), d.describe(s, n)),
	})
}

// remedy returns the hint for a value of the wrong kind.
func (d *decoder) remedy(t reflect.Type, n *yaml.Node) string {
	k, class := kindOf(t), d.classify(n)
	switch {
	case class == nullScalar:
		return "write a value, or leave the field out"
	case class == textScalar && (k == kindInt || k == kindFloat) && numberClass(n.Value) != textScalar,
		class == textScalar && k == kindBool && (n.Value == "true" || n.Value == "false"):
		return "remove the quotes"
	case class != noScalar && k == kindList:
		return "write it in brackets, or behind a dash on a line of its own"
	case class == noScalar && (t == reflect.TypeFor[expression.Value]() || t == reflect.TypeFor[expression.Condition]()):
		return "put the expression into quotes"
	}
	return ""
}

// unparsed reports a text that a field's own parser refuses.
func (d *decoder) unparsed(s slot, t reflect.Type, n *yaml.Node, err error) {
	r := report{code: codeValue, subject: s.name, at: d.span(s.at), message: s.name + ": " + err.Error() + d.origin(n)}
	if s.secret || d.expanded[n].secret {
		r.message = fmt.Sprintf("%s: expected %s, got another text%s, which is not shown", s.name, expected(t), d.origin(n))
	}
	d.fail(r)
}

// describe says in words what a node is, without showing a secret.
func (d *decoder) describe(s slot, n *yaml.Node) string {
	class := d.classify(n)
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case class == noScalar:
		return "a list"
	case class == nullScalar:
		return "nothing"
	case s.secret || d.expanded[n].secret:
		return "another value" + d.origin(n) + ", which is not shown"
	case class == textScalar:
		return "the string " + quote(n.Value) + d.origin(n)
	case class == boolScalar:
		return n.Value + d.origin(n)
	}
	return "the number " + cutText(n.Value) + d.origin(n)
}

// origin names the forms that a value comes from, without their defaults.
func (d *decoder) origin(n *yaml.Node) string {
	text := ""
	for _, form := range d.expanded[n].forms {
		name, _, _ := strings.Cut(strings.TrimSuffix(form, "}"), ":-")
		text += " " + name + "}"
	}
	if text == "" {
		return ""
	}
	return " from" + text
}

func quote(text string) string { return strconv.Quote(cutText(text)) }

// cutText cuts a text where it is too long for a message.
func cutText(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:60]) + "…"
	}
	return text
}

// oneLine replaces the line breaks of a text by blanks.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) }), " ")
}

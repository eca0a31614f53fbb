package configdoc

import (
	"bytes"
	"fmt"
	"strings"
)

const introduction = `# Configuration

<!-- Generated from the comments of the Config structs. Change them there. -->

A configuration is one or more files in YAML, or in JSON. Streams, sources and consumers of all files add up; any other field
of the top level is set in one of them. An unknown field is an error. Editors take leat.schema.json; examples/ has whole files.

` + "```yaml" + `
streams:
  trades: {shards: 4, retention: 7d}
sources:
  - {name: feed, type: websocket, url: "wss://feed.example/ws", stream: trades, event_id: trade_id, partition_key: symbol}
consumers:
  - {name: table, stream: trades, destination: {type: sqlite, path: trades.db, table: trades}}
` + "```" + `

| type | written as |
|---|---|
| duration | a number with a unit: ` + "`500ms`, `30s`, `12h`, `7d`, `2w`, also `1d12h`; `off`" + ` where a timer can be switched off |
| size | a number of bytes, or with a unit: ` + "`10MB` (powers of 1000), `16MiB` (powers of 1024)" + ` |
| expression | a member path such as ` + "`data.id`" + `, or an expression of expr-lang; the whole message is ` + "`msg`" + `. Of a message with more than 250,000 values an expression sees nothing, a member path does |
| secret | a text that is never shown; write it as a reference |
| text with {{…}} | a text with expressions in double braces |

Every value may hold references: ` + "`${NAME}` and `${NAME:-default}` for an environment variable, `${NAME:?message}`" + ` for one
that must not be empty, ` + "`${file:/path}`" + ` for the content of a file, ` + "`${credential:name}`" + ` for a credential of systemd. The text
` + "`${` is written `$${`" + `. A value that is not in quotes may so become a number.
`

func markdownOf(sections []section) []byte {
	var out bytes.Buffer
	out.WriteString(introduction)
	for _, s := range sections {
		fmt.Fprintf(&out, "\n## %s\n\n| field | type | default | allowed | meaning |\n|---|---|---|---|---|\n", s.Heading)
		rows(&out, "", s.fields)
	}
	return out.Bytes()
}

// rows writes one row for each field, and behind a mapping those of its fields.
func rows(out *bytes.Buffer, prefix string, fields []field) {
	for _, f := range fields {
		name := prefix + f.name
		fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", name, f.value.words(), f.otherwise(), f.allowed(), cell(f.text))
		v := f.value
		for v.elem != nil {
			name += map[kind]string{kindList: "[]", kindMap: ".*"}[v.kind]
			v = *v.elem
		}
		rows(out, name+".", v.fields)
	}
}

// words names the type of a value.
func (v value) words() string {
	if v.elem == nil {
		return string(v.kind)
	}
	if v.kind == kindMap {
		return "mapping of " + v.elem.words()
	}
	return "list of " + v.elem.words()
}

// otherwise says what holds where the field is not set.
func (f field) otherwise() string {
	if f.required {
		return "required"
	}
	if f.def == "" {
		return ""
	}
	return "`" + f.def + "`"
}

// allowed says in words what the limits are.
func (f field) allowed() string {
	switch {
	case len(f.enum) > 0:
		return "`" + strings.Join(f.enum, "`, `") + "`"
	case f.least != "" && f.most != "":
		return f.least + " to " + f.most
	case f.least != "":
		return "at least " + f.least
	case f.most != "":
		return "at most " + f.most
	}
	return ""
}

var escape = strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`)

// cell fits a text into a cell of a table.
func cell(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = escape.Replace(strings.Join(strings.Fields(p), " "))
	}
	return strings.Join(paragraphs, "<br>")
}

package config

import (
	"slices"
	"sort"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// file is one Input, cut into lines the way the parser counts them.
type file struct {
	name   string
	text   string             // without byte order mark
	lines  []string           // without their ends
	begins []int              // offset in text of each line
	starts []int              // offset of each node, sorted
	chars  map[int]characters // of lines that were asked for
	masks  map[int][]mask

	visible map[int]shownLine

	mistagged map[*yaml.Node]bool // nodes whose tag was reported
}

// mask is a part of a line that is not shown, in characters from 0.
type mask struct{ from, to int }

// span is a part of one line. Lines and columns count from 1; end is behind the last character.
type span struct{ line, column, end int }

func newFile(in Input) *file {
	f := &file{name: in.Name, text: strings.TrimPrefix(string(in.Text), "\ufeff"), chars: map[int]characters{}, masks: map[int][]mask{}, visible: map[int]shownLine{}, mistagged: map[*yaml.Node]bool{}}
	begin := 0
	for i := 0; i < len(f.text); {
		n := breakAt(f.text[i:])
		if n == 0 {
			i++
			continue
		}
		f.lines, f.begins = append(f.lines, f.text[begin:i]), append(f.begins, begin)
		i += n
		begin = i
	}
	f.lines, f.begins = append(f.lines, f.text[begin:]), append(f.begins, begin)
	return f
}

// breakAt returns the length of the line break that s begins with, or 0. To the parser
// NEL, LS and PS are breaks, too.
func breakAt(s string) int {
	for _, b := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if strings.HasPrefix(s, b) {
			return len(b)
		}
	}
	return 0
}

// characters is a line cut into characters, and the offset of each, and of the end, in the text.
type characters struct {
	runes   []rune
	offsets []int
}

// line returns the characters of a line, which counts from 1.
func (f *file) line(number int) []rune { return f.cut(number).runes }

func (f *file) cut(number int) characters {
	c, ok := f.chars[number]
	if ok {
		return c
	}
	line := f.lines[number-1]
	for i, r := range line {
		c.runes, c.offsets = append(c.runes, r), append(c.offsets, f.begins[number-1]+i)
	}
	c.offsets = append(c.offsets, f.begins[number-1]+len(line))
	f.chars[number] = c
	return c
}

// clamp returns the span moved into the file.
func (f *file) clamp(s span) span {
	if s.line > len(f.lines) {
		s = span{len(f.lines), 1 << 30, 0}
	}
	s.line = max(1, s.line)
	for last := len(f.lines); s.line == last && last > 1 && strings.TrimSpace(f.lines[last-1]) == ""; last-- {
		s = span{last - 1, 1 << 30, 0} // blank lines at the end are no place to show
	}
	last := len(f.line(s.line)) + 1
	s.column = min(max(1, s.column), last)
	s.end = min(max(s.column+1, s.end), max(last, s.column+1))
	return s
}

// offset returns where a position is in the text.
func (f *file) offset(line, column int) int {
	if line < 1 || line > len(f.lines) {
		return len(f.text)
	}
	offsets := f.cut(line).offsets
	return offsets[min(max(1, column), len(offsets))-1]
}

// at returns the position of an offset.
func (f *file) at(offset int) (line, column int) {
	line = sort.SearchInts(f.begins, offset+1)
	offsets := f.cut(line).offsets
	return line, min(sort.SearchInts(offsets, offset), len(offsets)-1) + 1
}

// index notes where the nodes of a tree begin.
func (f *file) index(n *yaml.Node) {
	f.starts = append(f.starts, f.offset(n.Line, n.Column))
	for _, c := range n.Content {
		f.index(c)
	}
	if n.Kind == yaml.DocumentNode {
		slices.Sort(f.starts)
	}
}

// region returns the text from a node to the next one.
func (f *file) region(n *yaml.Node) (begin int, text string) {
	begin = f.offset(n.Line, n.Column)
	next := sort.SearchInts(f.starts, begin+1)
	if next == len(f.starts) {
		return begin, f.text[begin:]
	}
	return begin, f.text[begin:f.starts[next]]
}

// span returns the part of the node's first line that the node takes. The second result tells
// whether that is all of a scalar. The value is that of the node before anything was expanded.
func (f *file) span(n *yaml.Node, value string) (span, bool) {
	s := span{n.Line, n.Column, n.Column + 1}
	if n.Line < 1 || n.Line > len(f.lines) {
		return f.clamp(s), false
	}
	line := f.line(n.Line)
	from := min(n.Column-1, len(line))
	if n.Kind == yaml.ScalarNode {
		from = skipProperties(line, from)
	}
	length, whole := tokenLength(n, value, line[from:])
	s.column, s.end = from+1, from+1+length
	return f.clamp(s), whole
}

// skipProperties returns where the value begins behind an anchor and a tag, if it is on the same line.
func skipProperties(line []rune, from int) int {
	at := from
	for at < len(line) && (line[at] == '&' || line[at] == '!') {
		for at < len(line) && !unicode.IsSpace(line[at]) {
			at++
		}
		for at < len(line) && unicode.IsSpace(line[at]) {
			at++
		}
	}
	if at == len(line) || line[at] == '#' {
		return from
	}
	return at
}

func tokenLength(n *yaml.Node, value string, rest []rune) (length int, whole bool) {
	switch {
	case len(rest) == 0, n.Kind == yaml.ScalarNode && n.Style == 0 && value == "":
		return 1, value == ""
	case n.Kind == yaml.AliasNode:
		return len([]rune(n.Value)) + 1, true
	case n.Kind != yaml.ScalarNode, n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 1, false
	case rest[0] == '"' || rest[0] == '\'':
		return quotedLength(rest)
	case value != "" && strings.HasPrefix(string(rest), value):
		return len([]rune(value)), true
	}
	return len([]rune(strings.TrimRightFunc(string(rest), unicode.IsSpace))), value == ""
}

func quotedLength(rest []rune) (length int, whole bool) {
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[0] == '"' && rest[i] == '\\':
			i++
		case rest[i] == rest[0] && rest[0] == '\'' && i+1 < len(rest) && rest[i+1] == '\'':
			i++
		case rest[i] == rest[0]:
			return i + 1, true
		}
	}
	return len(rest), false
}

// hide masks a scalar, on all its lines.
func (f *file) hide(n *yaml.Node, value string) {
	s, whole := f.span(n, value)
	if whole {
		f.addMask(s.line, mask{s.column - 1, s.end - 1})
		return
	}
	begin, text := f.region(n)
	line, column := f.at(begin)
	column = max(column, s.column)
	last, end := f.at(begin + len(trimEnd(text)))
	for ; line <= last; line++ {
		to := len(f.line(line))
		if line == last {
			to = min(to, end-1)
		}
		f.addMask(line, mask{column - 1, to})
		column = 1
	}
}

// trimEnd removes what belongs to the next node: its indentation, and the dash of its item.
func trimEnd(text string) string {
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	if item, ok := strings.CutSuffix(text, "-"); ok && strings.HasSuffix(strings.TrimRight(item, " \t"), "\n") {
		return strings.TrimRightFunc(item, unicode.IsSpace)
	}
	return text
}

func (f *file) addMask(line int, m mask) {
	if m.from < m.to {
		f.masks[line] = append(f.masks[line], m)
	}
}

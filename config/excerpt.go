package config

import (
	"cmp"
	"slices"
	"unicode"
)

// excerpt returns the line of a span and the one before it, as they may be shown.
func (f *file) excerpt(s span, secrets []string) Excerpt {
	var e Excerpt
	if s.line > 1 {
		before := f.shown(s.line-1, secrets)
		text, _, _ := cutAround(before.text, 0, 0)
		e.Lines = append(e.Lines, Line{Number: s.line - 1, Text: string(text)})
	}
	line := f.shown(s.line, secrets)
	last := len(line.at) - 1
	start := line.at[min(s.column-1, last)]
	text, start, end := cutAround(line.text, start, max(line.at[min(s.end-1, last)], start+1))
	e.Lines = append(e.Lines, Line{Number: s.line, Text: string(text)})
	e.Start, e.End = start, end
	return e
}

// shownLine is a line with its masks applied.
type shownLine struct {
	text []rune
	at   []int // where each character of the line is in text
}

// shown returns a line as it may be shown. It may be called once all masks and secrets are known.
func (f *file) shown(number int, secrets []string) shownLine {
	if l, ok := f.visible[number]; ok {
		return l
	}
	var l shownLine
	runes := f.line(number)
	masks := f.masksOf(number, secrets)
	for i := 0; i < len(runes); {
		if len(masks) == 0 || i < masks[0].from {
			l.at, l.text = append(l.at, len(l.text)), append(l.text, printable(runes[i]))
			i++
			continue
		}
		for ; i < masks[0].to; i++ {
			l.at = append(l.at, len(l.text))
		}
		l.text = append(l.text, []rune(hidden)...)
		masks = masks[1:]
	}
	l.at = append(l.at, len(l.text))
	f.visible[number] = l
	return l
}

// masksOf returns the masks of a line in order, none touching another.
func (f *file) masksOf(number int, secrets []string) []mask {
	all := append(slices.Clone(f.masks[number]), occurrences(f.lines[number-1], secrets)...)
	slices.SortFunc(all, func(a, b mask) int { return cmp.Compare(a.from, b.from) })
	var apart []mask
	for _, m := range all {
		m.to = min(m.to, len(f.line(number)))
		if last := len(apart) - 1; last >= 0 && m.from <= apart[last].to {
			apart[last].to = max(apart[last].to, m.to)
			continue
		}
		if m.from < m.to {
			apart = append(apart, m)
		}
	}
	return apart
}

// maxLine is how many characters of a line are shown.
const maxLine = 110

// cutAround keeps the surroundings of a mark where a line is long.
func cutAround(line []rune, start, end int) (cut []rune, newStart, newEnd int) {
	if len(line) <= maxLine {
		return line, start, end
	}
	from := max(0, min(start-maxLine/3, len(line)-maxLine))
	to := min(len(line), from+maxLine)
	if from > 0 {
		cut = append(cut, '…')
	}
	shift := len(cut) - from
	cut = append(cut, line[from:to]...)
	if to < len(line) {
		cut = append(cut, '…')
	}
	return cut, start + shift, max(start+1, min(end, to)) + shift
}

// printable replaces what could steer a terminal.
func printable(r rune) rune {
	if r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return '�'
	}
	return r
}

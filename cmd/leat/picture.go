package main

import "unicode/utf8"

// picture is what the board shows, in parts of different weight.
type picture struct {
	title         string
	heads, riders []string // the leaderboard
	counts        []string
	commands      []string // never cut: they are there to be copied
	end           string
}

// fit returns the lines that a terminal has room for, the row of the cursor left free: where it is low with fewer riders, then without
// the empty lines, the leaderboard, the title and so on. Lines are cut at its width, all but the commands, which wrap. 0: unknown.
func (p picture) fit(width, height int) []string {
	room := height - 1
	if height <= 0 {
		room = 1 << 20
	}
	for _, gaps := range []bool{true, false} {
		for riders := len(p.riders); riders > 0; riders-- {
			if lines := p.cut(p.full(riders, gaps), width); allRows(lines, width) <= room {
				return lines
			}
		}
	}
	for _, lines := range [][]string{
		append(append(append([]string{p.title}, p.counts...), p.commands...), p.end),
		append(append([]string{p.title}, p.counts...), p.commands...),
		append(p.counts[:len(p.counts):len(p.counts)], p.commands...),
		p.counts,
	} {
		if lines = p.cut(lines, width); allRows(lines, width) <= room {
			return lines
		}
	}
	return p.cut(p.counts[:max(0, min(room, len(p.counts)))], width)
}

// full returns everything with so many riders, and with or without empty lines between the parts.
func (p picture) full(riders int, gaps bool) []string {
	var lines []string
	for _, part := range [][]string{{p.title}, append(p.heads[:len(p.heads):len(p.heads)], p.riders[:riders]...), p.counts, append(p.commands[:len(p.commands):len(p.commands)], p.end)} {
		if gaps && len(lines) > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, part...)
	}
	return lines
}

// cut cuts lines to a row, all but the commands.
func (p picture) cut(lines []string, width int) []string {
	whole := map[string]bool{}
	for _, c := range p.commands {
		whole[c] = true
	}
	short := make([]string, len(lines))
	for i, line := range lines {
		if short[i] = line; width > 0 && !whole[line] {
			short[i] = cut(line, max(1, width-1)) // some terminals go on to the next row behind the last column
		}
	}
	return short
}

// rows returns how many rows of a terminal a line takes.
func rows(line string, width int) int {
	if width <= 0 {
		return 1
	}
	return max(1, (utf8.RuneCountInString(line)+width-1)/width)
}

func allRows(lines []string, width int) int {
	n := 0
	for _, line := range lines {
		n += rows(line, width)
	}
	return n
}

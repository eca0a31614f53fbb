package config

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// PrintOptions says how Diagnostics are printed. The zero value suits a file.
type PrintOptions struct {
	Color bool // with the escape sequences of a terminal
	Limit int  // at most so many diagnostics, then "and N more"; 0: 50
}

// Print writes every diagnostic with an excerpt of its file and a caret under the
// mistake, and the Summary as the last line. Without diagnostics it writes nothing.
func (d Diagnostics) Print(w io.Writer, options PrintOptions) error {
	if len(d) == 0 {
		return nil
	}
	if options.Limit <= 0 {
		options.Limit = 50
	}
	p := printer{color: options.Color}
	for i := range d[:min(len(d), options.Limit)] {
		if i > 0 {
			p.line("")
		}
		p.diagnostic(&d[i])
	}
	if more := len(d) - options.Limit; more > 0 {
		p.line("")
		p.line(fmt.Sprintf("and %d more", more))
	}
	p.line(d.Summary())
	_, err := io.WriteString(w, p.out.String())
	return err
}

// PrintGitHub writes one workflow command of GitHub Actions for each diagnostic, so that it is
// shown at its line.
func (d Diagnostics) PrintGitHub(w io.Writer) error {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var out strings.Builder
	for _, x := range d {
		text := fmt.Sprintf("%s [%s]", x.text(), x.Code)
		fmt.Fprintf(&out, "::%s file=%s,line=%d,col=%d::%s\n", x.Severity, property.Replace(x.File), x.Line, x.Column, data.Replace(text))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

type printer struct {
	out   strings.Builder
	color bool
}

func (p *printer) line(text string) { p.out.WriteString(text + "\n") }

const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	blue   = "\x1b[1;34m"
	reset  = "\x1b[0m"
)

func (p *printer) paint(color, text string) string {
	if !p.color || text == "" {
		return text
	}
	return color + text + reset
}

func (p *printer) diagnostic(d *Diagnostic) {
	color := red
	if d.Severity == Warning {
		color = yellow
	}
	width := 2
	if n := len(d.Excerpt.Lines); n > 0 {
		width = max(width, len(fmt.Sprint(d.Excerpt.Lines[n-1].Number)))
	}
	margin := strings.Repeat(" ", width)
	p.line(p.paint(color, fmt.Sprintf("%s[%s]", d.Severity, d.Code)) + p.paint(bold, ": "+d.Message))
	p.line(margin + p.paint(blue, "--> ") + d.Position.String())
	p.line(margin + p.paint(blue, " |"))
	for i, l := range d.Excerpt.Lines {
		text := l.Text
		if i == len(d.Excerpt.Lines)-1 {
			text = l.Text + "\n" + margin + p.paint(blue, " |") + padded(p.carets(d.Excerpt, l.Text, color, d.Hint))
		}
		p.line(p.paint(blue, fmt.Sprintf("%*d |", width, l.Number)) + padded(text))
	}
	for _, r := range d.Related {
		p.line(fmt.Sprintf("%s %s %s: %s", margin, p.paint(blue, "="), r.Message, r.Position))
	}
	p.line(fmt.Sprintf("%s %s see: leat explain %s", margin, p.paint(blue, "="), d.Code))
}

// carets returns the line below the last line of an excerpt: what is meant, and the hint.
func (p *printer) carets(e Excerpt, text, color, hint string) string {
	runes := []rune(text)
	start, end := min(e.Start, len(runes)), min(e.End, len(runes))
	var indent strings.Builder
	for _, r := range runes[:start] {
		if r == '\t' {
			indent.WriteRune(r)
			continue
		}
		indent.WriteString(strings.Repeat(" ", cells(r)))
	}
	carets := 0
	for _, r := range runes[start:end] {
		carets += cells(r)
	}
	below := indent.String() + p.paint(color, strings.Repeat("^", max(1, carets)))
	if hint != "" {
		below += " " + p.paint(color, hint)
	}
	return below
}

func padded(text string) string {
	if text == "" || text[0] == '\n' {
		return text
	}
	return " " + text
}

// cells returns how many columns of a terminal r takes.
func cells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide holds what Unicode calls wide or fullwidth, by blocks.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1},
		{0x2e80, 0x303e, 1},
		{0x3041, 0xa4cf, 1},
		{0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1},
		{0xfe30, 0xfe6f, 1},
		{0xff00, 0xff60, 1},
		{0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1f9ff, 1}, {0x20000, 0x3fffd, 1}},
}

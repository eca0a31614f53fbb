package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a Diagnostic forbids to run.
type Severity string

// The severities. A warning forbids nothing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is one mistake in one file. It never holds the value of a secret.
type Diagnostic struct {
	Position
	EndColumn int      `json:"end_column"` // behind the last character that is meant, on the same line
	Severity  Severity `json:"severity"`
	Code      string   `json:"code"`    // stable, one of Codes
	Message   string   `json:"message"` // one line
	Hint      string   `json:"hint"`    // what to do, one line; may be empty

	// Excerpt is the line of the mistake and the one before it, secrets masked.
	Excerpt Excerpt `json:"excerpt"`

	// Related are other places that have to do with it, such as the first use of a name.
	Related []Related `json:"related,omitempty"`
}

// Related is a place that a Diagnostic points to.
type Related struct {
	Position
	Message string `json:"message"` // one line
}

// Excerpt is a piece of a file with a mark under a part of its last line. Since
// secrets are masked in it, its columns are not those of the file.
type Excerpt struct {
	Lines []Line `json:"lines"`
	Start int    `json:"start"` // of the mark: characters before it in the last line
	End   int    `json:"end"`   // of the mark: characters before its end
}

// Line is one line of an Excerpt.
type Line struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

// String returns the position, the message, the hint and the code in one line.
func (d Diagnostic) String() string {
	return fmt.Sprintf("%s: %s [%s]", d.Position, d.text(), d.Code)
}

func (d Diagnostic) text() string {
	if d.Hint == "" {
		return d.Message
	}
	return d.Message + "; " + d.Hint
}

// Diagnostics are all mistakes of all files, sorted by file, line and column. It marshals to a JSON
// array, one object for each Diagnostic.
type Diagnostics []Diagnostic

// Errors returns how many errors there are.
func (d Diagnostics) Errors() int { return d.count(Error) }

// Warnings returns how many warnings there are.
func (d Diagnostics) Warnings() int { return d.count(Warning) }

func (d Diagnostics) count(s Severity) int {
	n := 0
	for i := range d {
		if d[i].Severity == s {
			n++
		}
	}
	return n
}

// Err returns nil if there are no errors, else an *InvalidError.
func (d Diagnostics) Err() error {
	if d.Errors() == 0 {
		return nil
	}
	return &InvalidError{Diagnostics: d}
}

// Summary returns one line such as "6 errors, 0 warnings in leat.yaml".
func (d Diagnostics) Summary() string {
	text := plural(d.Errors(), "error") + ", " + plural(d.Warnings(), "warning")
	files := map[string]bool{}
	for i := range d {
		files[d[i].File] = true
	}
	switch len(files) {
	case 0:
		return text
	case 1:
		return text + " in " + d[0].File
	}
	return text + " in " + plural(len(files), "file")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (d Diagnostics) sort() {
	slices.SortStableFunc(d, func(a, b Diagnostic) int {
		return cmp.Or(
			strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			strings.Compare(string(a.Severity), string(b.Severity)), strings.Compare(a.Code, b.Code),
		)
	})
}

// InvalidError is returned by Diagnostics.Err. Whoever has room prints the Diagnostics.
type InvalidError struct{ Diagnostics Diagnostics }

// Error implements error with the first error and the number of the others.
func (e *InvalidError) Error() string {
	first := slices.IndexFunc(e.Diagnostics, func(d Diagnostic) bool { return d.Severity == Error })
	text := "invalid configuration"
	if first < 0 {
		return text
	}
	text += ": " + e.Diagnostics[first].String()
	if more := e.Diagnostics.Errors() - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

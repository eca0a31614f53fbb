package setting

import (
	"encoding"
	"fmt"
)

// Checker is implemented by a Config whose fields have rules between them. Package config calls
// Check once, after every field has been read and the defaults are filled in. A field that was wrong
// in itself, or is missing, then holds its default or a part of its value: what Check says about it is not shown, nor what
// mentions its name, so that all other mistakes are told at once.
type Checker interface {
	// Check returns nil, a *FieldError, or several of them joined with errors.Join. Any
	// other error is shown at the place of the whole mapping, if nothing else in it is wrong.
	Check() error
}

// Placer is implemented by the Config of a destination that keeps files on this machine. Package config refuses
// a place inside of the data directory, and one that a consumer has alone for a second consumer.
type Placer interface {
	// Place returns what the fields say. It does no I/O and is called after Check, also if that found something.
	Place() Place
}

// Place is where a destination keeps its files.
type Place struct {
	Field string // the yaml name of the field that says it
	Path  string // the file or directory; empty: nowhere
	Alone bool   // only one consumer may write there
}

// Filer is implemented by a Config whose fields name files that are read when it is put to use. Package config reads them after Check, so that
// one that is missing or holds something else is told at its place.
type Filer interface {
	// Files returns them, those that no field names left out. It does no I/O.
	Files() []File
}

// File is a file that a field names.
type File struct {
	Field string // the yaml name of the field, as that of a FieldError
	Path  string

	// Parse returns what is wrong with the content, without the name of the file. It is called in the order of the files, and not for one
	// that cannot be read. Nil: anything is right.
	Parse func(content []byte) error
}

// ValueUnmarshaler is implemented by a type that takes a mapping or a list where a text may
// stand, too; the text goes to UnmarshalText.
type ValueUnmarshaler interface {
	encoding.TextUnmarshaler

	// UnmarshalValue takes the Go values that encoding/json would make of the mapping or
	// list, but whole numbers that fit as int. The error says what was expected; a *FieldError, whose Field is a path in value, is shown at that place.
	UnmarshalValue(value any) error
}

// FieldError says that the value of one field is wrong. It is shown at that field's
// place in the file.
type FieldError struct {
	Field string // its yaml name; with dots below a nested mapping: tls.cert
	Err   error  // what is wrong, without the name of the field
	Hint  string // what to write instead; may be empty
}

// Below returns the path of what a field has at a path: filter and data.event are filter.data.event, filter and [0] are filter[0].
func Below(field, path string) string {
	if field == "" || path == "" || path[0] == '[' {
		return field + path
	}
	return field + "." + path
}

// FieldErrorf returns a *FieldError without a hint, its Err formatted as by fmt.Errorf.
func FieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Error implements error.
func (e *FieldError) Error() string {
	text := fmt.Sprintf("%s: %v", e.Field, e.Err)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

package function

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/errclass"
)

// Bounds of an Error, in bytes.
const (
	MaxType    = 256
	MaxMessage = 8 << 10
	MaxStack   = 32 << 10 // all lines together
	MaxLogTail = 4 << 10
)

// Error is what is known about a call that failed, for its dead letters: what the code said, or what became of its process.
type Error struct {
	Type    string   // the class, such as ValueError or Runtime.ExitError
	Message string   // for a reader
	Stack   []string // outermost frame first or last, as the runtime has it; may be empty
	LogTail []byte   // what the process wrote last; best effort while it lives, whole if it has ended
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Type == "":
		return e.Message
	case e.Message == "":
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// Trim cuts the fields of e to their bounds, makes their texts UTF-8, and returns e.
func (e *Error) Trim() *Error {
	e.Type, e.Message = cut(e.Type, MaxType), cut(e.Message, MaxMessage)
	left := MaxStack
	for i, line := range e.Stack {
		e.Stack[i] = cut(line, left)
		if left -= len(e.Stack[i]); left <= 0 {
			e.Stack = e.Stack[:i+1]
			break
		}
	}
	if over := len(e.LogTail) - MaxLogTail; over > 0 {
		e.LogTail = e.LogTail[over:]
	}
	return e
}

// cut returns the first bytes of text, without half of a rune at the end.
func cut(text string, most int) string {
	if len(text) > most {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text = strings.Clone(text[:most])
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// TooLargeError says that a batch is too large for one call. The code was not called.
type TooLargeError struct {
	Fits  int // the first records of the batch that do fit into one call; 0: not even one, and then the error is Permanent
	Limit int // of one call, in bytes
}

// Error implements error.
func (e *TooLargeError) Error() string {
	if e.Fits == 0 {
		return fmt.Sprintf("a record alone is larger than a call may be, %d bytes", e.Limit)
	}
	return fmt.Sprintf("the batch is larger than a call may be, %d bytes: its first %d records fit", e.Limit, e.Fits)
}

// Permanent marks an error that repeating will not cure: the records are wrong for this function. Permanent(nil) is nil.
func Permanent(err error) error { return errclass.Mark(err, errPermanent) }

// IsPermanent reports whether err is or wraps a Permanent error.
func IsPermanent(err error) bool { return errors.Is(err, errPermanent) }

// Gone marks an error of the function itself: it cannot be started, or is closed. No record was seen, and none is to blame; an
// operator must look, unless it passes. Gone(nil) is nil.
func Gone(err error) error { return errclass.Mark(err, errGone) }

// IsGone reports whether err is or wraps a Gone error.
func IsGone(err error) bool { return errors.Is(err, errGone) }

var (
	errPermanent = errors.New("permanent")
	errGone      = errors.New("gone")
)

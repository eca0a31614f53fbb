// Package session keeps recorded sessions: what went over the connections to a provider, as JSON lines. A Recorder is a
// source.Tape that writes them, without secrets; a Reader reads them. docs/sessions.md describes the format.
package session

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat/source"
)

// MaxLine bounds a line of a recording, so that no file can take more memory.
const MaxLine = 64 << 20

// Entry is one line of a recording.
type Entry struct {
	source.TapeEntry

	// Source and Type are the name and the type of the source; only where Kind is source.TapeOpen.
	Source, Type string
}

// line is the stored form of an Entry.
type line struct {
	Time   time.Time       `json:"t"`
	Conn   int64           `json:"c"`
	Kind   source.TapeKind `json:"k"`
	Data   *string         `json:"d,omitempty"`
	Base64 *string         `json:"b,omitempty"`
	Text   bool            `json:"text,omitempty"` // what b holds came as text, but is none
	Event  string          `json:"event,omitempty"`
	ID     string          `json:"id,omitempty"`
	Code   int             `json:"code,omitempty"`
	Note   string          `json:"note,omitempty"`
	Source string          `json:"source,omitempty"`
	Type   string          `json:"type,omitempty"`
}

// stored returns the stored form of e.
func stored(e *Entry) line {
	l := line{
		Time: e.Time.UTC(), Conn: e.Conn, Kind: e.Kind, Event: e.Event, ID: e.ID, Code: e.Code, Note: e.Note,
		Source: e.Source, Type: e.Type,
	}
	switch {
	case e.Kind == source.TapeClose, e.Note != "" && len(e.Data) == 0:
	case e.Binary || !utf8.Valid(e.Data):
		text := base64.StdEncoding.EncodeToString(e.Data)
		l.Base64, l.Text = &text, !e.Binary
	default:
		text := string(e.Data)
		l.Data = &text
	}
	return l
}

var errKind = errors.New(`"k" is not open, in, out or close`)

// parse reads a line.
func parse(text []byte) (Entry, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Entry{}, err
	}
	e := Entry{Source: l.Source, Type: l.Type, TapeEntry: source.TapeEntry{
		Time: l.Time, Conn: l.Conn, Kind: l.Kind, Event: l.Event, ID: l.ID, Code: l.Code, Note: l.Note,
	}}
	switch l.Kind {
	case source.TapeOpen, source.TapeIn, source.TapeOut, source.TapeClose:
	default:
		return e, errKind
	}
	switch {
	case l.Time.IsZero():
		return e, errors.New(`"t" is missing`)
	case l.Data != nil && l.Base64 != nil:
		return e, errors.New(`"d" and "b" exclude each other`)
	case l.Data != nil:
		e.Data = []byte(*l.Data)
	case l.Base64 != nil:
		data, err := base64.StdEncoding.DecodeString(*l.Base64)
		if err != nil {
			return e, fmt.Errorf(`"b": %w`, err)
		}
		e.Data, e.Binary = data, !l.Text
	}
	return e, nil
}

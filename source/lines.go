package source

import "bytes"

// Lines is the Framing of lines that end in LF or CRLF. An empty line is a keep-alive, and so is one of blanks.
type Lines struct {
	// Whole says that a last line without an end counts, too.
	Whole bool
}

// Scan implements Framing.
func (Lines) Scan(b []byte) (n int, whole bool, err error) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1, true, nil
	}
	return len(b), false, nil
}

// Content implements Framing.
func (Lines) Content(message []byte) []byte {
	content := bytes.TrimSuffix(bytes.TrimSuffix(message, []byte("\n")), []byte("\r"))
	if len(bytes.TrimSpace(content)) == 0 {
		return nil
	}
	return content[:len(content):len(content)]
}

// Rest implements Framing.
func (l Lines) Rest([]byte) bool { return l.Whole }

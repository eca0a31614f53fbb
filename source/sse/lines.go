package sse

import "bytes"

// lines is the framing of lines that end in CR, LF or CRLF. A CR ends its line at once, whether or not a LF follows: that then is
// a message of its own, with nil as its content.
type lines struct {
	cr bool // the last line ended in CR, and what follows has not been seen
	lf bool // this message is the LF behind it
}

// Scan implements source.Framing.
func (l *lines) Scan(b []byte) (n int, whole bool, err error) {
	l.lf = l.cr && b[0] == '\n'
	l.cr = false
	if l.lf {
		return 1, true, nil
	}
	i, before := bytes.IndexByte(b, '\n'), b
	if i >= 0 {
		before = b[:i]
	}
	if cr := bytes.IndexByte(before, '\r'); cr >= 0 {
		i = cr
	}
	switch {
	case i < 0:
		return len(b), false, nil
	case b[i] == '\r' && i+1 == len(b):
		l.cr = true
	case b[i] == '\r' && b[i+1] == '\n':
		return i + 2, true, nil
	}
	return i + 1, true, nil
}

// Content implements source.Framing.
func (l *lines) Content(line []byte) []byte {
	if l.lf {
		return nil
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	return line[:len(line):len(line)]
}

// Rest implements source.Framing.
func (l *lines) Rest([]byte) bool { return false }

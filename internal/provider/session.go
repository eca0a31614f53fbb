package provider

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// maxLine bounds one record of a recording; the longest one known has 0.7 MB.
const maxLine = 64 << 20

// Session is what was recorded of one connection to a provider, and of those that took its place.
type Session struct {
	URL      string
	Type     string // of the source that was recorded; empty: websocket
	Opened   time.Time
	Messages []Message // in the order of the recording
}

// Message is one recorded message. Its Data is never changed once it has been read.
type Message struct {
	Out    bool          // the client sent it
	At     time.Duration // since the connection was opened; negative if the recording says so
	Binary bool
	Data   []byte

	Event, ID string // of a Server-Sent Event

	// End, if it is not nil, tells that the connection ended here. Then this is no message.
	End *End
}

// End is how a recorded connection ended.
type End struct {
	Code   int    // of the close frame
	Reason string // of the close frame
	Ours   bool   // the client ended it
	Broken bool   // there was no close frame
	Silent bool   // it was half-open, until the client gave up
}

// Inbound returns the messages that the provider sent.
func (s *Session) Inbound() []Message {
	return slices.DeleteFunc(slices.Clone(s.Messages), func(m Message) bool { return m.Out || m.End != nil })
}

// ReadSessionFile reads the recording in a file, see ReadSession; or one that leat record has written, if its connections were open one after the
// other.
func ReadSessionFile(path string) (*Session, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	defer file.Close()
	s, err := readOne(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func readOne(file io.ReadSeeker) (*Session, error) {
	head, err := beginning(file)
	if err != nil || !bytes.HasPrefix(head, entryMark) {
		return ReadSession(file)
	}
	sessions, err := readEntries(file)
	if err == nil && len(sessions) > 1 {
		err = fmt.Errorf("read session: it has %d connections at the same time", len(sessions))
	}
	if err != nil {
		return nil, err
	}
	return sessions[0], nil
}

// ReadSession reads a recording, which may be compressed by zstd or gzip. It is made of lines:
//
//	<url> <-> <unix time>          the connection was opened
//	<url> <- <unix time>: <text>   the client sent text
//	<unix time>: <text>            the provider sent text
//
// A text is a text message as it is, or a binary message as a Python bytes literal, b'…' or
// b"…". Empty lines mean nothing. A second opening line with the same URL is a client that
// connected again, and changes nothing.
func ReadSession(r io.Reader) (*Session, error) {
	text, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	defer text.Close()
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	lines.Split(splitLine)
	s := &Session{}
	for n := 1; lines.Scan(); n++ {
		if err := s.add(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("read session: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	if s.URL == "" {
		return nil, errors.New("read session: the recording is empty")
	}
	return s, nil
}

// add takes one line, of which it keeps nothing.
func (s *Session) add(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	if line[0] >= '0' && line[0] <= '9' {
		return s.message(false, line)
	}
	url, rest, _ := bytes.Cut(line, []byte(" "))
	if opened, ok := bytes.CutPrefix(rest, []byte("<-> ")); ok {
		return s.open(string(url), string(opened))
	}
	if sent, ok := bytes.CutPrefix(rest, []byte("<- ")); ok {
		return s.message(true, sent)
	}
	return fmt.Errorf("neither a message nor the opening of a connection: %.40q", line)
}

func (s *Session) open(url, at string) error {
	t, err := parseUnix(at)
	switch {
	case err != nil:
		return err
	case s.URL == "" && url != "":
		s.URL, s.Opened = url, t
		return nil
	case s.URL == url && url != "":
		return nil
	}
	return fmt.Errorf("a connection to %q in a session of %q", url, s.URL)
}

func (s *Session) message(out bool, line []byte) error {
	at, payload, found := bytes.Cut(line, []byte(":"))
	t, err := parseUnix(string(at))
	if !found || err != nil {
		return fmt.Errorf("expected a unix time and a colon, got %.40q", line)
	}
	if s.URL == "" {
		return errors.New("a message before the connection was opened")
	}
	m := Message{Out: out, At: t.Sub(s.Opened)}
	payload = bytes.TrimPrefix(payload, []byte(" "))
	if isLiteral(payload) {
		m.Binary = true
		if m.Data, err = unquote(payload); err != nil {
			return err
		}
	} else {
		m.Data = bytes.Clone(payload)
	}
	s.Messages = append(s.Messages, m)
	return nil
}

// parseUnix reads seconds since 1970 with up to nine decimals, exactly.
func parseUnix(text string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseUint(whole, 10, 36)
	nanos, err2 := strconv.ParseUint((fraction + "000000000")[:9], 10, 32)
	if err != nil || err2 != nil || len(fraction) > 9 {
		return time.Time{}, fmt.Errorf("expected a unix time such as 1618678070.5228748, got %.40q", text)
	}
	return time.Unix(int64(seconds), int64(nanos)), nil
}

// splitLine is bufio.ScanLines, but for leaving a carriage return where it is.
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// decompress looks at the first bytes, not at a file name.
func decompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	head, _ := buffered.Peek(4) // a shorter file is plain
	switch {
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	}
	return io.NopCloser(buffered), nil
}

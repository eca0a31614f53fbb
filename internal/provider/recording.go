package provider

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/session"
)

// ReadRecording reads whatever is known of recordings, told apart by what is in the file:
//
//	what leat record writes         a Session for all connections that were open one after the other
//	the grammar of ReadSession
//	the text of an event stream     as a server sends it
//	an exchange kept by VCR (YAML)  the first answer that is an event stream
//	any other lines                 each a message
//
// The last three have no times: there is a hundredth of a second between two messages.
func ReadRecording(path string) ([]*Session, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	defer file.Close()
	sessions, err := readRecording(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sessions, nil
}

func readRecording(file io.ReadSeeker) ([]*Session, error) {
	begins, err := beginning(file)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	first, _, _ := bytes.Cut(begins, []byte("\n"))
	switch {
	case bytes.HasPrefix(begins, entryMark):
		return readEntries(file)
	case bytes.Contains(first, []byte(" <-> ")), bytes.Contains(first, []byte(" <- ")):
		s, err := ReadSession(file)
		return []*Session{s}, err
	case bytes.HasPrefix(begins, []byte("interactions:")):
		return readWhole(file, fromVCR)
	case bytes.HasPrefix(begins, []byte("event:")), bytes.HasPrefix(begins, []byte("id:")), bytes.HasPrefix(begins, []byte("data:")), bytes.HasPrefix(begins, []byte(":")):
		return readWhole(file, fromEvents)
	}
	return readWhole(file, fromLines)
}

// entryMark begins what leat record writes.
var entryMark = []byte(`{"t":`)

// beginning returns what a recording begins with, and goes back there.
func beginning(file io.ReadSeeker) ([]byte, error) {
	text, err := decompress(file)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(text, head) // what cannot be read is told when it is read again
	_, err = file.Seek(0, io.SeekStart)
	return bytes.TrimLeft(head[:n], "\r\n\ufeff"), err
}

// readEntries reads what leat record has written.
func readEntries(r io.Reader) ([]*Session, error) {
	in, err := session.NewReader(r)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	l := lanes{byConn: map[int64]*lane{}}
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		l.add(&e)
	}
	if len(l.all) == 0 {
		return nil, errors.New("read recording: no connection was opened")
	}
	sessions := make([]*Session, len(l.all))
	for i, lane := range l.all {
		sessions[i] = lane.session
	}
	return sessions, nil
}

// lanes puts connections one behind the other that were not open at the same time.
type lanes struct {
	all    []*lane
	byConn map[int64]*lane
}

type lane struct {
	session *Session
	source  string
	busy    bool
}

func (l *lanes) add(e *session.Entry) {
	if e.Kind == source.TapeOpen {
		l.open(e)
		return
	}
	lane := l.byConn[e.Conn]
	if lane == nil {
		return // a recording that begins in the middle
	}
	s := lane.session
	m := Message{At: e.Time.Sub(s.Opened), Binary: e.Binary, Data: e.Data, Event: e.Event, ID: e.ID}
	switch {
	case e.Kind == source.TapeClose:
		m.End = ending(e)
		lane.busy = false
		delete(l.byConn, e.Conn)
	case e.Data == nil:
		return // a message that was left out
	}
	m.Out = e.Kind == source.TapeOut
	s.Messages = append(s.Messages, m)
}

func (l *lanes) open(e *session.Entry) {
	for _, lane := range l.all {
		if !lane.busy && lane.source == e.Source && lane.session.URL == string(e.Data) {
			lane.busy = true
			l.byConn[e.Conn] = lane
			return
		}
	}
	s := &Session{URL: string(e.Data), Type: e.Type, Opened: e.Time}
	lane := &lane{session: s, source: e.Source, busy: true}
	l.all, l.byConn[e.Conn] = append(l.all, lane), lane
}

func ending(e *session.Entry) *End {
	kind, reason, _ := strings.Cut(e.Note, " ")
	switch source.EndKind(kind) {
	case source.EndClose:
		return &End{Code: e.Code, Reason: reason}
	case source.EndPing, source.EndStall:
		return &End{Silent: true}
	case source.NoteOurs:
		return &End{Ours: true}
	}
	return &End{Broken: true}
}

// apart is the time between messages whose times are not known.
const apart = 10 * time.Millisecond

// readWhole reads a recording without times.
func readWhole(r io.Reader, parse func([]byte) ([]Message, error)) ([]*Session, error) {
	text, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	defer text.Close()
	data, err := io.ReadAll(io.LimitReader(text, 1<<30))
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	messages, err := parse(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read recording: %w", err)
	case len(messages) == 0:
		return nil, errors.New("read recording: it is empty")
	}
	for i := range messages {
		messages[i].At = time.Duration(i) * apart
	}
	return []*Session{{URL: "/", Opened: time.Unix(0, 0), Messages: messages}}, nil
}

func fromLines(data []byte) (messages []Message, err error) {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			messages = append(messages, Message{Data: line})
		}
	}
	return messages, nil
}

// fromEvents reads the text of an event stream. A comment is an empty message.
func fromEvents(data []byte) (messages []Message, err error) {
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	lines.Buffer(nil, maxLine)
	var m Message
	var text []string
	end := func() {
		if len(text) > 0 {
			m.Data = []byte(strings.Join(text, "\n"))
			messages = append(messages, m)
		}
		m, text = Message{}, nil
	}
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			end()
		case name == "" && len(text) == 0:
			messages = append(messages, Message{Data: []byte{}})
		case name == "data":
			text = append(text, value)
		case name == "event":
			m.Event = value
		case name == "id":
			m.ID = value
		}
	}
	end()
	return messages, lines.Err()
}

func fromVCR(data []byte) ([]Message, error) {
	var kept struct {
		Interactions []struct {
			Response struct {
				Body struct {
					String string `yaml:"string"`
				} `yaml:"body"`
				Headers map[string][]string `yaml:"headers"`
			} `yaml:"response"`
		} `yaml:"interactions"`
	}
	if err := yaml.Unmarshal(data, &kept); err != nil {
		return nil, err
	}
	for _, i := range kept.Interactions {
		for name, values := range i.Response.Headers {
			if strings.EqualFold(name, "Content-Type") && strings.HasPrefix(strings.Join(values, ""), "text/event-stream") {
				return fromEvents([]byte(i.Response.Body.String))
			}
		}
	}
	return nil, errors.New("no answer in it is an event stream")
}

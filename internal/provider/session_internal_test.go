package provider

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

const recording = `
wss://example.org/ws?a=b <-> 1618678069.69958
wss://example.org/ws?a=b <- 1618678070.5228748: {"sub":"x: y"}

1618678070.6: {"ack":1}
1618678070.75: b'\x1f\x8b it\'s'

1618678071: b"it's"
wss://example.org/ws?a=b <- 1618678071.25: b'pong'
1618678072.000000001: 
1618678069.5: a clock went back
wss://example.org/ws?a=b <-> 1618678075.5
1618678075.6: ` + "after a reconnect\r\n"

func wantSession() *Session {
	return &Session{
		URL:    "wss://example.org/ws?a=b",
		Opened: time.Unix(1618678069, 699580000),
		Messages: []Message{
			{Out: true, At: 823294800, Data: []byte(`{"sub":"x: y"}`)},
			{At: 900420000, Data: []byte(`{"ack":1}`)},
			{At: 1050420000, Binary: true, Data: []byte("\x1f\x8b it's")},
			{At: 1300420000, Binary: true, Data: []byte("it's")},
			{Out: true, At: 1550420000, Binary: true, Data: []byte("pong")},
			{At: 2300420001, Data: []byte{}},
			{At: -199580000, Data: []byte("a clock went back")},
			{At: 5900420000, Data: []byte("after a reconnect\r")},
		},
	}
}

func TestReadSession(t *testing.T) {
	got, err := ReadSession(strings.NewReader(recording))
	if err != nil || !reflect.DeepEqual(got, wantSession()) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, wantSession())
	}
	if n := len(got.Inbound()); n != 6 {
		t.Errorf("got %d inbound messages, want 6", n)
	}
}

func TestReadSessionFileIsTakenByContentNotByName(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(recording))
	z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"plain": []byte(recording), "gzip": zipped.Bytes(), "zstd": encoder.EncodeAll([]byte(recording), nil),
	} {
		path := filepath.Join(t.TempDir(), "X.ws.1.0")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSessionFile(path)
		if err != nil || !reflect.DeepEqual(got, wantSession()) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestReadSessionTakesLongLines(t *testing.T) {
	long := strings.Repeat("x", 5<<20)
	got, err := ReadSession(strings.NewReader("ws://h <-> 1\n2: " + long))
	if err != nil || len(got.Messages) != 1 || string(got.Messages[0].Data) != long {
		t.Errorf("a line of 5 MiB is lost: %v", err)
	}
}

func TestReadSessionNamesTheLineThatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "the recording is empty",
		"\n\n":                             "the recording is empty",
		"1.5: x":                           "line 1: a message before the connection was opened",
		"ws://h <-> 1\n\nnonsense":         "line 3: neither a message nor the opening",
		"ws://h <-> 1\n1.5 x":              "line 2: expected a unix time and a colon",
		"ws://h <-> 1\n1.0000000001: x":    "line 2: expected a unix time",
		"ws://h <-> 1\nws://other <-> 2":   `line 2: a connection to "ws://other" in a session of "ws://h"`,
		"ws://h <-> now":                   "line 1: expected a unix time such as",
		"ws://h <-> 1\n2: b'\\x1'":         "line 2: bytes literal",
		"ws://h <-> 99999999999999999: x":  "line 1: expected a unix time",
		" <-> 1":                           `line 1: a connection to "" in a session of ""`,
		"\x1f\x8bnot gzip":                 "read session: gzip",
		"ws://h <-> 1\nws://h <- 2 no end": "line 2: expected a unix time and a colon",
	} {
		if _, err := ReadSession(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
	if _, err := ReadSessionFile(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("an absent file is read")
	}
}

// text writes a session in the grammar that ReadSession reads.
func (s *Session) text() string {
	unix := func(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
	var b strings.Builder
	fmt.Fprintf(&b, "%s <-> %s\n", s.URL, unix(s.Opened))
	for _, m := range s.Messages {
		if m.Out {
			b.WriteString(s.URL + " <- ")
		}
		payload := string(m.Data)
		if m.Binary {
			payload = quote(m.Data)
		}
		fmt.Fprintf(&b, "%s: %s\n", unix(s.Opened.Add(m.At)), payload)
	}
	return b.String()
}

func FuzzReadSession(f *testing.F) {
	f.Add([]byte(recording))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadSession(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := ReadSession(strings.NewReader(s.text()))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("written and read again: %v\n%+v\n%+v", err, s, again)
		}
	})
}

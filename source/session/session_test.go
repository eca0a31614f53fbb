package session_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/session"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 5, time.UTC)

func entries() []session.Entry {
	at := func(n int, e source.TapeEntry) session.Entry {
		e.Time, e.Conn = start.Add(time.Duration(n)*time.Millisecond), 1
		return session.Entry{TapeEntry: e}
	}
	open := at(0, source.TapeEntry{Kind: source.TapeOpen, Data: []byte("wss://example.org/ws?cursor=")})
	open.Source, open.Type = "trades", "websocket"
	return []session.Entry{
		open,
		at(1, source.TapeEntry{Kind: source.TapeOut, Data: []byte(`{"op":"subscribe"}`)}),
		at(2, source.TapeEntry{Kind: source.TapeIn, Data: []byte("ünï <&> \u2028 \"quoted\"\n")}),
		at(3, source.TapeEntry{Kind: source.TapeIn, Data: []byte{0, 0xff, 0x1f}, Binary: true}),
		at(4, source.TapeEntry{Kind: source.TapeIn, Data: []byte("not \xff UTF-8")}),
		at(5, source.TapeEntry{Kind: source.TapeIn, Data: []byte{}}),
		at(6, source.TapeEntry{Kind: source.TapeIn, Data: []byte("x"), Event: "update", ID: "[1]"}),
		at(7, source.TapeEntry{Kind: source.TapeIn, Note: "message of 9 bytes left out"}),
		at(8, source.TapeEntry{Kind: source.TapeClose, Code: 1012, Note: "close restart"}),
	}
}

func write(t *testing.T, compress bool, all []session.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := session.NewWriter(&b, compress)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := errors.Join(w.Write(&all[i]), w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t *testing.T, data []byte) (all []session.Entry, torn bool, err error) {
	t.Helper()
	r, err := session.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, r.Torn(), nil
		}
		if err != nil {
			return all, r.Torn(), err
		}
		all = append(all, e)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, compress := range []bool{false, true} {
		got, torn, err := read(t, write(t, compress, entries()))
		if err != nil || torn || !reflect.DeepEqual(got, entries()) {
			t.Errorf("compress %v: %v, torn %v\ngot  %+v\nwant %+v", compress, err, torn, got, entries())
		}
	}
}

func TestATornRecordingIsReadUpToItsTear(t *testing.T) {
	want := entries()
	for _, compress := range []bool{false, true} {
		data := write(t, compress, want)
		least := 0
		for n := range data {
			got, torn, err := read(t, data[:n])
			if err != nil {
				t.Fatalf("compress %v, %d of %d bytes: %v", compress, n, len(data), err)
			}
			if len(got) < least || len(got) > len(want) || len(got) > 0 && !reflect.DeepEqual(got, want[:len(got)]) {
				t.Fatalf("compress %v, %d of %d bytes: %d entries behind %d", compress, n, len(data), len(got), least)
			}
			if !torn && len(got) < len(want) && compress && n > 4 {
				t.Errorf("%d of %d bytes are not torn", n, len(data))
			}
			least = len(got)
		}
		if least < len(want)-1 {
			t.Errorf("compress %v: only %d entries are read of all but the last byte", compress, least)
		}
	}
}

func TestAWrongLineIsNamed(t *testing.T) {
	good := `{"t":"2026-11-25T12:00:00Z","c":1,"k":"in","d":"x"}` + "\n"
	for text, want := range map[string]string{
		"{}\n" + good: `line 1: "k" is not`,
		good + `{"t":"2026-11-25T12:00:00Z","k":"in","d":"x","b":"eA=="}` + "\n":    `line 2: "d" and "b" exclude`,
		good + "\n" + `{"t":"2026-11-25T12:00:00Z","k":"in","b":"!"}` + "\n" + good: `line 3: "b": illegal base64`,
		`{"k":"in"}` + "\n": `line 1: "t" is missing`,
		"nonsense\n" + good: "line 1: invalid character",
	} {
		if _, _, err := read(t, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	long := entries()[:1]
	long = append(long, session.Entry{TapeEntry: source.TapeEntry{Time: start, Conn: 1, Kind: source.TapeIn, Data: bytes.Repeat([]byte{1}, 16<<20)}})
	got, _, err := read(t, write(t, true, long)) // as an escape sequence each byte takes six
	if err != nil || len(got) != 2 || !bytes.Equal(got[1].Data, long[1].Data) || got[1].Binary {
		t.Errorf("%v, %d entries", err, len(got))
	}
	if _, _, err := read(t, append(bytes.Repeat([]byte("x"), session.MaxLine+1), '\n')); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v", err)
	}
}

func TestARecorderStopsAtItsLimit(t *testing.T) {
	var b bytes.Buffer
	w, err := session.NewWriter(&b, false)
	if err != nil {
		t.Fatal(err)
	}
	r := session.NewRecorder(w, session.NewHider([]string{"hunter22"}, nil), 2)
	tape := r.Source("trades", "websocket")
	ctx := source.WithTape(t.Context(), tape)
	one := source.StartTaping(ctx, "ws://h/hunter22")
	for range 3 {
		one.In(source.TapeEntry{Data: []byte("hunter22")})
	}
	<-r.Done()
	two := source.StartTaping(ctx, "ws://h/")
	two.In(source.TapeEntry{Data: []byte("late")})
	one.Left()
	two.Left()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err := read(t, b.Bytes())
	if err != nil || len(got) != 4 || string(got[0].Data) != "ws://h/(secret)" || string(got[2].Data) != "(secret)" || got[3].Note != source.NoteOurs {
		t.Errorf("got %+v, %v", got, err)
	}
	if c := r.Count(); c.Connections != 1 || c.Open != 0 || c.In != 2 || c.Bytes != 16 {
		t.Errorf("counted %+v", c)
	}
}

func TestARecorderHidesWhatIsFoundOutLater(t *testing.T) {
	var b bytes.Buffer
	w, err := session.NewWriter(&b, false)
	if err != nil {
		t.Fatal(err)
	}
	r := session.NewRecorder(w, session.NewHider([]string{"hunter22"}, nil), 0)
	tape := r.Source("trades", "websocket")
	taping := source.StartTaping(source.WithTape(t.Context(), tape), "ws://h/")
	for i := range 300 {
		tape.(source.SecretKeeper).KeepSecret(fmt.Sprintf("token-%d;", i/2))
	}
	taping.Out([]byte("hunter22 token-149 token-100 "+base64.StdEncoding.EncodeToString([]byte("me:token-149;"))), false)
	taping.Left()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err := read(t, b.Bytes())
	if err != nil || len(got) != 3 || string(got[1].Data) != "(secret) (secret) (secret) (secret)" {
		t.Errorf("got %s, %v", got[1].Data, err)
	}
	silent := session.NewRecorder(w, nil, 0).Source("trades", "websocket")
	silent.(source.SecretKeeper).KeepSecret("hunter22") // nothing is hidden there
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestARecorderTellsThatItCannotWrite(t *testing.T) {
	w, err := session.NewWriter(full{}, false)
	if err != nil {
		t.Fatal(err)
	}
	r := session.NewRecorder(w, nil, 0)
	taping := source.StartTaping(source.WithTape(t.Context(), r.Source("s", "websocket")), "ws://h/")
	taping.In(source.TapeEntry{Data: bytes.Repeat([]byte("x"), 1<<20)})
	<-r.Done()
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("got %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"t":"2026-11-25T12:00:00Z","c":1,"k":"open","d":"ws://h/"}` + "\n" + `{"t":"2026-11-25T12:00:01Z","c":1,"k":"in","b":"AA=="}` + "\n"))
	f.Add([]byte(`{"t":"2026-11-25T12:00:00Z","c":1,"k":"close","code":1012,"note":"close"}`))
	f.Add([]byte("{\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4 && bytes.Equal(data[:4], []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			t.Skip("zstd has a fuzz target of its own")
		}
		all, _, err := read(t, data)
		if err != nil {
			return
		}
		once := write(t, false, all)
		again, torn, err := read(t, once)
		if err != nil || torn || !bytes.Equal(write(t, false, again), once) {
			t.Errorf("written and read again: %v", err)
		}
	})
}

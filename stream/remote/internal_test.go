package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// The way for systems without /proc.
func TestALinkShortensADirectory(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	short, release, err := linkDir(long)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(short, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := os.Lstat(filepath.Join(long, SocketName)); err != nil {
		t.Error(err)
	}
	release()
	if _, err := os.Lstat(filepath.Dir(short)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
	t.Setenv("TMPDIR", long)
	if short, _, err := linkDir(long); err == nil {
		t.Errorf("got %s, which is no shorter", short)
	}
	if left, err := filepath.Glob(filepath.Join(long, "leat?*[0-9]")); err != nil || len(left) > 0 {
		t.Errorf("something is left: %v, %v", left, err)
	}
}

func FuzzCommitsSurvive(f *testing.F) {
	f.Add("key", "id", "source", []byte("data"), int64(1), uint64(1))
	f.Add("", "", "", []byte(nil), int64(0), uint64(0))
	f.Add("\xff", "\x00", "\xed\xa0\x80", []byte{0xff, 0}, int64(-62135596800000), uint64(1<<64-1))
	f.Fuzz(func(t *testing.T, key, id, source string, data []byte, ms int64, number uint64) {
		ev := leat.Event{PartitionKey: key, ID: id, Data: data, Time: time.UnixMilli(ms % (1 << 50))}
		if number%2 == 1 {
			ev.HashKey = &leat.Hash{Hi: number}
		}
		c := stream.Commit{
			Puts:  []stream.Put{{Stream: "s", Source: source, Events: []leat.Event{ev, {PartitionKey: id}}}},
			State: []stream.Entry{{Key: key, Value: data}, {Key: id}},
			Marks: []stream.Swap{{Mark: stream.Mark{Key: source, Epoch: number, Value: data}, Was: number / 2}},
		}
		body, err := encode(packCommit(&c))
		if err != nil {
			t.Fatal(err)
		}
		var w wireCommit
		if err := parse(body, &w); err != nil {
			t.Fatal(err)
		}
		got, err := w.commit()
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 { // omitted
			c.Puts[0].Events[0].Data = nil
		}
		if ev.Time.IsZero() {
			c.Puts[0].Events[0].Time = time.Time{}
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v, want %+v", got, c)
		}
		if size := 42 + len(key) + len(id) + len(data); len(data) > 0 && len(body) > 4*(4*size+200) {
			t.Errorf("%d bytes for about %d", len(body), size)
		}
	})
}

func FuzzCommitBodies(f *testing.F) {
	f.Add([]byte(`{"puts":[{"stream":"s","source":"x","events":[{"id":"a","key":"b","hash":"7","time":1,"data":"YQ=="}]}]}`))
	f.Add([]byte(`{"puts":[{"raw":true,"source":"/w==","events":[{"raw":true,"key":"/w=="}]}],"placed":true}`))
	f.Add([]byte(`{"state":[{"key":"k","value":null}],"marks":[{"key":"k","epoch":1,"value":"","was":0}]}`))
	f.Add([]byte(`{"state":[{"key":"%","raw":true}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var w wireCommit
		if parse(body, &w) != nil {
			return
		}
		c, err := w.commit()
		if err != nil {
			if !stream.Refused(err) {
				t.Error(err)
			}
			return
		}
		again, err := encode(packCommit(&c))
		if err != nil {
			t.Fatal(err)
		}
		var w2 wireCommit
		if err := parse(again, &w2); err != nil {
			t.Fatal(err)
		}
		if c2, err := w2.commit(); err != nil {
			t.Fatal(err)
		} else if third, err := encode(packCommit(&c2)); err != nil || !bytes.Equal(third, again) {
			t.Errorf("%s became %s, %v", again, third, err)
		}
	})
}

func FuzzErrors(f *testing.F) {
	f.Add([]byte(`{"error":"no such stream","is":["no_stream"]}`))
	f.Add([]byte(`{"error":"x","gap":{"stream":"s","from":"0","to":"0","reason":"expired","cause":{"error":"y","is":["stopped"]}}}`))
	f.Add([]byte(`{"error":"x","partial":{"refused":[[1],null],"err":{"error":"y"}}}`))
	f.Add([]byte(`{"error":"x","is":["eof","unknown"],"partial":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var w wireError
		if json.Unmarshal(body, &w) != nil {
			return
		}
		err := w.unpack()
		if err.Error() != w.Text {
			t.Errorf("got %q, want %q", err, w.Text)
		}
		if again := packError(err).unpack(); again.Error() != w.Text || stream.Refused(again) != stream.Refused(err) {
			t.Errorf("%v became %v", err, again)
		}
	})
}

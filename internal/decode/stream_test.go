package decode_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/leatstream/leat/internal/decode"
)

// flushed writes the messages of one compressed stream.
type flushed struct {
	t   testing.TB
	out bytes.Buffer
	w   interface {
		io.Writer
		Flush() error
	}
}

func newFlushed(t testing.TB, form string) *flushed {
	t.Helper()
	f := &flushed{t: t}
	if form == "zlib_stream" {
		f.w = zlib.NewWriter(&f.out)
		return f
	}
	w, err := zstd.NewWriter(&f.out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	f.w = w
	return f
}

func (f *flushed) message(data []byte) []byte {
	f.t.Helper()
	f.out.Reset()
	if _, err := f.w.Write(data); err != nil {
		f.t.Fatal(err)
	}
	if err := f.w.Flush(); err != nil {
		f.t.Fatal(err)
	}
	return bytes.Clone(f.out.Bytes())
}

var streams = []string{"zlib_stream", "zstd_stream"}

func TestStreamsKeepTheirContext(t *testing.T) {
	for _, form := range streams {
		f, d := newFlushed(t, form), decoder(t, `["`+form+`"]`, limit)
		sizes := 0
		var kept [][]byte
		want := func(i int) []byte {
			return fmt.Appendf(nil, `{"op":0,"s":%d,"t":"MESSAGE_CREATE","d":%q}`, i, bytes.Repeat([]byte("ab"), i%700))
		}
		for i := range 2000 {
			packed := f.message(want(i))
			sizes += len(packed)
			got, err := d.Decode(packed)
			if err != nil || !bytes.Equal(got, want(i)) {
				t.Fatalf("%s: message %d: got %.80q, %v", form, i, got, err)
			}
			kept = append(kept, got)
		}
		for i := range kept {
			if !bytes.Equal(kept[i], want(i)) {
				t.Fatalf("%s: message %d has changed", form, i)
			}
		}
		t.Logf("%s: %d bytes a message", form, sizes/2000)
	}
}

// Discord: a message ends with 00 00 ff ff, wherever the frames of the WebSocket end.
func TestAZlibStreamJoinsPieces(t *testing.T) {
	f, d := newFlushed(t, "zlib_stream"), decoder(t, `["zlib_stream"]`, limit)
	for i := range 50 {
		want := bytes.Repeat(fmt.Append(nil, i), 300)
		packed := f.message(want)
		cut := i * len(packed) / 50
		if i == 49 {
			cut = len(packed) - 2
		}
		if cut > 0 {
			if got, err := d.Decode(packed[:cut]); got != nil || err != nil {
				t.Fatalf("message %d: the first %d bytes give %q, %v", i, cut, got, err)
			}
		}
		if got, err := d.Decode(packed[cut:]); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: got %.80q, %v", i, got, err)
		}
	}
}

func TestAMessageThatIsTooLargeDoesNotEndAStream(t *testing.T) {
	for _, form := range streams {
		f, d := newFlushed(t, form), decoder(t, `["`+form+`"]`, 10_000)
		for i, size := range []int{100, 10_000, 10_001, 3_000_000, 50, 10_000} {
			got, err := d.Decode(f.message(bytes.Repeat([]byte("0123456789"), size)[:size]))
			var wrong *decode.Error
			switch {
			case size <= 10_000 && (err != nil || len(got) != size):
				t.Errorf("%s: message %d: got %d bytes, %v", form, i, len(got), err)
			case size > 10_000 && (!errors.As(err, &wrong) || !wrong.Large || wrong.Lost):
				t.Errorf("%s: message %d: got %d bytes, %v", form, i, len(got), err)
			}
		}
	}
}

func TestABrokenStreamIsLost(t *testing.T) {
	for _, form := range streams {
		f, d := newFlushed(t, form), decoder(t, `["`+form+`"]`, limit)
		first := f.message([]byte("hello hello hello"))
		if _, err := d.Decode(first); err != nil {
			t.Fatal(err)
		}
		second := f.message(bytes.Repeat([]byte("hello, hello. "), 40))
		for i := range second {
			second[i] ^= 0x5a
		}
		second = append(second, 0, 0, 0xff, 0xff)
		for range 2 {
			var wrong *decode.Error
			if got, err := d.Decode(second); !errors.As(err, &wrong) || !wrong.Lost {
				t.Errorf("%s: got %q, %v", form, got, err)
			}
		}
		d.Close()
		d.Close()
	}
	d := decoder(t, `["zlib_stream"]`, limit)
	var wrong *decode.Error
	if _, err := d.Decode(append(packed(t, "zlib", []byte("x")), 0, 0, 0xff, 0xff)); !errors.As(err, &wrong) || !wrong.Lost {
		t.Errorf("a stream that ends: got %v", err)
	}
}

// Whatever a message unpacks to, it takes no more memory than the limit, and time in bounds.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 16<<20)
	for _, form := range []string{"gzip", "zlib", "deflate", "zstd"} {
		bomb := packed(t, form, zeros)
		d := decoder(t, `["`+form+`"]`, limit)
		for range 3 {
			var wrong *decode.Error
			if got, err := d.Decode(bomb); !errors.As(err, &wrong) || !wrong.Large || len(got) > 0 {
				t.Errorf("%s: %d bytes: got %d bytes, %v", form, len(bomb), len(got), err)
			}
		}
		if got, err := d.Decode(packed(t, form, []byte("next"))); err != nil || string(got) != "next" {
			t.Errorf("%s: behind a bomb got %q, %v", form, got, err)
		}
	}
	many := bytes.Repeat(packed(t, "zstd", zeros[:1<<20]), 1000) // each frame is small enough
	var wrong *decode.Error
	if _, err := decoder(t, `["zstd"]`, limit).Decode(many); !errors.As(err, &wrong) || !wrong.Large {
		t.Errorf("many frames: got %v", err)
	}
	for _, form := range streams {
		d, f := decoder(t, `["`+form+`"]`, limit), newFlushed(t, form)
		for i := range 5 {
			if _, err := d.Decode(f.message(zeros)); !errors.As(err, &wrong) || !wrong.Large || wrong.Lost {
				t.Errorf("%s: message %d: got %v", form, i, err)
			}
		}
	}
	twice := packed(t, "gzip", packed(t, "gzip", zeros))
	if _, err := decoder(t, `["gzip","gzip"]`, limit).Decode(twice); !errors.As(err, &wrong) || !wrong.Large {
		t.Errorf("two layers: got %v", err)
	}
	nils := append([]byte{0xdd, 0, 0x10, 0, 0}, bytes.Repeat([]byte{0xc0}, 1<<20)...) // five bytes of JSON each
	if _, err := decoder(t, `["msgpack"]`, limit).Decode(nils); !errors.As(err, &wrong) || !wrong.Large {
		t.Errorf("msgpack: got %v", err)
	}
	huge := unhex(t, "28b52ffd e0 00000000 01000000 010000") // one segment of 4 GiB
	if _, err := decoder(t, `["zstd"]`, limit).Decode(huge); !errors.As(err, &wrong) {
		t.Errorf("a huge window: got %v", err)
	}
}

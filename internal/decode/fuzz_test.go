package decode_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/leatstream/leat/internal/decode"
)

// chains are those that FuzzDecode tries; the first byte of its input chooses one.
var chains = []struct {
	steps string
	json  bool // whatever it gives is JSON
}{
	{`["gzip"]`, false},
	{`["zlib"]`, false},
	{`["deflate"]`, false},
	{`["zstd"]`, false},
	{`["zlib_stream"]`, false},
	{`["zstd_stream"]`, false},
	{`["base64","gzip"]`, false},
	{`["msgpack"]`, true},
	{`["cbor"]`, true},
	{`[{"cbor":["header","body"]}]`, true},
	{`[{"csv":{"columns":["a","","c"],"numbers":true}}]`, true},
	{`["nmea"]`, true},
	{`[{"nmea":"ais"}]`, true},
	{`[{"json_string":"a.b"},{"member":"a"},"base64","msgpack"]`, false},
}

// FuzzDecode holds that no message does harm, and none takes more than its limit, cut in two or not.
func FuzzDecode(f *testing.F) {
	for i := range chains {
		f.Add(byte(i), byte(3), []byte(`{"a":{"b":"{\"c\":1}"}}`))
	}
	for i, form := range []string{"gzip", "zlib", "deflate", "zstd"} {
		f.Add(byte(i), byte(200), packed(f, form, bytes.Repeat([]byte("abc"), 100)))
	}
	for i, form := range streams {
		w := newFlushed(f, form)
		f.Add(byte(4+i), byte(10), append(w.message([]byte(`{"a":1}`)), w.message([]byte(`{"a":2}`))...))
	}
	f.Add(byte(7), byte(5), unhex(f, "82a7636f6d70616374c3a6736368656d61d6ff5a4af6a5"))
	f.Add(byte(9), byte(5), unhex(f, "a1617401bf6346756ef563416d7421d82a450001711220ff"))
	f.Add(byte(10), byte(5), []byte("1,2,3\n4,\"5\",6\n"))
	f.Add(byte(12), byte(255), []byte("!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C"))
	f.Add(byte(12), byte(44), []byte("!AIVDM,2,1,3,B,55P5TL01VIaAL@7WKO@mBplU@<PDhh000000001S;AJ::4A80?4i@E53,0*3E!AIVDM,2,2,3,B,1@0000000000000,2*55"))
	f.Fuzz(func(t *testing.T, which, cut byte, message []byte) {
		const most = 4096
		c := chains[int(which)%len(chains)]
		d := decoder(t, c.steps, most)
		defer d.Close()
		before := bytes.Clone(message)
		at := min(int(cut), len(message))
		for _, piece := range [][]byte{message[:at], message[at:], message} {
			got, err := d.Decode(piece)
			var wrong *decode.Error
			switch {
			case err != nil && (!errors.As(err, &wrong) || got != nil):
				t.Fatalf("got %q, %v", got, err)
			case len(got) > most && len(got) > len(piece):
				t.Fatalf("%d bytes", len(got))
			case c.json && got != nil && !json.Valid(got):
				t.Fatalf("%q gives %q", piece, got)
			}
		}
		if !bytes.Equal(message, before) {
			t.Fatal("the message has changed")
		}
	})
}

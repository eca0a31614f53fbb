package decode_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/leatstream/leat/internal/decode"
)

const limit = 1 << 20

// chain returns the steps of a chain that is written as in YAML, in JSON.
func chain(t testing.TB, text string) []decode.Step {
	t.Helper()
	var list []any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	steps := make([]decode.Step, len(list))
	for i, item := range list {
		var err error
		if name, ok := item.(string); ok {
			err = steps[i].UnmarshalText([]byte(name))
		} else {
			err = steps[i].UnmarshalValue(item)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return steps
}

func decoder(t testing.TB, text string, most int) *decode.Decoder {
	t.Helper()
	d, err := decode.NewDecoder(chain(t, text), most)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func packed(t testing.TB, form string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	switch form {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zlib":
		w = zlib.NewWriter(&out)
	case "deflate":
		w, _ = flate.NewWriter(&out, 6)
	case "zstd":
		w, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMessagesAreUnpacked(t *testing.T) {
	for _, form := range []string{"gzip", "zlib", "deflate", "zstd"} {
		d := decoder(t, `["`+form+`"]`, limit)
		var kept [][]byte
		for i := range 50 {
			want := bytes.Repeat([]byte{byte('a' + i%26)}, i*i*40)
			got, err := d.Decode(packed(t, form, want))
			if err != nil || !bytes.Equal(got, want) || got == nil {
				t.Fatalf("%s: got %d bytes of %d, %v", form, len(got), len(want), err)
			}
			kept = append(kept, got)
		}
		for i, data := range kept {
			if !bytes.Equal(data, bytes.Repeat([]byte{byte('a' + i%26)}, i*i*40)) {
				t.Fatalf("%s: message %d has changed", form, i)
			}
		}
		whole := packed(t, form, bytes.Repeat([]byte("abc "), 100))
		for name, broken := range map[string][]byte{"cut": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), "xx"...), "empty": {}, "other": []byte(`{"plain":1}`)} {
			var wrong *decode.Error
			if got, err := d.Decode(broken); !errors.As(err, &wrong) || wrong.Large || wrong.Lost || wrong.Step != form {
				if form != "zstd" || name != "empty" { // no frame is no error of zstd
					t.Errorf("%s, %s: got %q, %v", form, name, got, err)
				}
			}
		}
		if got, err := d.Decode(whole); err != nil || len(got) != 400 {
			t.Errorf("%s: behind errors got %d bytes, %v", form, len(got), err)
		}
	}
}

func TestNothingToDoTakesNoMemory(t *testing.T) {
	for _, text := range []string{`[]`, `["text"]`, `[{"member":"a"}]`} {
		d, message := decoder(t, text, limit), []byte(`{"a":{"b":1}}`)
		if n := testing.AllocsPerRun(100, func() { _, _ = d.Decode(message) }); n > 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
	d, message := decoder(t, `["gzip"]`, limit), packed(t, "gzip", []byte(`{"a":{"b":1}}`))
	if n := testing.AllocsPerRun(1000, func() { _, _ = d.Decode(message) }); n > 0.5 {
		t.Errorf("gzip: %v allocations", n)
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ chain, message, want string }{
		{`["base64"]`, "eyJhIjoxfQ==", `{"a":1}`},
		{`["base64"]`, "eyJhIjoxfQ", `{"a":1}`},
		{`["base64"]`, "-_8", "\xfb\xff"},
		{`["base64"]`, "+/8=", "\xfb\xff"},
		{`["text"]`, "as it is\n", "as it is\n"},
		{`[{"json_string":"payload"}]`, `{"event":"update","payload":"{\"id\":\"1\",\"n\":[1]}","x":1}`, `{"event":"update","payload":{"id":"1","n":[1]},"x":1}`},
		{`[{"json_string":"payload"}]`, `{"event":"delete","payload":"123"}`, `{"event":"delete","payload":"123"}`},
		{`[{"json_string":"payload"}]`, `{"payload":"{\"id\":"}`, `{"payload":"{\"id\":"}`},
		{`[{"json_string":"payload"}]`, `{"payload":{"id":1}}`, `{"payload":{"id":1}}`},
		{`[{"json_string":"a[1].p"}]`, `{"a":[0,{"p":" [] "}]}`, `{"a":[0,{"p":[]}]}`},
		{`[{"json_string":"a"},{"json_string":"a.b"}]`, `{"a":"{\"b\":\"{}\"}"}`, `{"a":{"b":{}}}`},
		{`[{"member":"M[0].A[0]"},"base64"]`, `{"M":[{"A":["eyJhIjoxfQ=="]}]}`, `{"a":1}`},
		{`[{"member":"M[0].A[0]"},"base64"]`, `{}`, `{}`},
		{`[{"member":"a"}]`, `{"a":"x\ny"}`, "x\ny"},
		{`[{"csv":["a","","c"]}]`, "1,2,\"x \"\"y\"\"\"\r\n", `{"a":"1","c":"x \"y\""}`},
		{`[{"csv":["a","b"]}]`, "1,2\n3,4\n", `[{"a":"1","b":"2"},{"a":"3","b":"4"}]`},
		{`[{"csv":{"columns":["a","b","c"],"comma":";","numbers":true}}]`, "1.5;01;-x", `{"a":1.5,"b":"01","c":"-x"}`},
		{`["nmea"]`, "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n", "{\"talker\":\"AI\",\"type\":\"VDM\",\"fields\":[\"1\",\"1\",\"\",\"B\",\"177KQJ5000G?tO`K>RA1wUbN0TKH\",\"0\"]}"},
		{`["nmea"]`, "$PX,1*15", `{"talker":"P","type":"X","fields":["1"]}`},
		{`["nmea"]`, `\s:r1,c:5*4A\$GPX,*63`, `{"talker":"GP","type":"X","fields":[""],"tag":{"s":"r1","c":"5"}}`},
		{`[{"nmea":"ais"}]`, "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C", "{\"talker\":\"AI\",\"type\":\"VDM\",\"fields\":[\"1\",\"1\",\"\",\"B\",\"177KQJ5000G?tO`K>RA1wUbN0TKH\",\"0\"],\"ais\":{\"type\":1,\"mmsi\":477553000,\"status\":5,\"sog\":0,\"lon\":-122.34583333333333,\"lat\":47.58283333333333,\"cog\":51,\"heading\":181}}"},
	} {
		got, err := decoder(t, c.chain, limit).Decode([]byte(c.message))
		if err != nil || string(got) != c.want {
			t.Errorf("%s of %q: got %q, %v", c.chain, c.message, got, err)
		}
	}
}

func TestBinaryFormats(t *testing.T) {
	for _, c := range []struct{ chain, message, want string }{
		// RFC 8949, appendix A
		{`["cbor"]`, "1bffffffffffffffff", `18446744073709551615`},
		{`["cbor"]`, "3bffffffffffffffff", `-18446744073709551616`},
		{`["cbor"]`, "c249010000000000000000", `18446744073709551616`},
		{`["cbor"]`, "c349010000000000000000", `-18446744073709551617`},
		{`["cbor"]`, "3903e7", `-1000`},
		{`["cbor"]`, "f93c00", `1`},
		{`["cbor"]`, "f90001", `5.960464477539063e-08`},
		{`["cbor"]`, "f9c400", `-4`},
		{`["cbor"]`, "fb3ff199999999999a", `1.1`},
		{`["cbor"]`, "fa47c35000", `100000`},
		{`["cbor"]`, "f97c00", `null`},
		{`["cbor"]`, "f7", `null`},
		{`["cbor"]`, "c074323031332d30332d32315432303a30343a30305a", `"2013-03-21T20:04:00Z"`},
		{`["cbor"]`, "4401020304", `{"$bytes":"AQIDBA"}`},
		{`["cbor"]`, "62c3bc", `"ü"`},
		{`["cbor"]`, "a201020304", `{"1":2,"3":4}`},
		{`["cbor"]`, "5f42010243030405ff", `{"$bytes":"AQIDBAU"}`},
		{`["cbor"]`, "7f657374726561646d696e67ff", `"streaming"`},
		{`["cbor"]`, "9f018202039f0405ffff", `[1,[2,3],[4,5]]`},
		{`["cbor"]`, "bf6346756ef563416d7421ff", `{"Fun":true,"Amt":-2}`},
		{`["cbor"]`, "d82a450001711220", `{"$link":"bafyreia"}`},
		{`[{"cbor":["header","body"]}]`, "a16174 01 a0", `{"header":{"t":1},"body":{}}`},
		{`["msgpack"]`, "82a7636f6d70616374c3a6736368656d6100", `{"compact":true,"schema":0}`},
		{`["msgpack"]`, "dc0003ff d1ff00 cf8000000000000000", `[-1,-256,9223372036854775808]`},
		{`["msgpack"]`, "93ca3fc00000cb3ff199999999999ac0", `[1.5,1.1,null]`},
		{`["msgpack"]`, "92c403010203d6ff5a4af6a5", `[{"$bytes":"AQID"},"2018-01-02T03:04:05Z"]`},
		{`["msgpack"]`, "d7ffa1dcd7c85a4af6a5", `"2018-01-02T03:04:05.678901234Z"`},
		{`["msgpack"]`, "d40701", `{"$type":7,"$bytes":"AQ"}`},
		{`["msgpack"]`, "d902ff0a", `"\ufffd\n"`},
		{`["msgpack"]`, "8105a0", `{"5":""}`},
	} {
		got, err := decoder(t, c.chain, limit).Decode(unhex(t, c.message))
		want := strings.ReplaceAll(c.want, `\ufffd`, "\ufffd")
		if err != nil || string(got) != want || !json.Valid(got) {
			t.Errorf("%s of %s: got %s, %v", c.chain, c.message, got, err)
		}
	}
}

func TestBrokenMessagesAreErrors(t *testing.T) {
	deep := strings.Repeat("81", 300) + "01"
	for _, c := range []struct{ chain, message, want string }{
		{`["cbor"]`, "", "ends too early"},
		{`["cbor"]`, "9b00000000ffffffff", "ends too early"},
		{`["cbor"]`, "5bffffffffffffffff00", "ends too early"},
		{`["cbor"]`, "0101", "bytes behind"},
		{`["cbor"]`, "1c", "begins nothing"},
		{`["cbor"]`, "ff", "has not begun"},
		{`["cbor"]`, "5f6161ff", "another kind"},
		{`["cbor"]`, "d82a4101", "a link that is none"},
		{`["cbor"]`, "d82a01", "before no bytes"},
		{`["cbor"]`, deep, "nested more than"},
		{`[{"cbor":["header","body"]}]`, "01", "body: it ends too early"},
		{`["msgpack"]`, "c1", "begins nothing"},
		{`["msgpack"]`, "ddffffffff", "ends too early"},
		{`["msgpack"]`, "c6ffffffff00", "ends too early"},
		{`["msgpack"]`, strings.ReplaceAll(deep, "81", "91"), "nested more than"},
		{`["nmea"]`, hex.EncodeToString([]byte("$GPX,1*00")), "its checksum is 00, which should be"},
		{`["nmea"]`, hex.EncodeToString([]byte("GPX")), "begins neither with $"},
		{`["nmea"]`, hex.EncodeToString([]byte("$GPX,1")), "no checksum"},
		{`["nmea"]`, hex.EncodeToString([]byte(`\s:1`)), "tag block"},
		{`["base64"]`, hex.EncodeToString([]byte("!")), "illegal base64"},
		{`[{"csv":["a","b"]}]`, hex.EncodeToString([]byte("1,2,3")), "wrong number of fields"},
		{`[{"csv":["a","b"]}]`, "", "there is no row"},
	} {
		var wrong *decode.Error
		got, err := decoder(t, c.chain, limit).Decode(unhex(t, c.message))
		if !errors.As(err, &wrong) || wrong.Large || wrong.Lost || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %.40s: got %q, %v", c.chain, c.message, got, err)
		}
	}
}

func TestStepsAreCheckedBeforeTheyAreUsed(t *testing.T) {
	for text, want := range map[string]string{
		`"gzipp"`:                                `unknown step "gzipp": there are base64`,
		`{"gzip":9}`:                             `gzip: it has no option`,
		`"json_string"`:                          `json_string: it needs a path`,
		`{"json_string":"a b"}`:                  `expected a path`,
		`{"member":"a[]"}`:                       `must name one member`,
		`{"zstd":7}`:                             `the file of a dictionary`,
		`"csv"`:                                  `expected a mapping with columns`,
		`{"csv":{"column":["a"]}}`:               `unknown option "column"`,
		`{"csv":{"columns":["a","a"]}}`:          `"a" is there twice`,
		`{"csv":{"columns":"a"}}`:                `expected a list of columns`,
		`{"csv":{"columns":["a"],"comma":"::"}}`: `comma: expected one character`,
		`{"csv":{"columns":["a"],"numbers":1}}`:  `numbers: expected true or false`,
		`{"cbor":"sequence"}`:                    `expected a list of names`,
		`{"cbor":[1]}`:                           `got 1 in it`,
		`{"nmea":"all"}`:                         `its only option is ais`,
		`{"gzip":null,"zlib":null}`:              `expected the name of a step`,
		`["gzip"]`:                               `expected the name of a step`,
	} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		var s decode.Step
		var err error
		if name, ok := value.(string); ok {
			err = s.UnmarshalText([]byte(name))
		} else {
			err = s.UnmarshalValue(value)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing.zdict")
	s, err := decode.NewStep("zstd", missing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode.NewDecoder([]decode.Step{s}, limit); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(missing, []byte("no dictionary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zstd", "zstd_stream"} {
		s, _ := decode.NewStep(name, missing)
		if _, err := decode.NewDecoder([]decode.Step{s}, limit); err == nil || !strings.Contains(err.Error(), "dictionary") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

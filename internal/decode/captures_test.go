package decode_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"

	"github.com/leatstream/leat/internal/provider"
)

// recorded returns a recorded file, or skips the test.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	root := os.Getenv("LEAT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatalf("LEAT_TEST_ALL is set, but the recorded data is absent: %v", err)
		}
		t.Skipf("the recorded data is absent; LEAT_DATA names its folder: %v", err)
	}
	if !strings.HasSuffix(name, ".zst") {
		return data
	}
	r, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return data
}

// received returns what the provider sent in a recorded session.
func received(t *testing.T, name string) [][]byte {
	t.Helper()
	s, err := provider.ReadSession(bytes.NewReader(recorded(t, "ws-cryptofeed/"+name)))
	if err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	for _, m := range s.Messages {
		if !m.Out {
			messages = append(messages, m.Data)
		}
	}
	return messages
}

func TestRecordedGzip(t *testing.T) {
	d, longest, pings := decoder(t, `["gzip"]`, limit), 0, 0
	messages := received(t, "HUOBI.ws.44.0.zst")
	for i, m := range messages {
		got, err := d.Decode(m)
		if err != nil || !json.Valid(got) {
			t.Fatalf("message %d: %.80q, %v", i, got, err)
		}
		longest = max(longest, len(got))
		if gjson.GetBytes(got, "ping").Exists() {
			pings++
		}
	}
	if len(messages) != 362 || longest != 7194 || pings != 6 {
		t.Errorf("got %d messages, the longest of %d bytes, %d pings", len(messages), longest, pings)
	}
}

func TestRecordedSignalR(t *testing.T) {
	d, unpacked := decoder(t, `[{"member":"M[0].A[0]"},"base64","deflate"]`, limit), 0
	for i, m := range received(t, "BITTREX.ws.1.0.zst") {
		got, err := d.Decode(m)
		if err != nil && strings.Contains(string(m), `"M":"heartbeat"`) {
			continue
		}
		if err != nil || !json.Valid(got) {
			t.Fatalf("message %d: %.200q gives %.80q, %v", i, m, got, err)
		}
		if !bytes.Equal(got, m) {
			unpacked++
		}
	}
	t.Logf("%d unpacked", unpacked)
	if unpacked < 1000 {
		t.Errorf("only %d messages were packed", unpacked)
	}
}

func TestRecordedFirehose(t *testing.T) {
	frames := recorded(t, "bluesky/frames.bin.zst")
	d := decoder(t, `[{"cbor":["header","body"]}]`, limit)
	n, next := 0, int64(31527015322)
	for len(frames) > 0 {
		size := binary.LittleEndian.Uint32(frames)
		frame := frames[4 : 4+size]
		frames = frames[4+size:]
		got, err := d.Decode(frame)
		if err != nil || !json.Valid(got) {
			t.Fatalf("frame %d: %v", n, err)
		}
		seq, op := gjson.GetBytes(got, "body.seq").Int(), gjson.GetBytes(got, "header.op").Int()
		if seq != next || op != 1 {
			t.Fatalf("frame %d: sequence %d, op %d", n, seq, op)
		}
		if gjson.GetBytes(got, "header.t").Str == "#commit" {
			link := gjson.GetBytes(got, `body.commit.\$link`).Str
			if !strings.HasPrefix(link, "bafyrei") || len(link) != 59 || !gjson.GetBytes(got, `body.blocks.\$bytes`).Exists() {
				t.Fatalf("frame %d: the link %q", n, link)
			}
		}
		n, next = n+1, next+1
	}
	if n != 150 {
		t.Errorf("%d frames", n)
	}
}

func TestRecordedDictionary(t *testing.T) {
	for _, name := range []string{"bluesky/internal__subscribe__dictionaries__legacy_subscribe.zdict", "bluesky/internal__subscribe__dictionaries__subscribe_events_20260811.zdict"} {
		dictionary := recorded(t, name)
		file := filepath.Join(t.TempDir(), "dictionary")
		if err := os.WriteFile(file, dictionary, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary))
		if err != nil {
			t.Fatal(err)
		}
		d, without := decoder(t, `[{"zstd":"`+file+`"}]`, limit), decoder(t, `["zstd"]`, limit)
		lines := bytes.Split(bytes.TrimSpace(recorded(t, "bluesky/internal__corpus__testdata__expected_v1.jsonl.zst")), []byte("\n"))
		sum := 0
		for i, line := range lines {
			packed := w.EncodeAll(line, nil)
			sum += len(packed)
			if got, err := d.Decode(packed); err != nil || !bytes.Equal(got, line) {
				t.Fatalf("%s: message %d: %v", name, i, err)
			}
			if _, err := without.Decode(packed); err == nil {
				t.Fatalf("%s: message %d needs no dictionary", name, i)
			}
		}
		t.Logf("%d messages, %d bytes packed", len(lines), sum)
	}
}

func TestRecordedAIS(t *testing.T) {
	data := recorded(t, "ais/dma_stream_example.txt.zst")
	d, plain := decoder(t, `[{"nmea":"ais"}]`, limit), decoder(t, `["nmea"]`, limit)
	sentences, messages, wrong, others := 0, 0, 0, 0
	vessels, kinds := map[int64]bool{}, map[int64]int{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if got, err := plain.Decode(line); err == nil && !json.Valid(got) {
			t.Fatalf("%q gives %q", line, got)
		}
		if bytes.HasPrefix(line, []byte("$PGHP")) {
			others++
			continue
		}
		sentences++
		got, err := d.Decode(line)
		switch {
		case err != nil:
			wrong++
			t.Logf("%q: %v", line, err)
		case got != nil:
			messages++
			if !json.Valid(got) {
				t.Fatalf("%q gives %q", line, got)
			}
			vessels[gjson.GetBytes(got, "ais.mmsi").Int()] = true
			kind := gjson.GetBytes(got, "ais.type").Int()
			if kind == 2 || kind == 3 { // position reports, as 1
				kind = 1
			}
			kinds[kind]++
			if lat := gjson.GetBytes(got, "ais.lat"); lat.Exists() && (lat.Num < -90 || lat.Num > 90) {
				t.Errorf("%q: latitude %v", line, lat.Num)
			}
		}
	}
	t.Logf("%d sentences, %d others, %d messages of %d vessels and %d types %v, %d errors", sentences, others, messages, len(vessels), len(kinds), kinds, wrong)
	if sentences != 4500 || messages != 4049 || len(vessels) != 1931 || len(kinds) != 15 || wrong != 2 {
		t.Error("these are not the numbers of a full decoder: 4049 messages of 1931 vessels and 15 types, 2 errors")
	}
}

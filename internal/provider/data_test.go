package provider_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/leatstream/leat/internal/provider"
)

// dataFolder returns the folder with recorded data, or skips the test.
func dataFolder(t *testing.T, sub string) string {
	t.Helper()
	root := os.Getenv("LEAT_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	folder := filepath.Join(root, sub)
	if _, err := os.Stat(folder); err != nil {
		if os.Getenv("LEAT_TEST_ALL") == "1" {
			t.Fatalf("LEAT_TEST_ALL=1, but the recorded data is absent: %v", err)
		}
		t.Skipf("the recorded data is absent; LEAT_DATA names its folder: %v", err)
	}
	return folder
}

// oracle is what ORACLES.json says of one recording.
type oracle struct {
	Inbound  int `json:"inbound"`
	Outbound int `json:"outbound"`
	Binary   int `json:"binary_inbound"`
	Distinct int `json:"distinct_payloads"`
	Repeated int `json:"payloads_repeated_exactly"`
}

func measure(s *provider.Session) oracle {
	var o oracle
	seen := map[string]bool{}
	for _, m := range s.Messages {
		if m.Out {
			o.Outbound++
			continue
		}
		o.Inbound++
		if m.Binary {
			o.Binary++
		}
		if seen[string(m.Data)] {
			o.Repeated++
		}
		seen[string(m.Data)] = true
	}
	o.Distinct = len(seen)
	return o
}

func TestRecordedSessionsAreReadWhole(t *testing.T) {
	folder := dataFolder(t, "ws-cryptofeed")
	text, err := os.ReadFile(filepath.Join(filepath.Dir(folder), "ORACLES.json"))
	if err != nil {
		t.Fatal(err)
	}
	var oracles struct {
		WS map[string]oracle `json:"ws"`
	}
	if err := json.Unmarshal(text, &oracles); err != nil {
		t.Fatal(err)
	}
	if len(oracles.WS) != 22 {
		t.Errorf("ORACLES.json knows %d recordings, want 22", len(oracles.WS))
	}
	for name, want := range oracles.WS {
		s, err := provider.ReadSessionFile(filepath.Join(folder, name+".zst"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := measure(s); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestBinaryRecordingsAreUnescapedExactly(t *testing.T) {
	folder := dataFolder(t, "ws-cryptofeed")
	for name, decode := range map[string]func([]byte) ([]byte, error){
		"HUOBI.ws.44.0": gunzip, // the checksum of gzip tells
		"UPBIT.ws.62.0": func(data []byte) ([]byte, error) { return data, nil },
	} {
		s, err := provider.ReadSessionFile(filepath.Join(folder, name+".zst"))
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range s.Inbound() {
			if text, err := decode(m.Data); err != nil || !json.Valid(text) {
				t.Errorf("%s: message %d: %v, %q", name, i, err, text)
			}
		}
	}
}

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

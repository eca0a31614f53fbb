package websocket_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/source/websocket"
)

var update = flag.Bool("update", false, "write the expected diagnostics under testdata/golden anew")

// What is wrong in a configuration is told at its place.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	adapters := config.Adapters{Sources: map[string]func() any{"websocket": func() any { return new(websocket.Config) }}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, diagnostics := config.Load([]config.Input{{Name: "leat.yaml", Text: text}}, adapters, func(string) (string, bool) { return "", false })
		var out strings.Builder
		if err := diagnostics.Print(&out, config.PrintOptions{}); err != nil {
			t.Fatal(err)
		}
		expected := strings.TrimSuffix(file, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(expected, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(expected)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s: got:\n%s\nwant:\n%s", file, out.String(), want)
		}
	}
}

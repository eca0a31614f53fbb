package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
)

var update = flag.Bool("update", false, "write the expected diagnostics under testdata/golden anew")

// golden returns the texts of the golden set by name.
func golden(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(text)
	}
	return texts
}

func printed(t testing.TB, d config.Diagnostics) string {
	t.Helper()
	var out strings.Builder
	if err := d.Print(&out, config.PrintOptions{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	for name, text := range golden(t) {
		t.Run(name, func(t *testing.T) {
			_, diagnostics := load(text)
			got := printed(t, diagnostics)
			file := filepath.Join("testdata/golden", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestEveryCodeIsInTheGoldenSet(t *testing.T) {
	raised := map[string]bool{}
	for _, text := range golden(t) {
		_, diagnostics := load(text)
		for _, d := range diagnostics {
			raised[d.Code] = true
		}
	}
	explained := map[string]bool{}
	for _, c := range config.Codes() {
		explained[c.Code] = true
		if !raised[c.Code] {
			t.Errorf("%s is explained, but no golden file raises it", c.Code)
		}
	}
	for code := range raised {
		if !explained[code] {
			t.Errorf("%s is raised, but not explained", code)
		}
	}
	for code := range codesInSource(t) {
		if !explained[code] {
			t.Errorf("%s stands in the source, but is not explained", code)
		}
	}
}

// codesInSource returns every text in the source of the package that looks like a code.
func codesInSource(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(config\.[a-z_]+)"`).FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
	}
	return found
}

func TestTheExamplesOfEveryCodeAreTrue(t *testing.T) {
	for _, c := range config.Codes() {
		if c.Title == "" || c.Text == "" || c.Severity == "" {
			t.Errorf("%s is not explained", c.Code)
		}
		_, wrong := load(c.Wrong)
		if len(wrong) != 1 || wrong[0].Code != c.Code || wrong[0].Severity != c.Severity {
			t.Errorf("%s: its wrong example gives\n%s", c.Code, printed(t, wrong))
		}
		_, right := load(c.Right)
		if c.Code != "config.idle" {
			right = faults(right)
		}
		if len(right) != 0 {
			t.Errorf("%s: its right example gives\n%s", c.Code, printed(t, right))
		}
	}
}

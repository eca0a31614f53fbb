package leat_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/examples"
	"github.com/leatstream/leat/pipeline"
)

// documents returns the Markdown files of the module by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all[filepath.ToSlash(name)] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/FORMAT.md", "docs/config.md", "docs/operations.md"} {
		if all[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	return all
}

var fence = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

func TestConfigurationsInDocumentsAreValid(t *testing.T) {
	checked := 0
	for name, text := range documents(t) {
		for _, block := range fence.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(block[1], "sources:") || !strings.Contains(block[1], "streams:") {
				continue // a part of a file
			}
			checked++
			check(t, name, block[1])
		}
	}
	check(t, "examples/bike-race/leat.yaml", string(examples.BikeRace))
	if checked == 0 {
		t.Error("no document holds a configuration")
	}
}

func check(t *testing.T, name, text string) {
	t.Helper()
	_, d := config.Load([]config.Input{{Name: name, Text: []byte(text)}}, pipeline.Adapters(), func(string) (string, bool) { return "", false })
	if d.Errors()+d.Warnings() > 0 {
		var out strings.Builder
		_ = d.Print(&out, config.PrintOptions{})
		t.Errorf("%s:\n%s", name, out.String())
	}
}

var link = regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

var testName = regexp.MustCompile(`\b(Test|Benchmark|Fuzz)[A-Z][A-Za-z0-9]+\b`)

func TestTestsNamedInDocumentsExist(t *testing.T) {
	defined := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, m := range regexp.MustCompile(`(?m)^func ((Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(f.text, -1) {
			defined[m[1]] = true
		}
	}
	for name, text := range documents(t) {
		for _, test := range testName.FindAllString(text, -1) {
			if !defined[test] && !strings.HasSuffix(test, "Xxx") {
				t.Errorf("%s names %s, which does not exist", name, test)
			}
		}
	}
}

package config_test

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
)

var lineEnds = regexp.MustCompile("\r\n|\n|\r|\u0085|\u2028|\u2029")

// FuzzLoad loads two files of any content: Load never panics, every diagnostic is at a
// place inside of its file, and without an error the configuration is complete.
func FuzzLoad(f *testing.F) {
	for _, text := range golden(f) {
		first, second, _ := strings.Cut(text, "--- # second file\n")
		f.Add([]byte(first), []byte(second))
	}
	for _, c := range config.Codes() {
		f.Add([]byte(c.Wrong), []byte(c.Right))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		inputs := []config.Input{{Name: "a", Text: first}, {Name: "b", Text: second}}
		cfg, diagnostics := config.LoadHermetic(inputs, stubs, env, map[string]string{"/run/x": "from a file"})
		lines := map[string][]string{}
		for _, in := range inputs {
			lines[in.Name] = lineEnds.Split(strings.TrimPrefix(string(in.Text), "\ufeff"), -1)
		}
		for _, d := range diagnostics {
			inside(t, d, lines)
		}
		if err := diagnostics.Print(io.Discard, config.PrintOptions{Limit: len(diagnostics)}); err != nil {
			t.Error(err)
		}
		if _, err := json.Marshal(diagnostics); err != nil {
			t.Error(err)
		}
		if diagnostics.Err() == nil {
			complete(t, cfg)
		}
	})
}

func inside(t *testing.T, d config.Diagnostic, lines map[string][]string) {
	t.Helper()
	for _, p := range append([]config.Related{{Position: d.Position}}, d.Related...) {
		file := lines[p.File]
		if p.Line < 1 || p.Line > len(file) || p.Column < 1 || p.Column > len([]rune(file[p.Line-1]))+1 {
			t.Errorf("%s: not inside of the file: %s", p.Position, d)
		}
	}
	last := []rune(d.Excerpt.Lines[len(d.Excerpt.Lines)-1].Text)
	if d.EndColumn <= d.Column || d.Excerpt.Start > len(last) || d.Excerpt.End <= d.Excerpt.Start {
		t.Errorf("wrong mark: %s to %d, %+v", d.Position, d.EndColumn, d.Excerpt)
	}
	if d.Message == "" || d.Severity == "" || lineEnds.MatchString(d.Message+d.Hint) {
		t.Errorf("wrong text: %q", d)
	}
}

func complete(t *testing.T, cfg *config.Config) {
	t.Helper()
	for _, s := range cfg.Sources {
		if s.Name == "" || s.Stream == "" || s.Adapter == nil || s.Settings.Connections == 0 {
			t.Errorf("incomplete source %+v", s)
		}
	}
	for _, c := range cfg.Consumers {
		if c.Name == "" || c.Stream == "" || c.Destination.Adapter == nil || c.Settings.DeadLetters == "" {
			t.Errorf("incomplete consumer %+v", c)
		}
	}
	for _, s := range cfg.Streams {
		if s.Name == "" || s.Shards == 0 || s.Retention == 0 {
			t.Errorf("incomplete stream %+v", s)
		}
	}
}

package config_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
)

// place is what a diagnostic is about, and where.
type place struct {
	file         string
	line, column int
	code         string
	says         string
}

var sixMistakes = []place{
	{"leat.yaml", 3, 13, "config.type", `expected an integer, got the string "many"`},
	{"leat.yaml", 8, 5, "config.unknown_field", `did you mean "url"?`},
	{"leat.yaml", 8, 10, "config.unset_variable", `FEED_URL is not set`},
	{"leat.yaml", 9, 13, "config.unknown_stream", `did you mean "clicks"?`},
	{"leat.yaml", 11, 11, "config.unknown_type", `did you mean "websocket"?`},
	{"leat.yaml", 19, 7, "config.misplaced_field", `is a field of consumers[], not of destination; move it 2 columns to the left`},
}

func sixMistakesFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/golden/six_mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func expect(t *testing.T, got config.Diagnostics, want []place) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d diagnostics, want %d:\n%s", len(got), len(want), printed(t, got))
	}
	for i, d := range got {
		w := want[i]
		if d.File != w.file || d.Line != w.line || d.Column != w.column || d.Code != w.code || !strings.Contains(d.String(), w.says) {
			t.Errorf("got  %s\nwant %s:%d:%d: …%s… [%s]", d, w.file, w.line, w.column, w.says, w.code)
		}
	}
}

func TestSixMistakesGiveSixDiagnostics(t *testing.T) {
	_, diagnostics := load(sixMistakesFile(t))
	expect(t, diagnostics, sixMistakes)
	if got := diagnostics.Summary(); got != "6 errors, 0 warnings in leat.yaml" {
		t.Error(got)
	}
}

func TestEncodingAndLineEndsDoNotMoveDiagnostics(t *testing.T) {
	text := sixMistakesFile(t)
	_, plain := load(text)
	for name, variant := range map[string]string{
		"CRLF":              strings.ReplaceAll(text, "\n", "\r\n"),
		"CR":                strings.ReplaceAll(text, "\n", "\r"),
		"byte order mark":   "\ufeff" + text,
		"BOM and CRLF":      "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"),
		"no last line end":  strings.TrimSuffix(text, "\n"),
		"blanks at the end": strings.ReplaceAll(text, "\n", "  \n"),
	} {
		_, got := load(variant)
		expect(t, got, sixMistakes)
		if withoutBlanks := strings.ReplaceAll(printed(t, got), "  \n", "\n"); withoutBlanks != printed(t, plain) {
			t.Errorf("%s:\n%s", name, withoutBlanks)
		}
	}
	_, tabs := load(strings.ReplaceAll(text, "\n", "\t# ä\tcomment\n\t\t# and a line\n"))
	moved := slices.Clone(sixMistakes)
	for i := range moved {
		moved[i].line = 2*moved[i].line - 1
	}
	expect(t, tabs, moved)
}

func TestColumnsCountCharacters(t *testing.T) {
	_, diagnostics := load(`streams: {"日本": {retention: 30}, ` + "\t" + `"é": {shards: many}, ok: {shards: 1}}`)
	var got []string
	for _, d := range diagnostics {
		got = append(got, fmt.Sprintf("%d:%d-%d %s", d.Line, d.Column, d.EndColumn, d.Code))
	}
	want := []string{"1:11-15 config.name", "1:29-31 config.value", "1:35-38 config.name", "1:49-53 config.type"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSixMistakesInFlowStyle(t *testing.T) {
	const text = `{streams: {clicks: {shards: many, retention: 24h}}, sources: [{name: trades, type: websocket, ulr: "${FEED_URL}", stream: clikcs}, ` +
		`{name: quakes, type: webscoket, stream: clicks}], consumers: [{name: lake, stream: clicks, destination: {type: parquet, path: out, max_attempts: 5}}]}`
	column := func(token string) int { return strings.Index(text, token) + 1 }
	_, diagnostics := load(text)
	expect(t, diagnostics, []place{
		{"leat.yaml", 1, column("many"), "config.type", `got the string "many"`},
		{"leat.yaml", 1, column("ulr"), "config.unknown_field", `did you mean "url"?`},
		{"leat.yaml", 1, column("${FEED"), "config.unset_variable", `FEED_URL is not set`},
		{"leat.yaml", 1, column("clikcs"), "config.unknown_stream", `did you mean "clicks"?`},
		{"leat.yaml", 1, column("webscoket"), "config.unknown_type", `did you mean "websocket"?`},
		{"leat.yaml", 1, column("max_attempts"), "config.misplaced_field", `move it out of destination`},
	})
}

func TestSixMistakesInJSON(t *testing.T) {
	const text = `{
	"streams": {"clicks": {"shards": "many", "retention": "24h"}},
	"sources": [
		{"name": "trades", "type": "websocket", "ulr": "${FEED_URL}", "stream": "clikcs"},
		{"name": "quakes", "type": "webscoket", "stream": "clicks"}
	],
	"consumers": [{"name": "lake", "stream": "clicks", "destination": {"type": "parquet", "path": "out", "max_attempts": 5}}]
}`
	lines := strings.Split(text, "\n")
	_, diagnostics := load(text)
	expect(t, diagnostics, []place{
		{"leat.yaml", 2, 35, "config.type", `got the string "many"`},
		{"leat.yaml", 4, 43, "config.unknown_field", `did you mean "url"?`},
		{"leat.yaml", 4, 51, "config.unset_variable", `FEED_URL is not set`},
		{"leat.yaml", 4, 75, "config.unknown_stream", `did you mean "clicks"?`},
		{"leat.yaml", 5, 30, "config.unknown_type", `did you mean "websocket"?`},
		{"leat.yaml", 7, strings.Index(lines[6], `"max_attempts"`) + 1, "config.misplaced_field", `move it out of destination`},
	})
}

func TestSixMistakesInTwoFiles(t *testing.T) {
	text := sixMistakesFile(t)
	first, second, _ := strings.Cut(text, "sources:")
	_, diagnostics := load(first + "--- # second file\nsources:" + second)
	want := slices.Clone(sixMistakes)
	for i := range want[1:] {
		want[i+1].file, want[i+1].line = "second.yaml", want[i+1].line-4
	}
	expect(t, diagnostics, want)
}

package config_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
)

// hostile are values that turn into something else where text is replaced before parsing.
var hostile = []string{
	"pa #ss", "{a: b}", "@x", "a: b", "*star", "&a", "!t", "|", ">", "%x", "`", "- a", "<<", "'q'", `"q"`, " leading", "trailing ", " ",
	"line\nline", "line\n", "tab\ttab", "\ttab", `back\slash`, "é✓", "", "123", "0123", "1e3", "0x1F", ".inf", "12:30:45", "2026-11-21",
	"true", "yes", "null", "~", "Null", "${OTHER}", "$${X}", "[", "]", "---", "? a", "#", "\u2028", "日本", "a, b", "\xff",
}

const hostileFile = `streams:
  a:
sources:
  - name: web
    type: websocket
    stream: a
    url: wss://x
    labels:
      plain: ${V}
      double: "${V}"
      single: '${V}'
      inside: <${V}>
      literal: |-
        ${V}
      file: ${file:v}
    subscribe: ["${V}"]
`

func TestHostileValuesArriveByteForByte(t *testing.T) {
	for _, v := range hostile {
		lookup := func(name string) (string, bool) { return v, name == "V" }
		cfg, diagnostics := config.LoadHermetic([]config.Input{{Name: "leat.yaml", Text: []byte(hostileFile)}}, stubs, lookup, map[string]string{"v": v + "\n"})
		if len(diagnostics) > 0 {
			t.Errorf("%q:\n%s", v, printed(t, diagnostics))
			continue
		}
		got := cfg.Sources[0].Adapter.(*websocketConfig)
		for name, want := range map[string]string{"plain": v, "double": v, "single": v, "inside": "<" + v + ">", "literal": v, "file": v} {
			if got.Labels[name] != want {
				t.Errorf("%s: got %q, want %q", name, got.Labels[name], want)
			}
		}
		if list := got.Subscribe.([]any); list[0] != v {
			t.Errorf("anything: got %#v, want %q", list[0], v)
		}
	}
}

func TestPlainReferencesHaveTheTypeOfTheirValue(t *testing.T) {
	const text = "streams:\n  a:\n    shards: ${N}\nconsumers:\n  - name: c\n    stream: a\n    destination:\n      type: parquet\n      path: x\n      port: ${N}\n      on: ${B}\n"
	lookup := func(name string) (string, bool) { return map[string]string{"N": "8080", "B": "true"}[name], true }
	cfg, diagnostics := config.LoadHermetic([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, stubs, lookup, nil)
	if len(diagnostics) > 0 {
		t.Fatal(printed(t, diagnostics))
	}
	if got := cfg.Consumers[0].Destination.Adapter.(*parquetConfig); got.Port != 8080 || !got.On || cfg.Streams[0].Shards != 8080 {
		t.Errorf("got %+v", got)
	}
}

func TestForms(t *testing.T) {
	variables := map[string]string{"SET": "value", "EMPTY": "", "CREDENTIALS_DIRECTORY": "creds"}
	files := map[string]string{"/run/x": "content\n\n", "creds/name": "credential\r\n", "/run/cr": "a\r", "/run/empty": ""}
	lookup := func(name string) (string, bool) { v, ok := variables[name]; return v, ok }
	for _, c := range []struct{ written, want string }{
		{"${SET}", "value"},
		{"${EMPTY}x", "x"},
		{"a${SET}b${SET}c", "avaluebvaluec"},
		{"${UNSET:-text}", "text"},
		{"${EMPTY:-text}", "text"},
		{"${SET:-text}", "value"},
		{"${UNSET:-}x", "x"},
		{"${UNSET:-a:?b}", "a:?b"},
		{"${SET:?message}", "value"},
		{"${file:/run/x}", "content\n"},
		{"${file:/run/cr}", "a\r"},
		{"<${file:/run/empty}>", "<>"},
		{"${credential:name}", "credential"},
		{"$${SET}", "${SET}"},
		{"$$${SET}", "$${SET}"},
		{"$SET", "$SET"},
		{"$", "$"},
		{"$$", "$$"},
		{"{}", "{}"},
		{"${UNSET:-line\nline}", "line\nline"},
	} {
		text := "data: " + strconv.Quote(c.written) + "\n"
		cfg, diagnostics := config.LoadHermetic([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, stubs, lookup, files)
		if len(faults(diagnostics)) > 0 || cfg.Data != c.want {
			t.Errorf("%s: got %q, want %q\n%s", c.written, cfg.Data, c.want, printed(t, diagnostics))
		}
	}
}

func TestMalformedFormsAreErrors(t *testing.T) {
	for written, code := range map[string]string{
		"${": "config.interpolation", "${}": "config.interpolation", "${A B}": "config.interpolation", "${A": "config.interpolation",
		"${A:+x}": "config.interpolation", "${A-x}": "config.interpolation", "${A:-${B}}": "config.interpolation", "${file:}": "config.interpolation",
		"${UNSET}": "config.unset_variable", "${UNSET:?say it}": "config.unset_variable", "${EMPTY:?say it}": "config.unset_variable",
		"${file:/run/none}": "config.unreadable_file", "${credential:name}": "config.unreadable_file",
	} {
		lookup := func(name string) (string, bool) { return "", name == "EMPTY" }
		text := "metrics: localhost:1\ndata: <" + written + ">\n"
		_, diagnostics := config.LoadHermetic([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, stubs, lookup, nil)
		if len(diagnostics) != 1 || diagnostics[0].Code != code || diagnostics[0].Line != 2 || diagnostics[0].Column != 8 {
			t.Errorf("%s:\n%s", written, printed(t, diagnostics))
		}
	}
}

func TestKeysAndCommentsAreNotExpanded(t *testing.T) {
	cfg, diagnostics := load("# ${UNSET}\nstreams:\n  a: # ${UNSET}\nsources:\n  - {name: s, type: websocket, stream: a, url: wss://x, labels: {'${PORT}': 1}}\n")
	if len(diagnostics) > 0 {
		t.Fatal(printed(t, diagnostics))
	}
	if got := cfg.Sources[0].Adapter.(*websocketConfig).Labels; got["${PORT}"] != "1" {
		t.Errorf("got %v", got)
	}
}

func TestFilesAreReadOnlyWhereThatEnds(t *testing.T) {
	dir := t.TempDir()
	large := dir + "/large"
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "not a regular file", large: "larger than 1 MiB", dir + "/none": "no such file", "/dev/zero": "not a regular file"} {
		_, diagnostics := load("data: ${file:" + path + "}\n")
		if len(diagnostics) != 1 || !strings.Contains(diagnostics[0].Message, want) {
			t.Errorf("%s: want %q\n%s", path, want, printed(t, diagnostics))
		}
	}
}

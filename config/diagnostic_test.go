package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
)

func TestPrintStopsAtTheLimit(t *testing.T) {
	var text strings.Builder
	for i := range 60 {
		fmt.Fprintf(&text, "unknown%d: 1\n", i)
	}
	_, diagnostics := load(text.String())
	out := printed(t, diagnostics)
	if len(diagnostics) != 60 || strings.Count(out, "error[") != 50 || !strings.HasSuffix(out, "\n\nand 10 more\n60 errors, 0 warnings in leat.yaml\n") {
		t.Errorf("%d diagnostics, printed:\n%s", len(diagnostics), out[len(out)-200:])
	}
	var three strings.Builder
	if err := diagnostics.Print(&three, config.PrintOptions{Limit: 3}); err != nil || strings.Count(three.String(), "error[") != 3 {
		t.Errorf("%v:\n%s", err, three.String())
	}
}

func TestPrintColors(t *testing.T) {
	_, diagnostics := load("streams: {a: {shards: many}, b: }\nsources: [{name: s, type: websocket, url: wss://x, stream: a}]\n")
	var out strings.Builder
	if err := diagnostics.Print(&out, config.PrintOptions{Color: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[1;31merror[config.type]\x1b[0m", "\x1b[1;33mwarning[config.unused_stream]\x1b[0m", "\x1b[1;31m^^^^\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %q", want, out.String())
		}
	}
}

func TestNoDiagnosticsPrintNothing(t *testing.T) {
	var none config.Diagnostics
	if out := printed(t, none); out != "" || none.Err() != nil || none.Summary() != "0 errors, 0 warnings" {
		t.Errorf("got %q, %v, %s", out, none.Err(), none.Summary())
	}
}

func TestWarningsAreNoError(t *testing.T) {
	_, diagnostics := load("streams: {a: , b: }\nsources: [{name: s, type: websocket, url: wss://x, stream: a}]\n")
	if diagnostics.Err() != nil || diagnostics.Warnings() != 1 || diagnostics.Errors() != 0 {
		t.Errorf("%v:\n%s", diagnostics.Err(), printed(t, diagnostics))
	}
}

func TestDiagnosticsMarshal(t *testing.T) {
	_, diagnostics := load("data: 1\n--- # second file\ndata: 2\nsecrt: x\n")
	got, err := json.Marshal(diagnostics)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"file":"second.yaml","line":1,"column":1,"end_column":5,"severity":"error","code":"config.set_twice",` +
		`"message":"data is set in two files","hint":"remove one of them","excerpt":{"lines":[{"number":1,"text":"data: 2"}],"start":0,"end":4},` +
		`"related":[{"file":"leat.yaml","line":1,"column":1,"message":"the first is at"}]},` +
		`{"file":"second.yaml","line":2,"column":1,"end_column":6,"severity":"error","code":"config.unknown_field",` +
		`"message":"unknown field \"secrt\" at the top level","hint":"","excerpt":{"lines":[{"number":1,"text":"data: 2"},{"number":2,"text":"secrt: x"}],"start":0,"end":5}}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPrintGitHub(t *testing.T) {
	_, diagnostics := config.Load([]config.Input{{Name: "a,b:c.yaml", Text: []byte("streams:\n  a: {shards: 100%}\n  a: x\n")}}, stubs, env)
	var out strings.Builder
	if err := diagnostics.PrintGitHub(&out); err != nil {
		t.Fatal(err)
	}
	const want = "::error file=a%2Cb%3Ac.yaml,line=2,col=15::shards: expected an integer, got the string \"100%25\" [config.type]\n" +
		"::error file=a%2Cb%3Ac.yaml,line=3,col=3::the key \"a\" is there twice; remove one of them [config.duplicate_key]\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestErrorsNameTheFirstMistake(t *testing.T) {
	_, diagnostics := load(sixMistakesFile(t))
	const want = `invalid configuration: leat.yaml:3:13: shards: expected an integer, got the string "many" [config.type] and 5 more`
	if got := diagnostics.Err().Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
)

// shown returns every form in which diagnostics are shown.
func shown(t *testing.T, d config.Diagnostics) string {
	t.Helper()
	var out strings.Builder
	js, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.PrintGitHub(&out); err != nil {
		t.Fatal(err)
	}
	return out.String() + printed(t, d) + string(js) + fmt.Sprintf("%v %+v %v", d, d, d.Err())
}

func TestSecretsAreInNoDiagnostic(t *testing.T) {
	const frame = "streams: {a: }\nsources:\n  - name: web\n    type: websocket\n    url: wss://x\n    stream: a\n%s\n    unknown_one: 1\n"
	for name, fields := range map[string]string{
		"literal":             "    headers: {A: MARKER}",
		"quoted":              "    headers: {A: \"MARKER\"}",
		"with a quote":        "    headers: {A: 'it''s MARKER'}",
		"escaped":             `    headers: {A: "MAR\x4bER MARKER"}`,
		"several lines":       "    headers:\n      A: MARKER\n        MARKER",
		"folded":              "    headers:\n      A: >\n        MARKER\n\n        MARKER",
		"literal block":       "    headers:\n      A: |2-\n          MARKER",
		"quoted lines":        "    headers: {A: \"x\n\n      MARKER\", B: 1}",
		"anchor":              "    headers: {A: &x MARKER, B: *x}",
		"tag":                 "    headers: {A: !!str MARKER}",
		"unknown tag":         "    headers: {A: !x MARKER}",
		"list":                "    headers: {A: [MARKER, {x: MARKER}]}",
		"not a mapping":       "    headers: MARKER",
		"list of secrets":     "    headers: [MARKER]",
		"default":             "    headers:\n      A: ${UNSET:-MARKER}",
		"half":                "    headers:\n      A: MARKER ${UNSET}",
		"malformed":           "    headers:\n      A: MARKER ${1}",
		"twice":               "    headers:\n      A: x-x-x\n      A: MARKER",
		"field twice":         "    headers: {A: 1}\n    headers: {A: MARKER}",
		"misspelt":            "    header: {A: MARKER}",
		"unknown field":       "    my_password: MARKER",
		"unknown list":        "    tokens: [MARKER, MARKER]",
		"unknown mapping":     "    login: {password: MARKER}",
		"nested":              "    tls: {key: MARKER, ca: [1]}",
		"nested misspelt":     "    tls: {kye: MARKER}",
		"from a file":         "    ping: ${file:secret}",
		"url":                 "    labels: {a: 'https://me:MARKER@x.example', b: [1]}",
		"parameter":           "    labels: {a: 'https://x.example?a=1&api_key=MARKER', b: [1]}",
		"parameter, folded":   "    labels:\n      a: \"https://x.example?a=1&\\\n        token=MARKER\"\n      b: [1]",
		"half a user":         "    labels: {a: 'https://${MARK}:MARKER@x.example', b: [1]}",
		"half a parameter":    "    labels: {a: 'https://x.example?sig=${MARK}MARKER', b: [1]}",
		"escaped address":     "    labels: {a: \"https:\\x2f/me:MARKER@x.example\", b: [1]}",
		"query":               "    query: {token: MARKER, b: [1]}",
		"refused address":     "  - name: w\n    type: websocket\n    url: https://x.example?token=MARKER\n    stream: a",
		"broken address":      "    labels: {a: https://x.example?token=MARKER ]",
		"refused":             "    ping: off\n    compression: true\n    tls: {key: MARKER, ca: none}",
		"merged":              "    <<: {headers: {A: MARKER}}",
		"long, from a file":   "    batch: {wait: 1s}\n  - name: w\n    type: websocket\n    url: wss://x\n    stream: ${file:long}",
		"wrong operator":      "    headers:\n      A: ${PW-MARKER}",
		"default of a map":    "    headers: ${UNSET:-MARKER}",
		"comment":             "    headers: {A: MARKER} # was MARKER",
		"broken file":         "    password: MARKER\n    ]",
		"broken block":        "    password: |\n      MARKER\n    ]",
		"broken quote":        "    password: \"MARKER",
		"broken after":        "    x: 1, token : MARKER\n  ]",
		"alias cycle":         "    labels: &x {password: MARKER, b: *x}",
		"list as an item":     "  - [{password: MARKER}]",
		"in a stream":         "    batch: {password: MARKER}",
		"number":              "    headers: {A: 12345678901234567890}",
		"name of a component": "    labels: [x]\n    headers: {A: MARKER}",
	} {
		for _, ends := range []string{"\n", "\r\n"} {
			text := strings.ReplaceAll(fmt.Sprintf(frame, strings.ReplaceAll(fields, "MARKER", "hunter2marker")), "\n", ends)
			_, diagnostics := config.LoadHermetic([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, stubs, env, map[string]string{"secret": "hunter2marker", "long": strings.Repeat("hunter2marker\"", 20)})
			if out := shown(t, diagnostics); strings.Contains(out, "hunter2marker") || strings.Contains(out, "12345678901234567890") {
				t.Errorf("%s: the secret is shown:\n%s", name, out)
			}
		}
	}
}

func TestReferencesInSecretsAreShown(t *testing.T) {
	_, diagnostics := load("streams: {a: }\nsources:\n  - name: web\n    type: websocket\n    url: wss://x\n    stream: a\n    tls:\n      key: ${MARK}\n      cy: 1\n")
	if out := printed(t, diagnostics); !strings.Contains(out, "key: ${MARK}") || len(diagnostics) != 1 {
		t.Error(out)
	}
}

func TestSecretsOutsideOfTheFrameAreMasked(t *testing.T) {
	for _, text := range []string{"- password: hunter2marker\n", "streams: {a: [{token: hunter2marker}]}\n", "sources: {password: hunter2marker}\n", "password: hunter2marker\n"} {
		_, diagnostics := load(text)
		if out := shown(t, diagnostics); len(diagnostics) == 0 || strings.Contains(out, "hunter2marker") {
			t.Errorf("%q: the secret is shown:\n%s", text, out)
		}
	}
}

package provider_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

func readText(t *testing.T, text string) ([]*provider.Session, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recording")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return provider.ReadRecording(path)
}

// entries writes "conn kind rest" with a second between two of them.
func entries(lines ...string) string {
	var b strings.Builder
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, line := range lines {
		f := strings.SplitN(line, " ", 3)
		b.WriteString(`{"t":"` + at.Format(time.RFC3339Nano) + `","c":` + f[0] + `,"k":"` + f[1] + `",` + f[2] + "}\n")
		at = at.Add(time.Second)
	}
	return b.String()
}

func TestConnectionsThatFollowOneAnotherAreOneSession(t *testing.T) {
	sessions, err := readText(t, entries(
		`1 open "d":"wss://h/a","source":"s","type":"websocket"`,
		`1 in "d":"1"`,
		`2 open "d":"wss://h/a","source":"s","type":"websocket"`,
		`2 in "d":"2"`,
		`1 close "code":1012,"note":"close by by"`,
		`3 open "d":"wss://h/a","source":"s","type":"websocket"`,
		`3 in "b":"/w=="`,
		`4 open "d":"wss://h/b","source":"s","type":"sse"`,
		`4 in "d":"x","event":"update","id":"7"`,
		`3 in "note":"message of 9 bytes left out"`,
		`3 close "note":"stall nothing received"`,
		`2 close "note":"ours"`,
		`4 close "note":"read"`,
	))
	if err != nil || len(sessions) != 3 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	one, two, three := sessions[0].Messages, sessions[1].Messages, sessions[2].Messages
	if len(one) != 4 || string(one[0].Data) != "1" || *one[1].End != (provider.End{Code: 1012, Reason: "by by"}) ||
		!one[2].Binary || one[2].At != 6*time.Second || *one[3].End != (provider.End{Silent: true}) {
		t.Errorf("first: %+v", one)
	}
	if len(two) != 2 || string(two[0].Data) != "2" || *two[1].End != (provider.End{Ours: true}) {
		t.Errorf("second: %+v", two)
	}
	if len(three) != 2 || three[0].Event != "update" || three[0].ID != "7" || *three[1].End != (provider.End{Broken: true}) || sessions[2].Type != "sse" {
		t.Errorf("third: %+v", three)
	}
}

func TestRecordingsAreToldApartByWhatIsInThem(t *testing.T) {
	for text, want := range map[string]string{
		"wss://h/ <-> 1\n2: a\n3: b\n":                               "a b",
		":)\nevent: update\nid: 1\ndata: a\ndata: b\n\n:thump\n\n":   " a\nb ",
		"data: a\n\ndata: b":                                         "a b",
		"[1]\n{\"t\":2}\n":                                           `[1] {"t":2}`,
		entries(`1 open "d":"ws://h/"`, `1 in "d":"a"`) + `{"t":"20`: "a",
		"interactions:\n- response:\n    headers: {Content-Type: [text/event-stream]}\n    body: {string: \"data: a\\n\\n\"}\n": "a",
	} {
		sessions, err := readText(t, text)
		if err != nil || len(sessions) != 1 {
			t.Errorf("%q: %d sessions, %v", text, len(sessions), err)
			continue
		}
		var got []string
		for _, m := range sessions[0].Inbound() {
			got = append(got, string(m.Data))
		}
		if join(got) != want {
			t.Errorf("%q: got %q, want %q", text, join(got), want)
		}
	}
	for text, want := range map[string]string{
		"":                      "it is empty",
		entries(`1 in "d":"a"`): "no connection was opened",
		entries(`1 open "d":"ws://h/"`, `1 boo "d":"a"`, `1 in "d":"a"`): `line 2: "k" is not`,
		"interactions: []\n": "no answer in it",
	} {
		if _, err := readText(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

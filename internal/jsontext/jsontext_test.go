package jsontext_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/jsontext"
)

func FuzzAppendString(f *testing.F) {
	for _, text := range []string{"", "plain", "\"\\\n\r\t\x00\x1f\x7f", "é€😀", "\xff\xc3", "a\xe2\x82", "\ufffd"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out := jsontext.AppendString(nil, text)
		var back string
		if err := json.Unmarshal(out, &back); err != nil || !utf8.Valid(out) {
			t.Fatalf("%q: %v", out, err)
		}
		if want := string([]rune(text)); back != want {
			t.Errorf("%q became %q", want, back)
		}
		if same := jsontext.AppendString(nil, []byte(text)); string(same) != string(out) {
			t.Errorf("%q and %q", same, out)
		}
	})
}

func TestTextsCostNoMemory(t *testing.T) {
	text, out := []byte(strings.Repeat("a€\"\xff", 100)), make([]byte, 0, 4000)
	if n := testing.AllocsPerRun(10, func() { jsontext.AppendString(out, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

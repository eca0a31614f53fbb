package expression

import (
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":[1,"x",null,true,-1.5e3]}`: true, ` 1 `: true, `"` + "\xff" + `"`: true, strings.Repeat("[],", 20_000): false,
		"[" + strings.Repeat("[],", 20_000) + "0]": true, "": false, "{": false, "1 2": false, "nul": false,
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000): true,
	} {
		if got := ValidText(text); got != want {
			t.Errorf("%.40q: got %v", text, got)
		}
	}
}

// A validator that recurses without a limit ends the process here: a stack of more than 1 GB is no panic.
func TestValidBoundsTheDepth(t *testing.T) {
	for _, open := range []string{"[", `{"a":`, `[{"a":`} {
		if ValidText(strings.Repeat(open, 16<<20/len(open))) {
			t.Errorf("%s: valid", open)
		}
	}
}

// A message of 16 MiB can hold millions of values, each of which takes much more memory than its bytes: an expression does not look into it,
// a member path does.
func TestExpressionsDoNotLookIntoMillionsOfValues(t *testing.T) {
	for n, want := range map[int]bool{100_000: true, 300_000: false} {
		m := NewMessage([]byte(`{"id":7,"all":[` + strings.Repeat(`1,`, n) + `1]}`))
		for source, ok := range map[string]bool{"id": true, "[id, id]": want} {
			v := MustParse(source)
			if text, got := v.Identity(&m); got != ok {
				t.Errorf("%s of %d values: got %q", source, n, text)
			}
		}
	}
}

package filter_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/leatstream/leat/filter"
)

var update = flag.Bool("update", false, "write testdata/mistakes.txt anew")

// TestMistakesAreToldWithPlaceAndHint reads patterns that stand behind "> ", each with what is said of it below.
func TestMistakesAreToldWithPlaceAndHint(t *testing.T) {
	const file = "testdata/mistakes.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		pattern, ok := strings.CutPrefix(line, "> ")
		if !ok {
			continue
		}
		pattern = strings.ReplaceAll(strings.TrimSuffix(pattern, "\n"), "LONG", strings.Repeat("x", 4096))
		_, err := filter.Parse(pattern)
		if err == nil {
			t.Errorf("%s is taken", pattern)
			continue
		}
		fmt.Fprintf(&out, "%s%v\n\n", line, err)
		var value any
		var f filter.Filter
		if json.Unmarshal([]byte(pattern), &value) == nil && !strings.Contains(err.Error(), "second time") && f.UnmarshalValue(value) == nil {
			t.Errorf("%s is taken as values", pattern)
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the error repeats a value: %v", err)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != string(text) {
		t.Errorf("got:\n%s", out.String())
	}
}

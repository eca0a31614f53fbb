package pipeline

import "testing"

// Close codes from 3000 to 4999 and HTTP statuses are the provider's to choose; the number of labels is not.
func TestCodesAreFewLabels(t *testing.T) {
	labels := map[string]bool{}
	for code := range 1 << 16 {
		labels[codeLabel(code)] = true
	}
	if len(labels) > 130 {
		t.Errorf("%d labels", len(labels))
	}
	for code, want := range map[int]string{0: "0", 404: "404", 499: "4xx", 1006: "1006", 1012: "1012", 3000: "3xxx", 4999: "4xxx"} {
		if got := codeLabel(code); got != want {
			t.Errorf("%d: got %s, want %s", code, got, want)
		}
	}
}

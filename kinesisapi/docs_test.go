package kinesisapi_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/leatstream/leat/kinesisapi"
)

// The document has a line for every operation, and for nothing else.
func TestDocumentListsAllOperations(t *testing.T) {
	text, err := os.ReadFile("../docs/kinesis-api.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| (\w+) \| (?:works|stored|refused) \|`).FindAllSubmatch(text, -1) {
		listed = append(listed, string(m[1]))
	}
	if !slices.Equal(listed, kinesisapi.Operations()) {
		t.Errorf("listed are %v", listed)
	}
}

package kinesisapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/leatstream/leat/kinesisapi"
)

// Every constraint of the model has its message, in both formats.
func TestEveryConstraintHasItsMessage(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	all := kinesisapi.Breaking()
	if len(all) < 290 {
		t.Fatalf("only %d constraints", len(all))
	}
	for i := range all {
		b := &all[i]
		status, text := r.do(t, b.Operation, b.JSON())
		want := fmt.Sprintf(`{"__type":"ValidationException","message":%s}`, quote(b.Want))
		if b.Path == "Records" {
			continue // names of Java objects, see the golden files
		}
		if got := plainText(t, text); status != 400 || got != plainText(t, want) {
			t.Errorf("%s %s:\n got %s\nwant %s", b.Operation, b.Path, shorten(text), shorten(want))
		}
		req := r.request(t, b.Operation, b.CBOR())
		req.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
		answer, binary := send(t, req)
		inJSON, err := kinesisapi.FromCBOR(binary)
		if err != nil || answer.StatusCode != 400 || inJSON != text {
			t.Errorf("%s %s: CBOR answers %s, JSON %s", b.Operation, b.Path, shorten(inJSON), shorten(text))
		}
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

func plainText(t *testing.T, s string) string {
	var v map[string]string
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v["__type"] + ": " + v["message"]
}

func shorten(s string) string {
	if len(s) > 400 {
		return s[:200] + "..." + s[len(s)-200:]
	}
	return s
}

// There are 45 operations, and the model knows each.
func TestThereAre45Operations(t *testing.T) {
	if all := kinesisapi.Operations(); len(all) != 45 {
		t.Errorf("%d operations: %s", len(all), strings.Join(all, " "))
	}
}

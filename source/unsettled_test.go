package source_test

import (
	"slices"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
)

func TestUnsettledMessagesAreSettledInOrder(t *testing.T) {
	var u source.Unsettled[string]
	want := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("settled %q, want %q", got, want)
		}
	}
	u.Expect(0, "a")
	u.Expect(3, "b")
	u.Expect(0, "c")
	u.Expect(1, "d")
	want(u.SettleEmpty(), "a")
	u.Returned(make([]leat.Event, 2), nil)
	want(u.SettleEmpty())
	want(u.Settle())
	u.Returned(make([]leat.Event, 1), nil)
	want(u.Settle(), "b", "c")
	u.Returned(nil, &source.SkipError{})
	want(u.Settle(), "d")
	if u.Len() != 0 {
		t.Errorf("%d wait", u.Len())
	}
}

func TestUnsettledMessagesAreBounded(t *testing.T) {
	var u source.Unsettled[int]
	for i := range 1 << 16 {
		if !u.Expect(1, i) {
			t.Fatalf("message %d is refused", i)
		}
	}
	if u.Expect(1, 0) {
		t.Error("there is no bound")
	}
}

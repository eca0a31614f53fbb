package sse_test

import (
	"testing"

	"github.com/leatstream/leat/source/sse"
)

func TestWhatCameBeforeTheEndIsHandedOn(t *testing.T) {
	events, _, _ := read(t, stream("data: 1\n\ndata: 2\n\nevent: error\ndata: x\n\n"), sse.Config{EndEvents: []string{"error"}}, "")
	if got := shown(events); got != ` "1"| "2"|` {
		t.Errorf("got %s", got)
	}
}

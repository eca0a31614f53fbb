package stream_test

import (
	"fmt"
	"testing"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Of a commit that was stored in part, something is stored, whatever the rest was refused for.
func TestRefusedIsFalseForPartialErrors(t *testing.T) {
	full := fmt.Errorf("put: %w", stream.ErrFull)
	if !stream.Refused(full) {
		t.Error("a refused commit does not count as refused")
	}
	if stream.Refused(fmt.Errorf("commit: %w", &stream.PartialError{Refused: [][]int{{1}}, Err: full})) {
		t.Error("a commit that is stored in part counts as refused")
	}
}

func TestRouterRefusesShardsThatOverlap(t *testing.T) {
	whole := stream.HashRange{End: leat.MaxHash}
	if _, err := stream.NewRouter([]stream.Shard{{ID: 0, Range: whole}, {ID: 1, Range: whole}}); err == nil {
		t.Error("two shards that each cover the whole ring are taken")
	}
	even := stream.EvenRanges(2)
	if _, err := stream.NewRouter([]stream.Shard{{ID: 1, Range: even[1]}, {ID: 0, Range: even[0]}}); err != nil {
		t.Error(err)
	}
}

package stream

import (
	"fmt"
	"math/big"
	"slices"
	"sort"

	"github.com/leatstream/leat"
)

// HashRange is a part of the ring: the places from Start to End, both included.
type HashRange struct{ Start, End leat.Hash }

// Contains reports whether h lies in r.
func (r HashRange) Contains(h leat.Hash) bool {
	return r.Start.Compare(h) <= 0 && h.Compare(r.End) <= 0
}

// String returns the range as Start-End.
func (r HashRange) String() string { return r.Start.String() + "-" + r.End.String() }

// EvenRanges divides the ring into n ranges as Kinesis does when it creates a
// stream: all of width floor(2^128/n), the last one takes the rest. n must be positive.
func EvenRanges(n int) []HashRange {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	width.Div(width, big.NewInt(int64(n)))
	ranges := make([]HashRange, n)
	start := new(big.Int)
	for i := range ranges {
		ranges[i].Start = hashOf(start)
		start.Add(start, width)
		ranges[i].End = hashOf(start).Prev()
	}
	ranges[n-1].End = leat.MaxHash
	return ranges
}

func hashOf(n *big.Int) leat.Hash {
	wrapped := new(big.Int).And(n, maxHash)
	h, err := leat.ParseHash(wrapped.String())
	if err != nil {
		panic(err) // wrapped has at most 128 bits
	}
	return h
}

var maxHash = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))

// SplitRange returns the two halves of r, the second beginning at the hash key at, which
// must lie inside r and not at its start; otherwise the error wraps ErrInvalid.
func SplitRange(r HashRange, at leat.Hash) (lower, upper HashRange, err error) {
	if at.Compare(r.Start) <= 0 || at.Compare(r.End) > 0 {
		return lower, upper, fmt.Errorf("%w: new starting hash key %s is not inside %s behind its start", ErrInvalid, at, r)
	}
	return HashRange{Start: r.Start, End: at.Prev()}, HashRange{Start: at, End: r.End}, nil
}

// JoinRanges returns the union of two ranges, which must be adjacent in either order;
// otherwise the error wraps ErrInvalid.
func JoinRanges(a, b HashRange) (HashRange, error) {
	if b.Start.Compare(a.Start) < 0 {
		a, b = b, a
	}
	if a.End == leat.MaxHash || a.End.Next() != b.Start {
		return HashRange{}, fmt.Errorf("%w: hash key ranges %s and %s are not adjacent", ErrInvalid, a, b)
	}
	return HashRange{Start: a.Start, End: b.End}, nil
}

// Middle returns the place at which r splits into two halves of equal width.
func (r HashRange) Middle() leat.Hash {
	sum := new(big.Int)
	for _, h := range []leat.Hash{r.Start, r.End} {
		n, _ := new(big.Int).SetString(h.String(), 10)
		sum.Add(sum, n)
	}
	sum.Add(sum, big.NewInt(1))
	return hashOf(sum.Rsh(sum, 1))
}

// Router places events on the open shards of a stream. It is immutable and safe
// for concurrent use.
type Router struct {
	ends []leat.Hash    // last place of each shard, rising
	ids  []leat.ShardID // the shard of each
}

// NewRouter returns the router for shards, of which only the open ones count. They must cover the
// ring without overlap; otherwise the error names the place.
func NewRouter(shards []Shard) (*Router, error) {
	open := make([]Shard, 0, len(shards))
	for i := range shards {
		if shards[i].Open() {
			open = append(open, shards[i])
		}
	}
	slices.SortFunc(open, func(a, b Shard) int { return a.Range.Start.Compare(b.Range.Start) })
	r := &Router{}
	var want leat.Hash
	for i := range open {
		if open[i].Range.Start != want {
			return nil, fmt.Errorf("shards do not cover the ring: %s begins at %s, want %s", open[i].ID, open[i].Range.Start, want)
		}
		if i > 0 && open[i-1].Range.End == leat.MaxHash {
			return nil, fmt.Errorf("shards overlap: %s and %s end at the end of the ring", open[i-1].ID, open[i].ID)
		}
		want = open[i].Range.End.Next()
		r.ends = append(r.ends, open[i].Range.End)
		r.ids = append(r.ids, open[i].ID)
	}
	if len(open) == 0 || r.ends[len(r.ends)-1] != leat.MaxHash {
		return nil, fmt.Errorf("shards do not cover the ring up to its end")
	}
	return r, nil
}

// Len returns the number of open shards.
func (r *Router) Len() int { return len(r.ids) }

// Shard returns the shard of slot i, 0 ≤ i < Len.
func (r *Router) Shard(i int) leat.ShardID { return r.ids[i] }

// Slot returns the slot of the shard that takes the event.
func (r *Router) Slot(e *leat.Event) int {
	if len(r.ends) == 1 {
		return 0
	}
	if e.HashKey != nil {
		return r.slotOf(*e.HashKey)
	}
	return r.slotOf(leat.HashKey(e.PartitionKey))
}

func (r *Router) slotOf(h leat.Hash) int {
	if len(r.ends) <= 8 {
		for i := range r.ends {
			if h.Compare(r.ends[i]) <= 0 {
				return i
			}
		}
	}
	return sort.Search(len(r.ends), func(i int) bool { return h.Compare(r.ends[i]) <= 0 })
}

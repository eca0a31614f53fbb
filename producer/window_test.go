package producer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever comes in whatever order: the window knows what a list of the last ones knows.
func TestTheWindowAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := Remember{Window: time.Second, Events: rapid.IntRange(1, 3000).Draw(rt, "events")}
		w := newWindow(limit)
		ids := rapid.IntRange(1, 6000).Draw(rt, "identities")
		step := rapid.IntRange(1, 50).Draw(rt, "events a millisecond")
		type seen struct {
			id string
			at int64
		}
		var list []seen
		known := map[string]bool{}
		random := rapid.Uint64().Draw(rt, "seed")
		for i := range 10_000 {
			random = random*6364136223846793005 + 1442695040888963407
			id, now := fmt.Sprint(random>>33%uint64(ids)), int64(i/step)
			for len(list) > 0 && list[0].at < now-1000 {
				delete(known, list[0].id)
				list = list[1:]
			}
			isNew := !known[id]
			w.tick(time.UnixMilli(1_700_000_000_000 + now))
			if got := w.add(id); got != isNew {
				rt.Fatalf("event %d, %s: new %v, want %v", i, id, got, isNew)
			}
			if !isNew {
				continue
			}
			for len(list) >= limit.Events {
				delete(known, list[0].id)
				list = list[1:]
			}
			list, known[id] = append(list, seen{id, now}), true
			if w.len() != len(list) {
				rt.Fatalf("event %d: %d are remembered, want %d", i, w.len(), len(list))
			}
		}
	})
}

// Identities that begin alike share a slot, and those at the end of the slots go on at their beginning.
func TestTheIndexFindsWhatCollides(t *testing.T) {
	for _, tag := range []uint64{0, 5, 1<<11 - 2, 1<<11 - 1} {
		var x index
		x.grow(0, 0)
		id := func(n uint64) identity { return identity{(tag + n%3) << 32, n} }
		for n := range uint64(100) {
			x.add(n, entry{id: id(n)})
		}
		order := []uint64{50, 0, 99, 98, 1, 2, 3, 51, 97}
		for i, n := range order {
			x.drop(n)
			for m := range uint64(100) {
				if want := !slices.Contains(order[:i+1], m); x.has(id(m)) != want {
					t.Fatalf("tag %d, after %d was dropped: %d found %v, want %v", tag, n, m, !want, want)
				}
			}
		}
	}
}

func BenchmarkWindow(b *testing.B) {
	w := newWindow(Remember{Window: time.Hour, Events: 1_000_000})
	ids := make([]string, 4_000_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%016d", i)
	}
	b.ResetTimer()
	for i := range b.N {
		w.add(ids[i%len(ids)])
	}
}

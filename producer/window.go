package producer

import (
	"hash/maphash"
	"time"
)

// heard is how much of the time between two deliveries counts at most as time in which the source was heard from. While a
// connection is alive there is one every 10 s at least, if only to move the mark.
const heard = 20 * time.Second

// window remembers the identities of the events of the last while. It keeps 128 bits of each, under a seed of its own, so that
// two different identities are as good as never taken for one.
//
// It has a clock of its own, which runs only while the source is heard from: a provider that was away, or a leat that was
// stopped, for longer than the window goes on where it was, and repeats what the window knew then.
type window struct {
	limit Remember
	seeds [2]maphash.Seed
	known index
	head  uint64        // number of the oldest entry
	next  uint64        // number of the next entry; its place in the ring is the number modulo the length
	clock time.Duration // since the window began
	last  time.Time     // when the clock was moved; zero: not yet
}

type identity [2]uint64

type entry struct {
	id identity
	at int64 // on the clock of the window, in milliseconds
}

func newWindow(limit Remember) *window {
	return &window{limit: limit, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// tick tells that the source is heard from at now, and forgets what has become too old.
func (w *window) tick(now time.Time) {
	if !w.last.IsZero() {
		w.clock += min(max(now.Sub(w.last), 0), heard)
	}
	w.last = now
	oldest := (w.clock - w.limit.Window).Milliseconds()
	for w.head < w.next && w.known.at(w.head).at < oldest {
		w.forget()
	}
}

// add remembers id and reports whether it is new.
func (w *window) add(id string) bool {
	key := identity{maphash.String(w.seeds[0], id), maphash.String(w.seeds[1], id)}
	if w.known.has(key) {
		return false
	}
	for w.len() >= w.limit.Events {
		w.forget()
	}
	if w.len() == len(w.known.ring) {
		w.known.grow(w.head, w.next)
	}
	w.known.add(w.next, entry{key, w.clock.Milliseconds()})
	w.next++
	return true
}

// forget drops the oldest entry.
func (w *window) forget() {
	w.known.drop(w.head)
	w.head++
}

func (w *window) len() int { return int(w.next - w.head) }

package source

import (
	"sync"
	"sync/atomic"
)

const (
	// maxBuffered is how many bytes of messages a Feed holds at most for the caller of Next, each with eventSize beside its own. Behind that the
	// provider has to wait. It is as much as one commit of the default size takes: with less, reading would
	// stand still in each.
	maxBuffered = 2 << 20

	// leastBuffered is how many it may hold however many others there are.
	leastBuffered = 64 << 10

	// sharedBuffered is how many all Feeds of a process may hold together, as long as that leaves leastBuffered to each. What is held is in memory several times
	// over on its way to the disk, so a hundred connections must not have what a single one may.
	sharedBuffered = 16 << 20
)

// readers counts the Feeds of this process that read: they share its memory.
var readers atomic.Int64

// chunkSize is how large the next Chunk is: what it holds is held as long as any message in it.
func chunkSize() int {
	return int(min(ChunkSize, max(leastBuffered/4, sharedBuffered/max(1, readers.Load())/4)))
}

// share is the part of one Feed in the memory for what is read ahead. Its zero value has none yet.
type share struct{ once, over sync.Once }

// bytes returns how much the Feed may hold now.
func (s *share) bytes() int {
	s.once.Do(func() { readers.Add(1) })
	return int(min(maxBuffered, max(leastBuffered, sharedBuffered/max(1, readers.Load()))))
}

// end gives the part back. Nothing is read after it.
func (s *share) end() {
	s.over.Do(func() {
		counted := true
		s.once.Do(func() { counted = false })
		if counted {
			readers.Add(-1)
		}
	})
}

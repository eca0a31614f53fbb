package local

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Commit implements stream.Engine. Concurrent Commits share one sync of the disk. Once a commit has been handed
// over, the end of ctx no longer interrupts it.
func (e *Engine) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if err := e.ready(); err != nil {
		return stream.Receipt{}, err
	}
	size, err := sizeOf(&c)
	if err != nil {
		return stream.Receipt{}, err
	}
	if err := e.room.Acquire(ctx, int64(size)); err != nil {
		return stream.Receipt{}, err
	}
	defer e.room.Release(int64(size))
	r := e.requests.Get().(*request)
	defer e.recycle(r)
	r.commit = &c
	if err := e.encode(r); err != nil {
		return stream.Receipt{}, err
	}
	if err := e.submit(r); err != nil {
		return stream.Receipt{}, err
	}
	return r.receipt(&c), nil
}

// submit hands r to the committer and waits for the outcome.
func (e *Engine) submit(r *request) error {
	if !e.queue.push(r) {
		return errClosed
	}
	select {
	case err := <-r.done:
		return err
	case <-e.failure.done:
	}
	select {
	case err := <-r.done: // it was settled before the failure
		return err
	default:
		r.lost = true // the committer may still look at it
		return e.failure.err()
	}
}

func sizeOf(c *stream.Commit) (int, error) {
	size := 64
	for i := range c.Puts {
		size += len(c.Puts[i].Source) + 16
		if len(c.Puts[i].Source) > maxSource {
			return 0, fmt.Errorf("commit records for %s: %w: the source has a name of %d bytes, the limit is %d", c.Puts[i].Stream, stream.ErrInvalid, len(c.Puts[i].Source), maxSource)
		}
		if len(c.Puts[i].Events) > maxRecords {
			return 0, fmt.Errorf("commit %d records for %s: %w: the limit is %d", len(c.Puts[i].Events), c.Puts[i].Stream, stream.ErrTooLarge, maxRecords)
		}
		for j := range c.Puts[i].Events {
			size += encodedSize(&c.Puts[i].Events[j])
		}
	}
	keys := make(map[string]bool, len(c.State)+len(c.Marks))
	for i := range c.State {
		size += len(c.State[i].Key) + len(c.State[i].Value) + 16
		if err := checkKey(keys, spaceKey(spaceState, c.State[i].Key)); err != nil {
			return 0, err
		}
	}
	for i := range c.Marks {
		size += len(c.Marks[i].Key) + len(c.Marks[i].Value) + 24
		if err := checkKey(keys, spaceKey(spaceMarks, c.Marks[i].Key)); err != nil {
			return 0, err
		}
	}
	if size > maxCommit {
		return 0, fmt.Errorf("commit %d bytes: %w: the limit is %d", size, stream.ErrTooLarge, maxCommit)
	}
	return size, nil
}

// checkKey checks the key of a mark or state entry, its space before it, against the bounds and those seen before.
func checkKey(seen map[string]bool, key []byte) error {
	if len(key) < 2 || len(key) > maxKeySize+1 {
		return fmt.Errorf("key of a mark or state entry has %d bytes: %w: want 1 to %d", len(key)-1, stream.ErrInvalid, maxKeySize)
	}
	if seen[string(key)] {
		return fmt.Errorf("key %q comes twice in one commit: %w", key[1:], stream.ErrInvalid)
	}
	seen[string(key)] = true
	return nil
}

// request is one commit on its way through the committer, or one administrative change.
type request struct {
	commit *stream.Commit
	puts   []encodedPut
	change func(*frame) error // of an administrative change, which goes alone
	done   chan error         // buffered by one
	lost   bool               // the committer may still use it: do not recycle
}

// encodedPut is one Put, encoded by shard.
type encodedPut struct {
	stream *streamState
	router *stream.Router
	slots  []*shardState
	runs   []run
	slot   []uint32 // of each event; nil if there is one shard
}

// run is what one shard gets from one put: a stored batch with an empty trailer.
type run struct {
	shard *shardState
	value []byte // what is stored; its memory is used again
	sum   uint32 // checksum of everything before the trailer
	count uint32
	bytes uint64 // keys and payloads
	first uint64 // set by the committer
	at    time.Time
}

func newRequest() any { return &request{done: make(chan error, 1)} }

// keepBuffers is how many bytes of buffers a request keeps for the next one: what a commit of a producer needs with its default
// settings. Making them anew costs more than filling them.
const keepBuffers = 8 << 20

// recycle gives r back unless somebody may still use it. Buffers beyond the usual size are left to the collector.
func (e *Engine) recycle(r *request) {
	if r.lost {
		return
	}
	kept := 0
	for i := range r.puts {
		p := &r.puts[i]
		for j := range p.runs {
			run := &p.runs[j]
			run.shard, run.value = nil, run.value[:0]
			if kept += cap(run.value); kept > keepBuffers {
				run.value = nil
			}
		}
		p.stream, p.router, p.slots = nil, nil, nil
	}
	r.commit, r.change = nil, nil
	e.requests.Put(r)
}

// encode encodes all puts of r for the shards that are open now.
func (e *Engine) encode(r *request) error {
	r.puts = resize(r.puts, len(r.commit.Puts))
	for i := range r.commit.Puts {
		s, err := e.catalog.stream(r.commit.Puts[i].Stream)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		r.puts[i].stream = s
		e.encodePut(&r.puts[i], &r.commit.Puts[i])
	}
	return nil
}

// encodePut encodes a put for the shards of p's stream.
func (e *Engine) encodePut(p *encodedPut, put *stream.Put) {
	s := e.scratch.Get().(*scratch)
	p.encode(put, s)
	s.trim()
	e.scratch.Put(s)
}

// scratch is what encoding needs and nothing later does. It is given back before the commit waits for the disk, so that all commits
// share a little of it, which stays in the caches of the processor.
type scratch struct {
	plain [][]byte // a batch for each shard, before it is compressed
	keys  slotCache
}

func newScratch() any { return new(scratch) }

// trim leaves buffers beyond the usual size to the collector.
func (s *scratch) trim() {
	kept := 0
	for i := range s.plain {
		if kept += cap(s.plain[i]); kept > keepBuffers {
			s.plain[i] = nil
		}
	}
}

func (p *encodedPut) encode(put *stream.Put, s *scratch) {
	p.router, p.slots = p.stream.routing()
	p.runs = resize(p.runs, len(p.slots))
	s.plain = resize(s.plain, len(p.slots))
	for i := range p.runs {
		run := &p.runs[i]
		run.shard, run.value, run.count, run.bytes = p.slots[i], run.value[:0], 0, 0
	}
	p.slot = p.slot[:0]
	for i := range put.Events {
		e := &put.Events[i]
		slot := 0
		if len(p.slots) > 1 {
			slot = s.keys.slot(p.router, e)
			p.slot = append(p.slot, uint32(slot))
		}
		run, plain := &p.runs[slot], s.plain[slot]
		if run.count == 0 {
			plain = appendHead(plain[:0], put.Source)
		}
		s.plain[slot] = appendRecord(plain, e)
		run.count++
		run.bytes += uint64(e.Size())
	}
	for i := range p.runs {
		if run := &p.runs[i]; run.count > 0 {
			run.value = compress(s.plain[i], run.value)
			run.sum = checksum(run.value[:len(run.value)-trailerSize])
		}
	}
}

// slotCache remembers where short partition keys go: the ring is defined by MD5, which costs more than everything else that is done
// with a record.
type slotCache struct {
	router  *stream.Router // for which the entries hold
	entries []slotEntry
}

type slotEntry struct {
	slot   uint32
	length uint8 // of key plus one; 0: empty
	key    [27]byte
}

const slotCacheSize = 1024 // a power of two

var slotSeed = maphash.MakeSeed()

func (c *slotCache) slot(r *stream.Router, e *leat.Event) int {
	key := e.PartitionKey
	if e.HashKey != nil || len(key) > len(slotEntry{}.key) {
		return r.Slot(e)
	}
	if c.router != r {
		c.router = r
		if c.entries == nil {
			c.entries = make([]slotEntry, slotCacheSize)
		}
		clear(c.entries)
	}
	entry := &c.entries[maphash.String(slotSeed, key)%slotCacheSize]
	if int(entry.length) != len(key)+1 || string(entry.key[:len(key)]) != key {
		entry.slot = uint32(r.Slot(e))
		entry.length = uint8(len(key) + 1)
		copy(entry.key[:], key)
	}
	return int(entry.slot)
}

var emptyTrailer [trailerSize]byte

// resize returns s with length n, keeping the elements that were there for their buffers.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make([]T, n-cap(s))...)
}

// receipt says where every event went, if the commit asks for it.
func (r *request) receipt(c *stream.Commit) stream.Receipt {
	if !c.Placed {
		return stream.Receipt{}
	}
	out := stream.Receipt{Puts: make([][]stream.Placed, len(r.puts))}
	for i := range r.puts {
		p := &r.puts[i]
		placed := make([]stream.Placed, len(c.Puts[i].Events))
		next := make([]uint64, len(p.runs))
		for j := range p.runs {
			next[j] = p.runs[j].first
		}
		for j := range placed {
			slot := 0
			if len(p.slot) > 0 {
				slot = int(p.slot[j])
			}
			run := &p.runs[slot]
			placed[j] = stream.Placed{Shard: run.shard.id, Sequence: run.shard.sequence(next[slot], run.at)}
			next[slot]++
		}
		out.Puts[i] = placed
	}
	return out
}

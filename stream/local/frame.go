package local

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatstream/leat/stream"
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// frame is one commit of the database: what a group of requests puts, sets and removes. The committer builds it; from then until it is
// settled nobody changes it.
type frame struct {
	e     *Engine
	batch *pebble.Batch
	prior *frame // the one before, which may not be durable yet

	marks   map[string]stream.Mark // changed in this frame
	touched map[*shardState]bool   // put to in this frame
	born    uint64                 // ends of the shards that the frame makes, less those it removes
	changes []change               // keys that are set or removed in this frame
	first   []func()               // what readers must know before records are removed
	then    []func()               // what becomes visible once the frame is durable
	settled []*request             // accepted into this frame

	number uint64   // of the commit
	ends   []extent // where the shards end that were put to
	busy   bool     // handed to the finisher; the committer's own note
	idle   chan struct{}
}

// extent is where a shard ends once a frame is durable. The shard itself may already be further.
type extent struct {
	shard   *shardState
	next    uint64
	arrived time.Time
	total   uint64
}

func newFrame(e *Engine) *frame {
	return &frame{e: e, marks: map[string]stream.Mark{}, touched: map[*shardState]bool{}, idle: make(chan struct{}, 1)}
}

func (f *frame) reset() {
	f.batch, f.born = nil, 0
	clear(f.settled)
	f.settled = f.settled[:0]
	f.first = f.first[:0]
	f.then = f.then[:0]
	f.changes = f.changes[:0]
	f.ends = f.ends[:0]
	clear(f.marks)
	clear(f.touched)
}

// mark returns the newest value of a mark, durable or not.
func (f *frame) mark(key string) stream.Mark {
	for _, at := range []*frame{f, f.prior} {
		if m, changed := at.marks[key]; changed {
			return m
		}
	}
	return f.e.marks.get(key)
}

// publish makes what is durable visible.
func (f *frame) publish() {
	f.e.marks.set(f.marks)
	for i := range f.ends {
		f.ends[i].publish()
	}
	for _, then := range f.then {
		then()
	}
}

// settle tells those who wait.
func (f *frame) settle(err error) {
	for _, r := range f.settled {
		r.done <- err
	}
}

// add checks r against everything before it and writes it into the frame.
func (f *frame) add(r *request) error {
	if r.change != nil {
		return r.change(f)
	}
	c := r.commit
	if err := f.checkMarks(c.Marks); err != nil {
		return err
	}
	if holdsEvents(c.Puts) && !f.e.opts.test.guards.noReserve {
		if err := f.e.space.refuse(f.e.now()); err != nil {
			return err
		}
	}
	for i := range r.puts {
		if err := f.checkPut(&r.puts[i], &c.Puts[i]); err != nil {
			return err
		}
	}
	for i := range r.puts {
		f.addPut(&r.puts[i])
	}
	for i := range c.State {
		f.set(spaceKey(spaceState, c.State[i].Key), c.State[i].Value)
	}
	for i := range c.Marks {
		f.addMark(&c.Marks[i])
	}
	return nil
}

// holdsEvents reports whether there is anything to put.
func holdsEvents(puts []stream.Put) bool {
	for i := range puts {
		if len(puts[i].Events) > 0 {
			return true
		}
	}
	return false
}

// checkPut makes sure that p is encoded for the shards of now; after a split or merge it is done again.
func (f *frame) checkPut(p *encodedPut, put *stream.Put) error {
	now, err := f.e.catalog.stream(p.stream.name)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	router, _ := now.routing()
	if now != p.stream || router != p.router {
		p.stream = now
		f.e.encodePut(p, put)
	}
	return nil
}

func (f *frame) addPut(p *encodedPut) {
	now := f.e.now()
	for i := range p.runs {
		run := &p.runs[i]
		if run.count == 0 {
			continue
		}
		s := run.shard
		s.arrived = latest(s.arrived, s.created, now.Truncate(time.Millisecond))
		s.total += run.bytes
		k := batchKey{stream: s.stream.id, shard: s.id, first: s.next, count: run.count}
		sealBatch(run.value, run.sum, trailer{k, s.arrived, s.total})
		op := f.batch.SetDeferred(recordKeySize, len(run.value))
		copy(op.Key, recordKey(k))
		copy(op.Value, run.value)
		_ = op.Finish()
		run.first, run.at = s.next, s.arrived
		s.next = k.end()
		f.touched[s] = true
	}
}

func latest(times ...time.Time) time.Time {
	t := times[0]
	for _, o := range times[1:] {
		if o.After(t) {
			t = o
		}
	}
	return t
}

// commitState is the value under keyCommit: what the last commit knew.
type commitState struct {
	number uint64    // of the commit
	epoch  uint64    // of the opening
	at     time.Time // when the clock was last trusted: the time of the commit, but for an hour after a jump
	digest uint64    // of everything but the batches
	ends   uint64    // of where the batches of every shard end
}

func (c commitState) encode() []byte {
	value := binary.BigEndian.AppendUint64(nil, c.number)
	value = binary.BigEndian.AppendUint64(value, c.epoch)
	value = binary.BigEndian.AppendUint64(value, uint64(c.at.UnixMilli()))
	value = binary.BigEndian.AppendUint64(value, c.digest)
	return binary.BigEndian.AppendUint64(value, c.ends)
}

func decodeCommitState(value []byte) (commitState, error) {
	if len(value) != 40 {
		return commitState{}, fmt.Errorf("%w: the commit number has %d bytes, want 40", errMissing, len(value))
	}
	return commitState{
		number: binary.BigEndian.Uint64(value), epoch: binary.BigEndian.Uint64(value[8:]),
		at:     time.UnixMilli(int64(binary.BigEndian.Uint64(value[16:]))),
		digest: binary.BigEndian.Uint64(value[24:]), ends: binary.BigEndian.Uint64(value[32:]),
	}, nil
}

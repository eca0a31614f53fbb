package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatstream/leat/stream"
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// queue holds the requests that wait for the committer.
type queue struct {
	mu     sync.Mutex
	wait   []*request
	closed bool
	wake   chan struct{} // buffered by one
}

// push reports false once the queue is closed.
func (q *queue) push(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.wait = append(q.wait, r)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take moves requests into group: as many commits as fit, or one administrative change.
func (q *queue) take(group []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for len(q.wait) > 0 {
		r := q.wait[0]
		if r.change != nil && len(group) > 0 || size > maxGroup {
			break
		}
		for i := range r.puts {
			for j := range r.puts[i].runs {
				size += len(r.puts[i].runs[j].value)
			}
		}
		group = append(group, r)
		q.wait[0] = nil
		q.wait = q.wait[1:]
		if r.change != nil {
			break
		}
	}
	return group
}

// close refuses further requests and reports whether any still wait.
func (q *queue) close() (waiting bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	return len(q.wait) > 0
}

// maxGroup is the size in bytes beyond which no further commit joins a group: above it the
// disk gets slower, not faster.
const maxGroup = 1 << 20

// committer is the one goroutine that writes to the database. It gathers what waits into one synced
// pebble batch, so that the number of syncs does not grow with the number of writers, and is the
// owner of all that is not yet durable.
//
// Pebble panics where a write to its log fails; that is one more way to fail, and the goroutine ends.
func (e *Engine) committer(f *frame) {
	defer close(e.stopped)
	defer func() {
		if p := recover(); p != nil {
			e.fail(fmt.Errorf("pebble gave up: %v", p))
		}
	}()
	timer := time.NewTimer(sealAfter)
	defer timer.Stop()
	var group []*request
	for {
		group = e.queue.take(group[:0])
		if len(group) > 0 {
			e.commitGroup(f, group)
			timer.Reset(sealAfter)
			continue
		}
		select {
		case <-e.queue.wake:
		case <-timer.C:
			_ = e.seal(f) // an error has stopped the engine
		case <-e.stop:
			if !e.queue.close() {
				_ = e.seal(f)
				return
			}
		}
	}
}

// frame is the state of the committer and the commit it is building.
type frame struct {
	e      *Engine
	batch  *pebble.Batch
	number uint64 // of the last commit
	epoch  uint64 // of this opening
	sealed bool
	digest *digest
	ends   uint64 // sum over all shards of where they end

	marks   map[string]stream.Mark // changed in this frame
	touched map[*shardState]bool   // put to in this frame
	born    uint64                 // ends of the shards that the frame makes, less those it removes
	changes []change               // keys that are set or removed in this frame
	first   []func()               // what readers must know before records are removed
	then    []func()               // what becomes visible once the frame is durable
	settled []*request             // accepted into this frame
}

func newFrame(e *Engine, last commitState, d *digest) *frame {
	return &frame{
		e: e, number: last.number + 1, epoch: last.epoch + 1, digest: d, ends: e.catalog.ends(),
		marks: map[string]stream.Mark{}, touched: map[*shardState]bool{},
	}
}

// commitGroup stores a group, makes it visible and tells everyone. A request that is refused leaves
// nothing in the frame.
func (e *Engine) commitGroup(f *frame, group []*request) {
	if err := e.failure.err(); err != nil {
		for _, r := range group {
			r.done <- err
		}
		return
	}
	f.batch = e.db.NewBatchWithSize(batchSize(group))
	for _, r := range group {
		if err := f.add(r); err != nil {
			r.done <- err
			continue
		}
		f.settled = append(f.settled, r)
	}
	if len(f.settled) > 0 {
		err := f.store()
		if err != nil {
			e.fail(err)
			err = e.failure.err()
		}
		for _, r := range f.settled {
			r.done <- err
		}
	}
	_ = f.batch.Close()
	f.reset()
}

func batchSize(group []*request) int {
	size := 256
	for _, r := range group {
		for i := range r.puts {
			for j := range r.puts[i].runs {
				size += len(r.puts[i].runs[j].value) + 2*recordKeySize
			}
		}
	}
	return size
}

func (f *frame) reset() {
	f.batch, f.born = nil, 0
	f.settled = f.settled[:0]
	f.first = f.first[:0]
	f.then = f.then[:0]
	f.changes = f.changes[:0]
	clear(f.marks)
	clear(f.touched)
}

// store makes the frame durable, then visible. Its order is the whole promise: the database, then the
// high-water file, then the readers, then the acknowledgement. Removing goes the other way: readers learn of it first, because pebble
// removes before the sync. Should the sync fail, the engine stops, and what was removed is there again after the next start.
func (f *frame) store() error {
	f.number++
	for _, c := range f.changes {
		f.digest.set(c.key, c.hash, c.present)
	}
	f.ends += f.born
	for s := range f.touched {
		before := s.end
		f.ends += s.setEnd() - before
	}
	f.put(keyCommit, f.state().encode())
	if !f.e.opts.test.guards.noHighWater && f.e.high.full(len(f.touched)) {
		if err := f.e.seal(f); err != nil {
			return err
		}
	}
	if f.e.opts.test.guards.noDurablePosition {
		f.publish()
	}
	for _, first := range f.first {
		first()
	}
	if err := f.e.db.Apply(f.batch, pebble.Sync); err != nil {
		return fmt.Errorf("commit %d: %w", f.number, err)
	}
	if err := f.e.failure.err(); err != nil {
		return err // something else failed meanwhile: nothing is certain any more
	}
	f.sealed = false
	if err := f.writeHighWater(); err != nil {
		return err
	}
	f.publish()
	return nil
}

// state is what the commit of the frame knows.
func (f *frame) state() commitState {
	_, trusted := f.e.clock.look()
	return commitState{f.number, f.epoch, trusted, f.digest.sum, f.ends}
}

func (f *frame) writeHighWater() error {
	if f.e.opts.test.guards.noHighWater {
		return nil
	}
	if len(f.touched) <= slotShards {
		return f.e.high.write(f.number, f.touched)
	}
	if err := f.e.seal(f); err != nil { // too many for the file: synced blocks of the log speak for them
		return err
	}
	return f.e.high.write(f.number, nil)
}

func (f *frame) publish() {
	f.e.marks.set(f.marks)
	for s := range f.touched {
		s.publish()
	}
	for _, then := range f.then {
		then()
	}
}

// seal writes two synced blocks behind the last commit, so that damage to it shows as damage: in the last
// block of a log it would pass for a commit that was never finished.
func (e *Engine) seal(f *frame) error {
	if f.sealed || e.opts.test.guards.noSeal {
		return nil
	}
	if err := e.failure.err(); err != nil {
		return err
	}
	for range 2 {
		b := e.db.NewBatch()
		err := errors.Join(b.LogData(sealBlock[:], nil), e.db.Apply(b, pebble.Sync), b.Close())
		if err != nil {
			e.fail(fmt.Errorf("seal the log: %w", err))
			return err
		}
	}
	f.sealed = true
	e.high.sealed()
	return nil
}

var sealBlock [32 << 10]byte

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

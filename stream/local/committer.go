package local

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// committer is the one writer of the database, and the owner of all that is not yet durable. It gathers what waits into one pebble batch,
// so that the number of syncs does not grow with the number of writers, and builds the next one while the disk syncs the last:
//
//	committer   build 1, apply 1 │ build 2, apply 2 │  wait  │ build 3, apply 3
//	finisher                     │ sync 1 … publish 1, acknowledge 1 │ sync 2 …
//
// Frames become durable, visible and acknowledged in their order. One is built on what the one before it will leave, so if a frame fails,
// the engine stops and all that follow fail with it. Administrative changes and seals go alone.
type committer struct {
	e      *Engine
	number uint64 // of the last commit
	epoch  uint64 // of this opening
	digest *digest
	ends   uint64               // sum over all shards of where they end
	sealed bool                 // nothing follows the last seal
	named  map[*shardState]bool // put to since the last seal: those that the high-water file names

	frames   [2]*frame // used in turn
	turn     int
	handed   chan *frame   // to the finisher
	finished chan struct{} // closed by the finisher
}

func newCommitter(e *Engine, last commitState, d *digest) *committer {
	c := &committer{
		e: e, number: last.number + 1, epoch: last.epoch + 1, digest: d, ends: e.catalog.ends(), named: map[*shardState]bool{},
		frames: [2]*frame{newFrame(e), newFrame(e)}, handed: make(chan *frame, 1), finished: make(chan struct{}),
	}
	c.frames[0].prior, c.frames[1].prior = c.frames[1], c.frames[0]
	return c
}

// run commits until the engine is closed and the queue is empty, or until something fails.
//
// Pebble panics where a write to its log fails; that is one more way to fail, and the goroutine ends.
func (c *committer) run() {
	e := c.e
	defer close(e.stopped)
	defer e.failOnPanic()
	go c.finisher()
	defer c.dismiss()
	timer := time.NewTimer(sealAfter)
	defer timer.Stop()
	var group []*request
	for {
		f := c.free() // first, so that what comes meanwhile goes into one group
		group = e.queue.take(group[:0])
		if len(group) > 0 {
			c.commit(f, group)
			timer.Reset(sealAfter)
			continue
		}
		select {
		case <-e.queue.wake:
		case <-timer.C:
			_ = c.seal() // an error has stopped the engine
		case <-e.stop:
			if !e.queue.close() {
				_ = c.seal()
				return
			}
		}
	}
}

// dismiss ends the finisher.
func (c *committer) dismiss() {
	close(c.handed)
	select {
	case <-c.finished:
	case <-c.e.failure.done: // it may hang in a sync
	}
}

func (e *Engine) failOnPanic() {
	if p := recover(); p != nil {
		e.fail(fmt.Errorf("pebble gave up: %v", p))
	}
}

// free returns a frame to build in. After a failure it may still be in use, and must be left alone.
func (c *committer) free() *frame {
	f := c.frames[c.turn]
	f.await()
	return f
}

// drain waits until all that was handed over is settled.
func (c *committer) drain() {
	for _, f := range c.frames {
		f.await()
	}
}

// await returns when the frame is no longer in use, or the engine has failed.
func (f *frame) await() {
	if !f.busy {
		return
	}
	select {
	case <-f.idle:
		f.busy = false
	case <-f.e.failure.done:
	}
}

// commit builds a frame of a group and sees to it that it is stored, made visible and acknowledged. A request that is refused leaves
// nothing in the frame.
func (c *committer) commit(f *frame, group []*request) {
	alone := group[0].change != nil
	if alone {
		c.drain()
	}
	if err := c.e.failure.err(); err != nil {
		for _, r := range group {
			r.done <- err
		}
		return
	}
	f.reset()
	f.batch = c.e.db.NewBatchWithSize(batchSize(group))
	for _, r := range group {
		if err := f.add(r); err != nil {
			r.done <- err
			continue
		}
		f.settled = append(f.settled, r)
	}
	if len(f.settled) == 0 {
		_ = f.batch.Close()
		return
	}
	c.turn ^= 1
	if err := c.apply(f); err != nil {
		c.e.fail(err)
		f.settle(c.e.failure.err())
		return
	}
	if alone || f.wide() {
		c.drain()
		c.finish(f)
		return
	}
	f.busy = true
	c.handed <- f
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

// apply writes the frame to the log and into memory. It does not wait for the sync.
func (c *committer) apply(f *frame) error {
	c.number++
	f.number = c.number
	for _, change := range f.changes {
		c.digest.set(change.key, change.hash, change.present)
	}
	c.ends += f.born
	for s := range f.touched {
		before := s.end
		c.ends += s.setEnd() - before
		f.ends = append(f.ends, extent{s, s.next, s.arrived, s.total})
	}
	f.put(keyCommit, c.state().encode())
	if err := c.name(f); err != nil {
		return err
	}
	if c.e.opts.test.guards.noDurablePosition {
		f.publish()
	}
	for _, first := range f.first {
		first()
	}
	c.sealed = false
	if err := c.e.db.ApplyNoSyncWait(f.batch, pebble.Sync); err != nil {
		return fmt.Errorf("commit %d: %w", f.number, err)
	}
	return nil
}

// state is what the last commit knows.
func (c *committer) state() commitState {
	_, trusted := c.e.clock.look()
	return commitState{c.number, c.epoch, trusted, c.digest.sum, c.ends}
}

// name makes sure that the high-water file has room for the shards of the frame.
func (c *committer) name(f *frame) error {
	if c.e.opts.test.guards.noHighWater || f.wide() {
		return nil
	}
	for range 2 {
		for s := range f.touched {
			c.named[s] = true
		}
		if len(c.named) <= slotShards {
			return nil
		}
		if err := c.seal(); err != nil {
			return err
		}
	}
	return nil
}

// wide reports whether the frame has more shards than the high-water file can name: synced blocks of the log speak for them.
func (f *frame) wide() bool { return len(f.touched) > slotShards }

// finisher finishes what the committer has handed over.
func (c *committer) finisher() {
	defer close(c.finished)
	defer c.e.failOnPanic()
	for f := range c.handed {
		c.finish(f)
		f.idle <- struct{}{}
	}
}

// finish waits until the frame is durable, makes it visible and tells everyone.
func (c *committer) finish(f *frame) {
	err := c.complete(f)
	if err != nil {
		c.e.fail(err)
		err = c.e.failure.err()
	}
	f.settle(err)
	if err == nil {
		_ = f.batch.Close()
	}
}

// complete has the whole promise in its order: the database, then the high-water file, then the readers; the acknowledgement is last.
// Removing goes the other way: readers learn of it first, because pebble removes before the sync. Should the sync fail, the engine stops,
// and what was removed is there again after the next start.
func (c *committer) complete(f *frame) error {
	if err := f.batch.SyncWait(); err != nil && !c.e.opts.test.guards.noStop {
		return fmt.Errorf("commit %d: %w", f.number, err)
	}
	if err := c.e.failure.err(); err != nil {
		return err // something else failed meanwhile: nothing is certain any more
	}
	if !c.e.opts.test.guards.noHighWater {
		if err := c.writeHighWater(f); err != nil {
			return err
		}
	}
	f.publish()
	return nil
}

func (c *committer) writeHighWater(f *frame) error {
	if !f.wide() {
		return c.e.high.write(f.number, f.ends)
	}
	if err := c.seal(); err != nil {
		return err
	}
	return c.e.high.write(f.number, nil)
}

// seal writes two synced blocks behind the last commit, so that damage to it shows as damage: in the last
// block of a log it would pass for a commit that was never finished.
func (c *committer) seal() error {
	e := c.e
	if c.sealed || e.opts.test.guards.noSeal {
		return nil
	}
	c.drain()
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
	c.sealed = true
	clear(c.named)
	e.high.sealed()
	return nil
}

// sealAfter is how long after the last commit the log is sealed.
const sealAfter = 50 * time.Millisecond

var sealBlock [32 << 10]byte

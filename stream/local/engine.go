// Package local is the embedded engine: streams in one directory of this machine, on Pebble.
//
// # What it promises
//
// A Commit that returned nil is on disk: it survives the death of the process, the kernel and the power,
// as far as the disk does what it says. A Commit is there whole or not at all. What readers have seen is
// never taken back, and a sequence number is never given twice. After the first error of
// a write or a sync the engine acknowledges nothing more and its Run returns the
// reason; the process must end, and the next start finds what is really there. Damage that a start finds
// makes Open fail with the exact finding and leaves every file as it is; Repair then makes gaps of it that
// readers are told of.
//
// docs/FORMAT.md describes the files and argues why this holds.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/semaphore"

	"github.com/leatstream/leat/stream"
)

// Options change how Open treats a directory. The zero Options are right for production.
type Options struct {
	// FS is the file system; nil is the disk of this machine. With any other there is no
	// protection against a second process.
	FS vfs.FS

	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger

	// ReadOnly opens without changing anything, also a directory that Open would refuse for damage, as long as its database can be
	// opened: Damage tells of it, and what it concerns may be missing from Streams. Several
	// processes may read at the same time; a writer is kept out meanwhile, and keeps readers out.
	ReadOnly bool

	// Reserve is the free room in bytes below which puts are refused with stream.ErrFull. 0: 256 MiB
	// or 2 % of the disk, whichever is less, but at least 32 MiB.
	Reserve int64

	// MemTable is the size in bytes of the buffer that pebble sorts before it writes a table;
	// up to four are in memory. 0: 16 MiB.
	MemTable int64

	test testOptions
}

// testOptions are seams for the tests of this package.
type testOptions struct {
	now           func() time.Time
	mono          func() time.Time
	guards        guards
	noCompactions bool
}

// guards switches single safeguards off, so that tests can prove what each is for.
type guards struct {
	oldFormat         bool // G1: a pebble format without sync chunks
	noStop            bool // G2: errors of writes and syncs do not stop the engine, and Fatalf returns
	noDurablePosition bool // G3: readers see what is not yet synced
	noSeal            bool // G4
	noHighWater       bool // G5
	noIdentity        bool // G6
	noVerify          bool // G7
	noReserve         bool // G9: the space on the disk is not watched
	noLock            bool // G10: only pebble's own lock
}

// Engine is an open data directory. It implements stream.Engine and stream.Admin; all methods
// may be called by any number of goroutines.
type Engine struct {
	dir  string
	opts Options
	log  *slog.Logger
	fs   vfs.FS
	id   identity

	lock       *dirLock
	pebbleLock *pebble.Lock
	db         *pebble.DB
	using      sync.RWMutex // held for reading while an iterator is open, for writing by Close
	high       *highWaterLog
	space      *space
	clock      *clock
	failure    *failure
	damage     []Finding // of a read-only engine: what a writing Open would refuse for

	catalog   catalog
	marks     markTable
	queue     queue
	committer *committer
	requests  sync.Pool
	scratch   sync.Pool
	room      *semaphore.Weighted // bytes of commits in hand

	noted   chan struct{} // closed when the reason of a failure is on disk, as far as that can be
	stop    chan struct{} // closed by Close: the committer drains and ends
	stopped chan struct{} // closed by the committer
	close   sync.Once
}

// Limits of one Commit. A larger one is refused with stream.ErrTooLarge.
const (
	maxCommit  = 32 << 20 // bytes of a commit, as stored: a message of 16 MiB and a batch beside it
	maxInHand  = 64 << 20 // bytes of all commits that wait; more wait for room
	maxRecords = 1 << 20  // records of one put
	maxKeySize = 1 << 10  // bytes of the key of a mark or a state entry
	maxSource  = 1 << 10  // bytes of the name of a source, which every shard of a put stores
)

// Run keeps house until ctx ends: it removes what retention gives up, watches the room on the disk and
// the clock. It returns nil at the end of ctx, and the reason, which wraps
// stream.ErrStopped, when the engine has stopped by itself; the process must end then. The engine works
// without Run, but removes nothing.
func (e *Engine) Run(ctx context.Context) error {
	if e.opts.ReadOnly {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.failure.done:
			select { // the process ends when Run returns
			case <-e.noted:
			case <-time.After(noteFor):
			}
			return e.failure.err()
		case <-tick.C:
			e.space.look(e.now())
			if err := e.retain(ctx); err != nil && ctx.Err() == nil {
				e.log.Warn("retention", "error", err)
			}
		}
	}
}

// Close finishes what is in hand, seals the log and gives the directory free. Readers end with an
// error. After a failure nothing is finished, and only the end of the process frees the directory:
// pebble may hang, or still be writing.
func (e *Engine) Close() error {
	var err error
	e.close.Do(func() {
		close(e.stop)
		closed := make(chan error, 1)
		go func() {
			<-e.stopped
			if e.failure.err() != nil {
				return
			}
			e.using.Lock()
			defer e.using.Unlock()
			closed <- errors.Join(e.high.close(), e.db.Close())
		}()
		select {
		case err = <-closed:
			err = errors.Join(err, e.release())
		case <-e.failure.done:
			err = e.failure.err()
		}
	})
	return err
}

func (e *Engine) release() error {
	var err error
	if e.pebbleLock != nil {
		err = e.pebbleLock.Close()
	}
	return errors.Join(err, e.lock.release())
}

func (e *Engine) now() time.Time { return e.clock.now() }

// fail stops the engine for good. It is called by whoever meets the first error that may have
// lost something; what is written to the file is for the operator who comes later.
func (e *Engine) fail(cause error) {
	if e.failure.fail(cause) {
		e.log.Error("the engine stops: nothing more is acknowledged", "error", cause)
		text := fmt.Sprintf("%s\n%v\n", time.Now().UTC().Format(time.RFC3339), cause)
		go func() { // the disk may hang
			defer close(e.noted)
			_ = writeFile(e.opts.FS, e.dir, stoppedFile, []byte(text))
		}()
	}
}

// stoppedFile holds the reason of the last failure until the next start has reported it.
const stoppedFile = "leat.stopped"

// noteFor is how long Run waits for the reason to be written, on a disk that may hang.
const noteFor = 2 * time.Second

var errClosed = fmt.Errorf("%w: it was closed", stream.ErrStopped)

// ready returns nil while commits are taken.
func (e *Engine) ready() error {
	if e.opts.ReadOnly {
		return stream.ErrReadOnly
	}
	select {
	case <-e.stop:
		return errClosed
	default:
		return e.failure.err()
	}
}

// wall is the time of day before the clock is set up.
func (e *Engine) wall() time.Time {
	if e.opts.test.now != nil {
		return e.opts.test.now()
	}
	return time.Now()
}

package local

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/semaphore"
)

// Open opens the data directory dir, and makes it if there is none. It verifies that everything that was
// acknowledged is there before it changes anything; if it is not, it returns a *DamageError. It returns ErrLocked
// if another process has the directory. After an error of the disk only the end of the process gives the directory free. The engine must be closed, and Run should be running
// while it is in use.
func Open(dir string, opts Options) (*Engine, error) {
	e := &Engine{
		dir: dir, opts: opts, log: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
		failure: newFailure(), room: semaphore.NewWeighted(maxInHand),
		requests: sync.Pool{New: newRequest}, scratch: sync.Pool{New: newScratch},
		queue: queue{wake: make(chan struct{}, 1)},
		stop:  make(chan struct{}), stopped: make(chan struct{}), noted: make(chan struct{}),
	}
	e.opts.MemTable = cmp.Or(opts.MemTable, 16<<20)
	opened := make(chan error, 1)
	go func() { opened <- e.tryOpen() }()
	var err error
	select {
	case err = <-opened:
	case <-e.failure.done: // pebble never returns from it
		err = e.failure.err()
	}
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	return e, nil
}

// tryOpen opens the directory, or gives everything free again. Pebble panics at some damage.
func (e *Engine) tryOpen() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &DamageError{e.dir, []Finding{{File: dbDir, Reason: fmt.Sprintf("it cannot be opened: %v", p)}}}
		}
	}()
	if err = e.open(); err == nil {
		return nil
	}
	if e.db != nil {
		err = errors.Join(err, e.db.Close())
	}
	return errors.Join(err, e.release())
}

func (e *Engine) open() error {
	base := e.opts.FS
	if base == nil {
		base = vfs.Default
		if err := e.prepareDir(); err != nil {
			return err
		}
		if e.opts.ReadOnly {
			base = lockless{base}
		}
	} else if err := makeDir(base, e.dir); err != nil {
		return err
	}
	e.opts.FS = base
	e.space = newSpace(base, e.dir, e.opts.Reserve)
	e.fs = e.fileSystem(base)
	fresh, err := e.fresh()
	if err != nil {
		return err
	}
	if fresh {
		if e.opts.ReadOnly {
			return fmt.Errorf("there is nothing to read: %w", os.ErrNotExist)
		}
		if err := e.create(); err != nil {
			return err
		}
	}
	return e.openExisting()
}

// prepareDir makes the directory of a real disk and takes its lock.
func (e *Engine) prepareDir() (err error) {
	if e.opts.ReadOnly {
		if _, err := os.Stat(e.dir); err != nil {
			return err
		}
		e.lock, err = lockDirShared(e.dir)
		return err
	}
	if err := makeDir(vfs.Default, e.dir); err != nil {
		return err
	}
	if !e.opts.test.guards.noLock {
		e.lock, err = lockDir(e.dir)
	}
	return err
}

// fresh reports whether the directory holds no database of ours. One that was being made when the process died
// has never acknowledged anything and is made again; anything else that is half there is refused.
func (e *Engine) fresh() (bool, error) {
	fs := e.opts.FS
	id, err := exists(fs, fs.PathJoin(e.dir, identityFile))
	if err != nil {
		return false, err
	}
	making, err := exists(fs, fs.PathJoin(e.dir, newFile))
	if err != nil {
		return false, err
	}
	names, err := fs.List(fs.PathJoin(e.dir, dbDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	switch {
	case id && len(names) == 0 && !e.opts.test.guards.noIdentity:
		return false, &DamageError{e.dir, []Finding{{File: dbDir, Reason: "the database is missing, but " + identityFile + " says that there was one"}}}
	case id:
		return false, nil
	case making && !e.opts.ReadOnly:
		return true, fs.RemoveAll(fs.PathJoin(e.dir, dbDir))
	case len(names) > 0 && !e.opts.test.guards.noIdentity:
		return false, &DamageError{e.dir, []Finding{{File: identityFile, Reason: "it is missing, but there is a database"}}}
	}
	return true, nil
}

// create makes an empty database. The identity file comes last: without it nothing was ever acknowledged.
func (e *Engine) create() error {
	fs, id := e.opts.FS, newIdentity()
	if err := writeFile(fs, e.dir, newFile, []byte(id.text())); err != nil {
		return err
	}
	dir := fs.PathJoin(e.dir, dbDir)
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	o := e.pebbleOptions(false)
	o.ErrorIfNotExists, o.ErrorIfExists = false, !e.opts.test.guards.noIdentity
	db, err := pebble.Open(dir, o)
	if err != nil {
		return err
	}
	first := sealValue(keyCommit, commitState{at: e.wall()}.encode())
	if err := errors.Join(db.Set(keyCommit, first, pebble.Sync), db.Close()); err != nil {
		return err
	}
	if err := createHighWater(fs, e.dir, id); err != nil {
		return err
	}
	if err := fs.Rename(fs.PathJoin(e.dir, newFile), fs.PathJoin(e.dir, identityFile)); err != nil {
		return err
	}
	return syncDir(fs, e.dir)
}

// openExisting verifies the database read-only, in which mode pebble deletes nothing, and then opens it.
func (e *Engine) openExisting() (err error) {
	fs := e.opts.FS
	e.id, err = readIdentity(fs, e.dir)
	switch {
	case errors.Is(err, os.ErrNotExist) && e.opts.test.guards.noIdentity:
		e.id = identity{1}
	case err != nil:
		return err
	}
	e.reportStop()
	dir := fs.PathJoin(e.dir, dbDir)
	if e.pebbleLock, err = pebble.LockDirectory(dir, fs); err != nil {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if err := settleManifest(fs, dir, e.opts.ReadOnly); err != nil {
		return err
	}
	findings, err := e.inspect(dir)
	var damage *DamageError
	if errors.As(err, &damage) {
		return &DamageError{e.dir, append(findings, damage.Findings...)}
	}
	if err != nil {
		return err
	}
	if len(findings) > 0 && !e.opts.ReadOnly {
		return &DamageError{e.dir, findings}
	}
	e.damage = findings
	if e.opts.ReadOnly {
		close(e.stopped)
		if err := e.loadClock(); !isDamage(err) {
			return err
		}
		return nil // it is among the findings
	}
	if e.db, err = pebble.Open(dir, e.pebbleOptions(false)); err != nil {
		return err
	}
	return e.start()
}

// settleManifest takes back an unfinished change of the MANIFEST. Pebble makes the new file, then a marker that names it, and then
// syncs the directory once: a crash in between may leave the marker without the file. The marker before it still names a whole
// MANIFEST then, since the new one has never been used.
func settleManifest(fs vfs.FS, dir string, readOnly bool) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	const prefix = "marker.manifest."
	markers := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, prefix) })
	slices.Sort(markers) // by their number, which has leading zeros
	target := func(marker string) string { return marker[strings.LastIndexByte(marker, '.')+1:] }
	for i := len(markers) - 1; i > 0 && !readOnly; i-- {
		if slices.Contains(names, target(markers[i])) || !slices.Contains(names, target(markers[i-1])) {
			return nil
		}
		if err := errors.Join(fs.Remove(fs.PathJoin(dir, markers[i])), syncDir(fs, dir)); err != nil {
			return err
		}
	}
	return nil
}

// inspect opens the database read-only and verifies it. A read-only engine keeps it open.
func (e *Engine) inspect(dir string) ([]Finding, error) {
	if e.opts.test.guards.noVerify {
		return nil, nil
	}
	var findings []Finding
	high, err := readHighWater(e.opts.FS, e.dir, e.id)
	if e.opts.test.guards.noHighWater {
		high, err = nil, nil
	}
	if err != nil {
		findings = append(findings, Finding{File: highWaterFile, Reason: err.Error()})
	}
	if e.db, err = pebble.Open(dir, e.pebbleOptions(true)); err != nil {
		return findings, e.openError(err)
	}
	found, err := e.verify(high)
	findings = append(findings, found...)
	if err == nil && e.opts.ReadOnly {
		return findings, nil
	}
	err = errors.Join(err, e.db.Close())
	e.db = nil
	return findings, err
}

// openError tells damage, which pebble refuses, from a disk that does not answer.
func (e *Engine) openError(err error) error {
	text := err.Error()
	if pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrDBDoesNotExist) || strings.Contains(text, "does not exist") ||
		strings.Contains(text, "format major version") || strings.Contains(text, "not pristine") || strings.Contains(text, "corrupt") {
		reason, _, _ := strings.Cut(text, "\n") // behind it pebble says where in its own code
		return &DamageError{e.dir, []Finding{{File: dbDir, Reason: reason}}}
	}
	return err
}

// Damage returns what a read-only engine found wrong; a writing Open would have returned it as an error.
func (e *Engine) Damage() []Finding { return e.damage }

// start loads everything, raises the epoch and starts the committer.
func (e *Engine) start() error {
	if err := e.loadClock(); err != nil {
		return err
	}
	if err := errors.Join(e.loadCatalog(), e.loadMarks()); err != nil {
		return err
	}
	last, err := e.loadCommit()
	if err != nil {
		return err
	}
	d, err := e.loadDigest()
	if err != nil {
		return err
	}
	c := newCommitter(e, last, d)
	if e.high, err = openHighWater(e.fs, e.dir, e.id, c.epoch); err != nil {
		return err
	}
	first := sealValue(keyCommit, c.state().encode())
	if err := e.db.Set(keyCommit, first, pebble.Sync); err != nil {
		return err
	}
	if err := e.failure.err(); err != nil {
		return err
	}
	if err := e.high.write(c.number, nil); err != nil {
		return err
	}
	e.space.look(e.now())
	e.committer = c
	go c.run()
	return nil
}

func (e *Engine) loadClock() error {
	last, err := e.loadCommit()
	e.clock = newClock(e.opts.test, last.at)
	return err
}

// reportStop tells why the last process stopped, if it left word.
func (e *Engine) reportStop() {
	path := e.opts.FS.PathJoin(e.dir, stoppedFile)
	if text, err := readFile(e.opts.FS, path); err == nil {
		e.log.Warn("the last run stopped because of an error", "reason", strings.TrimSpace(string(text)))
		if !e.opts.ReadOnly {
			_ = e.opts.FS.Remove(path)
		}
	}
}

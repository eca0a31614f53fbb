package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// lockFile keeps a second process out. Pebble has a lock of its own, but that is a record
// lock, which falls as soon as anything in the process opens and closes its file; flock(2) does not.
const lockFile = "leat.lock"

// ErrLocked is returned by Open where another process has the directory.
var ErrLocked = errors.New("data directory is in use")

// patience is how long a writer waits for readers: they look and go.
const patience = 3 * time.Second

type dirLock struct{ file *os.File }

// lockDir takes the lock of dir or returns an error that names its holder: at once if that is a writer, after a while if
// there are readers.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = flock(f, unix.LOCK_EX)
	readers := false
	for until := time.Now().Add(patience); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(until); err = flock(f, unix.LOCK_EX) {
		if readers = flock(f, unix.LOCK_SH) == nil; !readers {
			break
		}
		_ = flock(f, unix.LOCK_UN) // or two that wait would keep each other out
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil && readers {
		return nil, errors.Join(fmt.Errorf("%w: %s is being read, by leat tap or the like", ErrLocked, dir), f.Close())
	}
	if err != nil {
		return nil, errors.Join(refusal(f, dir, err), f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "pid %d since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // the words are for people, the lock holds without them
		_ = f.Close()
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return &dirLock{f}, nil
}

// lockDirShared keeps writers out, not other readers. It changes nothing: a directory without a lock file has never had a writer.
func lockDirShared(dir string) (*dirLock, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := flock(f, unix.LOCK_SH); err != nil {
		return nil, errors.Join(refusal(f, dir, err), f.Close())
	}
	return &dirLock{f}, nil
}

func flock(f *os.File, how int) error { return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) }

// refusal says who has the lock.
func refusal(f *os.File, dir string, err error) error {
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	holder, _ := io.ReadAll(io.LimitReader(f, 200))
	return fmt.Errorf("%w: %s (%s)", ErrLocked, dir, strings.TrimSpace(string(holder)))
}

// lockless is a file system without pebble's lock: readers share a directory, and leat.lock keeps the writer out.
type lockless struct{ vfs.FS }

// Lock implements vfs.FS.
func (lockless) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap implements vfs.FS.
func (l lockless) Unwrap() vfs.FS { return l.FS }

func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

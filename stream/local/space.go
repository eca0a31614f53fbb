package local

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/leatstream/leat/stream"
)

// reserveFile holds room that is given back to the file system when a commit in hand meets a full disk.
const (
	reserveFile    = "leat.reserve"
	reserveSize    = 16 << 20
	spaceInterval  = 100 * time.Millisecond
	defaultReserve = 256 << 20
	leastReserve   = 32 << 20
)

// space watches the room on the disk, so that puts are refused long before the database
// itself meets the end of it.
type space struct {
	fs      vfs.FS // below every wrapper
	dir     string
	reserve uint64 // refuse puts below so many free bytes; 0: the default
	usage   func() (vfs.DiskUsage, error)

	full    atomic.Bool
	checked atomic.Int64 // Unix nanoseconds of the last look

	mu    sync.Mutex // the reserve file
	freed bool
}

func newSpace(fs vfs.FS, dir string, reserve int64) *space {
	s := &space{fs: fs, dir: dir, reserve: uint64(max(reserve, 0))}
	s.usage = func() (vfs.DiskUsage, error) { return fs.GetDiskUsage(dir) }
	return s
}

// limit is the free room below which puts are refused: 256 MiB or 2 % of the disk, whichever
// is less, but never less than 32 MiB, which the database needs for its own work.
func (s *space) limit(total uint64) uint64 {
	if s.reserve > 0 {
		return s.reserve
	}
	return max(min(defaultReserve, total/50), leastReserve)
}

// look measures the room if the last look is some time ago.
func (s *space) look(now time.Time) {
	last := s.checked.Load()
	if now.UnixNano()-last < int64(spaceInterval) && now.UnixNano() >= last || !s.checked.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	usage, err := s.usage()
	if err != nil {
		s.full.Store(false) // a file system that cannot tell: the next put tries
		return
	}
	limit := s.limit(usage.TotalBytes)
	if s.full.Load() {
		limit += limit / 8 // a little more than the limit, so that the state does not flutter
	}
	s.full.Store(usage.AvailBytes < limit)
	if !s.full.Load() && usage.AvailBytes > limit+2*reserveSize {
		s.restore()
	}
}

// met is called when an operation found no room.
func (s *space) met() { s.full.Store(true) }

// refuse returns the error for a put, or nil if there is room.
func (s *space) refuse(now time.Time) error {
	s.look(now)
	if !s.full.Load() {
		return nil
	}
	usage, err := s.usage()
	if err != nil {
		return stream.ErrFull
	}
	return fmt.Errorf("%w: %d MiB free in %s, %d MiB are kept back; make room or shorten the retention",
		stream.ErrFull, usage.AvailBytes>>20, s.dir, s.limit(usage.TotalBytes)>>20)
}

// free gives the reserve back to the file system.
func (s *space) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full.Store(true)
	if !s.freed {
		s.freed = true
		_ = s.fs.Remove(s.fs.PathJoin(s.dir, reserveFile))
	}
}

// restore makes the reserve file anew. Without room for it there is none, until there is.
func (s *space) restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.fs.PathJoin(s.dir, reserveFile)
	if info, err := s.fs.Stat(path); err == nil && info.Size() == reserveSize {
		s.freed = false
		return
	}
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return
	}
	zero := make([]byte, 1<<20)
	for range reserveSize / len(zero) {
		if _, err = f.Write(zero); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, os.ErrClosed) {
		_ = s.fs.Remove(path)
		return
	}
	s.freed = false
}

package local

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// G9: puts are refused before the disk is full, and a commit in hand survives the moment when it is.
func TestG9FullDisksRefusePuts(t *testing.T) {
	run := func(change func(*guards)) (refused, stopped, acknowledged int) {
		opts := with(change)
		mem := vfs.NewCrashableMem()
		var full atomic.Bool
		opts.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") {
				return syscall.ENOSPC
			}
			return nil
		}))
		e, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		var free atomic.Uint64
		free.Store(1 << 40)
		e.space.usage = func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: free.Load(), TotalBytes: 1 << 40}, nil }
		streamtest.Create(t, e, "s", 1)
		put := func() {
			e.space.checked.Store(0)
			_, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: streamtest.Events("x", 1)}}})
			switch {
			case err == nil:
				acknowledged++
			case errors.Is(err, stream.ErrFull):
				refused++
			case errors.Is(err, stream.ErrStopped):
				stopped++
			default:
				t.Fatal(err)
			}
		}
		put()
		free.Store(1 << 20)
		put() // the watch sees it first
		if _, err := e.Commit(t.Context(), stream.Commit{Marks: []stream.Swap{{Mark: stream.Mark{Key: "m", Epoch: 1, Value: []byte("v")}}}}); err != nil && !opts.test.guards.noReserve {
			t.Errorf("a checkpoint on a nearly full disk: %v", err)
		}
		free.Store(1 << 40)
		put()
		if opts.test.guards.noReserve {
			full.Store(true)
			put()
		}
		return refused, stopped, acknowledged
	}
	if refused, stopped, acknowledged := run(func(*guards) {}); refused != 1 || stopped != 0 || acknowledged != 2 {
		t.Errorf("refused %d, stopped %d, acknowledged %d; want 1, 0, 2", refused, stopped, acknowledged)
	}
	if refused, stopped, _ := run(func(g *guards) { g.noReserve = true }); refused != 0 || stopped == 0 {
		t.Errorf("control, unwatched: refused %d, stopped %d; want the engine stopped by a full disk", refused, stopped)
	}
}

// G9, the moment of truth: the reserve is freed, the write that found no room is repeated, and the commit is acknowledged.
func TestG9TheReserveSavesTheCommitInHand(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var full atomic.Bool
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove && strings.HasSuffix(op.Path, reserveFile) {
			full.Store(false)
		}
		if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") {
			return syscall.ENOSPC
		}
		return nil
	})
	e, err := Open("data", Options{FS: errorfs.Wrap(mem, inject)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.space.restore()
	streamtest.Create(t, e, "s", 1)
	full.Store(true)
	e.space.usage = func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 40}, nil }
	streamtest.Put(t, e, "s", streamtest.Events("x", 3)...)
	if got := len(streamtest.ReadStream(t, e, "s")); got != 3 {
		t.Errorf("%d records, want 3", got)
	}
}

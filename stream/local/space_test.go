package local

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// smallDisk is a file system with so much room.
type smallDisk struct {
	vfs.FS
	mem  *vfs.MemFS
	size uint64
}

func newSmallDisk(size uint64) *smallDisk {
	d := &smallDisk{mem: vfs.NewCrashableMem(), size: size}
	d.FS = errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		grows := op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate
		if grows && d.used() >= d.size {
			return syscall.ENOSPC
		}
		return nil
	}))
	return d
}

func (d *smallDisk) used() (n uint64) {
	for _, dir := range []string{"data", "data/" + dbDir} {
		names, _ := d.mem.List(dir)
		for _, name := range names {
			if info, err := d.mem.Stat(dir + "/" + name); err == nil && !info.IsDir() {
				n += uint64(info.Size())
			}
		}
	}
	return n
}

// GetDiskUsage implements vfs.FS.
func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	used := min(d.used(), d.size)
	return vfs.DiskUsage{TotalBytes: d.size, UsedBytes: used, AvailBytes: d.size - used}, nil
}

// G9: on a disk that fills up, puts are refused while everything else goes on; retention makes room, and puts are taken again. Without
// the watch the same disk stops the engine.
func TestG9FullDisksRefusePuts(t *testing.T) {
	fill := func(t *testing.T, e *Engine, pause time.Duration) error {
		for {
			time.Sleep(pause)
			_, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: []leat.Event{{Data: []byte(incompressible(30_000))}}}}})
			if err != nil {
				return err
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e, err := Open("data", Options{FS: newSmallDisk(24 << 20), Reserve: 6 << 20, MemTable: 512 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		streamtest.Create(t, e, "s", 1)
		for range 3 {
			if err := fill(t, e, spaceInterval); !errors.Is(err, stream.ErrFull) {
				t.Fatalf("on a full disk: %v, want ErrFull", err)
			}
			if _, err := e.Commit(t.Context(), stream.Commit{State: []stream.Entry{{Key: "k", Value: []byte("v")}}}); err != nil {
				t.Errorf("a checkpoint on a full disk: %v", err)
			}
			held := len(streamtest.ReadStream(t, e, "s"))
			if err := e.SetRetention(t.Context(), "s", stream.Retention{Bytes: 4 << 20}); err != nil {
				t.Fatal(err)
			}
			if err := e.retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			streamtest.Put(t, e, "s", streamtest.Events("x", 1)...)
			if got := len(streamtest.ReadStream(t, e, "s")); got >= held {
				t.Errorf("%d records before retention, %d behind it", held, got)
			}
		}
	})
	opts := with(func(g *guards) { g.noReserve = true })
	opts.FS = newSmallDisk(24 << 20)
	e, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	streamtest.Create(t, e, "s", 1)
	if err := fill(t, e, 0); !errors.Is(err, stream.ErrStopped) {
		t.Errorf("control, unwatched: %v, want the engine stopped by a full disk", err)
	}
}

// G9: pebble tries a table again without pause for which there is no room; each try is held up.
func TestG9TablesWithoutRoomAreHeldUp(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		synctest.Test(t, func(t *testing.T) {
			e := &Engine{failure: newFailure(), space: &space{fs: vfs.NewMem(), dir: "data"}}
			full := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error { return errno }))
			start := time.Now()
			if _, err := e.fileSystem(full).Create("000001.sst", vfs.WriteCategoryUnspecified); !errors.Is(err, errno) {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 100*time.Millisecond || e.failure.err() != nil || !e.space.full.Load() {
				t.Errorf("%v: held up for %v, stopped: %v, puts refused: %v", errno, took, e.failure.err(), e.space.full.Load())
			}
		})
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

package local

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// A directory that Open refuses can be read: opening it for reading tells the damage, and everything else is there.
func TestReadingOnlyShowsWhatDamageHasLeft(t *testing.T) {
	m, data := aged(t, 300)
	streamtest.Create(t, m.e, "t", 2)
	streamtest.Put(t, m.e, "t", streamtest.Events("x", 9)...)
	if err := m.e.Close(); err != nil {
		t.Fatal(err)
	}
	setCommit := func(fs *vfs.MemFS) {
		db, err := pebble.Open("data/"+dbDir, &pebble.Options{FS: fs, FormatMajorVersion: pebbleFormat})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Set(keyCommit, []byte("not a commit"), pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		damage func(fs *vfs.MemFS)
		whole  int // records of s that are certain
	}{
		"high-water file":       {func(fs *vfs.MemFS) { edit(t, fs, "data/"+highWaterFile, func(b []byte) []byte { return b[:10] }) }, 300},
		"last batch of a shard": {func(fs *vfs.MemFS) { flipIn(t, fs, data[299]) }, 250},
		"commit number":         {setCommit, 300},
	} {
		fs := clone(m.fs)
		c.damage(fs)
		var damage *DamageError
		if _, err := Open("data", Options{FS: clone(fs)}); !errors.As(err, &damage) {
			t.Errorf("%s: opening for writing: %v, want a DamageError", name, err)
		}
		e, err := Open("data", Options{FS: fs, ReadOnly: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(e.Damage()) == 0 {
			t.Errorf("%s: no damage is told", name)
		}
		if got := len(streamtest.ReadStream(t, e, "t")); got != 9 {
			t.Errorf("%s: %d records of the other stream, want 9", name, got)
		}
		records, gone := readOver(t, e)
		if records < c.whole || records+gone != 300 {
			t.Errorf("%s: %d records and %d in gaps, want 300 together", name, records, gone)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if _, err := e.State(t.Context(), ""); !errors.Is(err, stream.ErrStopped) {
			t.Errorf("%s: State after Close: %v", name, err)
		}
	}
}

// readOver reads shard 0 of stream s and counts records, and those in gaps.
func readOver(t *testing.T, e *Engine) (records, gone int) {
	t.Helper()
	r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := r.Next(t.Context(), stream.Limit{NoWait: true})
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			gone += int(gap.Count)
		case err != nil:
			t.Fatal(err)
		case len(b.Records) == 0:
			return records, gone
		}
		records += len(b.Records)
	}
}

// An error of any file operation while a directory is being opened, or made, ends Open with an error or does no harm, and loses nothing.
func TestErrorAtAnyFileOperationOfOpening(t *testing.T) {
	full, want := filled(t, Options{MemTable: 64 << 10}, 40)
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, base := range []*vfs.MemFS{full, vfs.NewCrashableMem()} {
			for k, met := int64(0), true; met; k++ {
				fs := clone(base)
				var count atomic.Int64
				var hit atomic.Bool
				e, err := Open("data", Options{MemTable: 64 << 10, FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && count.Add(1)-1 == k {
						hit.Store(true)
						return errno
					}
					return nil
				}))})
				if err == nil {
					_ = e.Close()
				}
				if met = hit.Load(); base != full {
					continue
				}
				if o := judge(t, clone(fs), Options{MemTable: 64 << 10}, want); o != whole {
					t.Fatalf("%v at operation %d: Open returned %v, then the directory is %v", errno, k, err, o)
				}
			}
		}
	}
}

// Pebble ends the process where it cannot write its MANIFEST; Open returns the error.
func TestOpenReturnsWhereTheManifestCannotBeWritten(t *testing.T) {
	fs, _ := filled(t, Options{}, 10)
	failing := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && strings.Contains(op.Path, "MANIFEST") {
			return syscall.EIO
		}
		return nil
	}))
	if _, err := Open("data", Options{FS: failing}); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
}

// Readers that wait are told of Close, also those that begin to wait when it has begun.
func TestCloseWakesReaders(t *testing.T) {
	e, err := OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Create(t, e, "s", 1)
	r, err := e.Read(t.Context(), "s", 0, stream.Latest())
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() {
		_, err := r.Next(context.Background(), stream.Limit{})
		told <- err
	}()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, stream.ErrStopped) {
		t.Errorf("Next returned %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r.(*reader).wait(ctx)
	if ctx.Err() != nil {
		t.Error("a reader that began to wait behind Close waits for ever")
	}
}

// The reason of a failure is on disk when Run returns, unless the disk hangs.
func TestRunReturnsWhenTheReasonIsWritten(t *testing.T) {
	for range 20 {
		mem := vfs.NewCrashableMem()
		e, err := Open("data", Options{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error)
		go func() { ran <- e.Run(t.Context()) }()
		e.fail(syscall.EIO)
		if err := <-ran; !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		if text, err := readFile(mem.CrashClone(vfs.CrashCloneCfg{}), "data/"+stoppedFile); err != nil || !strings.Contains(string(text), syscall.EIO.Error()) {
			t.Fatalf("the file says %q, %v", text, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
			<-hang
			return nil
		}))
		e := &Engine{dir: "data", opts: Options{FS: fs}, log: slog.New(slog.DiscardHandler), failure: newFailure(), noted: make(chan struct{})}
		e.fail(syscall.EIO)
		start := time.Now()
		if err := e.Run(t.Context()); !errors.Is(err, syscall.EIO) || time.Since(start) != noteFor {
			t.Errorf("on a disk that hangs Run returned %v after %v", err, time.Since(start))
		}
		close(hang)
	})
}

// A data directory whose parents had to be made is there after a loss of power.
func TestNewDirectoriesAboveAreDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	e, err := Open("a/b/data", Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	streamtest.Create(t, e, "s", 1)
	after, err := Open("a/b/data", Options{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	streamtest.Shards(t, after, "s")
}

package local

import (
	"errors"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// swap is a commit of one record that moves the mark m from one epoch to the next.
func swap(was uint64) stream.Commit {
	return stream.Commit{
		Puts:  []stream.Put{{Stream: "s", Events: streamtest.Events("x", 1)}},
		Marks: []stream.Swap{{Mark: stream.Mark{Key: "m", Epoch: was + 1, Value: []byte{byte(was)}}, Was: was}},
	}
}

// commitBehind starts a commit and returns when it is in the log, which the sync of the one before it holds up.
func commitBehind(t *testing.T, e *Engine, c stream.Commit) <-chan error {
	t.Helper()
	before := e.db.Metrics().WAL.BytesIn
	done := make(chan error, 1)
	go func() {
		_, err := e.Commit(t.Context(), c)
		done <- err
	}()
	for e.db.Metrics().WAL.BytesIn == before && len(done) == 0 {
		runtime.Gosched()
	}
	return done
}

// A frame is built on what the one before it will leave, while that is being synced; neither is seen or acknowledged before it is durable.
func TestFramesBuildOnTheOneBefore(t *testing.T) {
	gate := newSyncGate()
	e, err := Open("data", Options{FS: gate.fs})
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Create(t, e, "s", 1)
	gate.block.Store(true)
	first := commitBehind(t, e, swap(0))
	second := commitBehind(t, e, swap(1))
	if len(first)+len(second) != 0 {
		t.Error("a commit was answered before the sync")
	}
	if m, err := e.Load(t.Context(), "m"); err != nil || m.Epoch != 0 {
		t.Errorf("the mark is seen before the sync: %v, %v", m, err)
	}
	if got := streamtest.ReadAll(t, e, "s", 0, stream.Oldest()); len(got) != 0 {
		t.Errorf("%d records are seen before the sync", len(got))
	}
	gate.open()
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
	if _, err := e.Commit(t.Context(), swap(0)); !errors.Is(err, stream.ErrFenced) {
		t.Errorf("the third commit returned %v, want ErrFenced", err)
	}
	if m, _ := e.Load(t.Context(), "m"); m.Epoch != 2 {
		t.Errorf("the mark is of epoch %d, want 2", m.Epoch)
	}
	if got := streamtest.ReadAll(t, e, "s", 0, stream.Oldest()); len(got) != 2 {
		t.Errorf("%d records, want 2", len(got))
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// If the sync of a frame fails, the one that was built on it is not acknowledged either, and what is there after the next start is
// both, the first or none.
func TestFramesFailWithTheOneBefore(t *testing.T) {
	gate := newSyncGate()
	e, err := Open("data", Options{FS: gate.fs})
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Create(t, e, "s", 1)
	gate.block.Store(true)
	first := commitBehind(t, e, swap(0))
	second := commitBehind(t, e, swap(1))
	gate.broken.Store(true)
	gate.open()
	for i, done := range []<-chan error{first, second} {
		if err := <-done; !errors.Is(err, stream.ErrStopped) {
			t.Errorf("commit %d returned %v, want ErrStopped", i, err)
		}
	}
	e, err = Open("data", Options{FS: gate.mem.CrashClone(vfs.CrashCloneCfg{})})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m, _ := e.Load(t.Context(), "m")
	if got := streamtest.ReadAll(t, e, "s", 0, stream.Oldest()); uint64(len(got)) != m.Epoch {
		t.Errorf("%d records with the mark at epoch %d", len(got), m.Epoch)
	}
}

package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// rounds is how much of a long test to run: short in every test run, LEAT_TORTURE times as much in make torture.
func rounds(short int) int {
	factor, err := strconv.Atoi(os.Getenv("LEAT_TORTURE"))
	if err != nil || factor < 1 {
		return short
	}
	return short * factor
}

// workload is what the fault tests do to an engine: writers that commit records to two streams together with their cursor.
type workload struct {
	e     stream.Engine
	acked [loadWriters]atomic.Int64 // commits of each writer that were acknowledged

	cursorFirst bool // the seeded bug: the cursor is saved in a commit of its own, before the records
}

const (
	loadWriters = 3
	loadRecords = 5 // of each commit, in each of two streams
)

// run commits n times per writer, or until the engine stops.
func (l *workload) run(t testing.TB, n int) {
	var group sync.WaitGroup
	for w := range loadWriters {
		group.Go(func() {
			for i := range n {
				err := l.commit(w, i)
				if err != nil && !errors.Is(err, stream.ErrStopped) && !errors.Is(err, stream.ErrFull) {
					t.Errorf("writer %d, commit %d: %v", w, i, err)
				}
				if err != nil {
					return
				}
				l.acked[w].Store(int64(i + 1))
			}
		})
	}
	group.Wait()
}

func (l *workload) commit(w, i int) error {
	events := make([]leat.Event, loadRecords)
	for j := range events {
		events[j] = leat.Event{PartitionKey: fmt.Sprint("w", w, "/", j%2), ID: fmt.Sprint(i), Data: fmt.Appendf(nil, "%d %d %d %s", w, i, j, strings.Repeat(".", 200))}
	}
	cursor := []stream.Swap{{Mark: stream.Mark{Key: fmt.Sprint("cursor/", w), Epoch: 1, Value: fmt.Append(nil, i+1)}, Was: uint64(min(i, 1))}}
	if l.cursorFirst {
		if _, err := l.e.Commit(context.Background(), stream.Commit{Marks: cursor}); err != nil {
			return err
		}
		cursor = nil
	}
	_, err := l.e.Commit(context.Background(), stream.Commit{
		Puts:  []stream.Put{{Stream: "a", Events: events}, {Stream: "b", Events: events}},
		State: []stream.Entry{{Key: fmt.Sprint("state/", w), Value: fmt.Append(nil, i+1)}},
		Marks: cursor,
	})
	return err
}

// snapshot returns what has been acknowledged so far.
func (l *workload) snapshot() (acked [loadWriters]int64) {
	for w := range acked {
		acked[w] = l.acked[w].Load()
	}
	return acked
}

// check opens what a crash has left and returns what is wrong with it: an acknowledged commit that is missing, a commit that
// is there in part, out of order or twice, a cursor that is not where the records are.
func check(t testing.TB, fs *vfs.MemFS, opts Options, acked [loadWriters]int64) error {
	t.Helper()
	opts.FS = fs
	e, err := Open("data", opts)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer e.Close()
	for w := range acked {
		commits, err := commitsOf(t, e, w)
		if err != nil {
			return err
		}
		if commits < acked[w] {
			return fmt.Errorf("writer %d: %d commits were acknowledged, %d are there", w, acked[w], commits)
		}
		mark, err := e.Load(t.Context(), fmt.Sprint("cursor/", w))
		if err != nil {
			return err
		}
		state, err := e.State(t.Context(), fmt.Sprint("state/", w))
		if err != nil {
			return err
		}
		want := fmt.Sprint(commits)
		if commits > 0 && (string(mark.Value) != want || len(state) != 1 || string(state[0].Value) != want) {
			return fmt.Errorf("writer %d: %s commits are there, the cursor says %q, the state %q", w, want, mark.Value, state)
		}
		if commits == 0 && (mark.Epoch != 0 || len(state) != 0) {
			return fmt.Errorf("writer %d: no commit is there, but a cursor %q", w, mark.Value)
		}
	}
	return nil
}

// commitsOf counts the commits of a writer and makes sure that each is there whole, in both streams, in order, once.
func commitsOf(t testing.TB, e *Engine, w int) (int64, error) {
	t.Helper()
	counts := [2]int64{}
	for i, name := range []string{"a", "b"} {
		if _, err := e.Shards(t.Context(), name); errors.Is(err, stream.ErrNoStream) {
			continue // the crash was before the stream
		}
		next := map[string]int{}
		total := int64(0)
		for _, r := range streamtest.ReadStream(t, e, name) {
			var writer, commit, record int
			if _, err := fmt.Sscanf(string(r.Data), "%d %d %d", &writer, &commit, &record); err != nil {
				return 0, fmt.Errorf("stream %s holds %q", name, r.Data)
			}
			if writer != w {
				continue
			}
			per := (loadRecords + 1 - record%2) / 2 // records of this key in one commit
			if place := commit*per + record/2; place != next[r.PartitionKey] {
				return 0, fmt.Errorf("stream %s, key %s: record %d of commit %d is at place %d", name, r.PartitionKey, record, commit, next[r.PartitionKey])
			}
			next[r.PartitionKey]++
			total++
		}
		if total%loadRecords != 0 {
			return 0, fmt.Errorf("stream %s, writer %d: %d records, not whole commits", name, w, total)
		}
		counts[i] = total / loadRecords
	}
	if counts[0] != counts[1] {
		return 0, fmt.Errorf("writer %d: %d commits in one stream, %d in the other", w, counts[0], counts[1])
	}
	return counts[0], nil
}

// crashes runs the load on a file system and looks at the state that a crash would leave between any two file operations,
// with between none and all of the unsynced blocks. It returns how many states were looked at and what was wrong.
func crashes(t testing.TB, seed uint64, commits int, wrap func(vfs.FS) vfs.FS, cursorFirst bool) (states int, failures []error) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	mem := vfs.NewCrashableMem()
	l := &workload{cursorFirst: cursorFirst}
	type state struct {
		fs    *vfs.MemFS
		acked [loadWriters]int64
	}
	var mu sync.Mutex
	var waiting []state
	look := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt || op.Kind == errorfs.OpStat {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		acked := l.snapshot() // before the clone: what is acknowledged now must be in it
		waiting = append(waiting, state{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}), acked})
		return nil
	})
	opts := Options{MemTable: 64 << 10}
	withFS := opts
	withFS.FS = wrap(errorfs.Wrap(mem, look))
	e, err := Open("data", withFS)
	if err != nil {
		t.Fatal(err)
	}
	l.e = e
	streamtest.Create(t, e, "a", 2)
	streamtest.Create(t, e, "b", 1)
	l.run(t, commits)
	_ = e.Close()
	for _, s := range waiting {
		if err := check(t, s.fs, opts, s.acked); err != nil {
			failures = append(failures, err)
		}
	}
	return len(waiting), failures
}

func plain(fs vfs.FS) vfs.FS { return fs }

// lazyFS is the seeded bug: a file system whose syncs do nothing.
type lazyFS struct{ vfs.FS }

func lazy(fs vfs.FS) vfs.FS { return lazyFS{fs} }

func (l lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, c)
	return lazyFile{f}, err
}

func (l lazyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.ReuseForWrite(from, to, c)
	return lazyFile{f}, err
}

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error                { return nil }
func (lazyFile) SyncData() error            { return nil }
func (lazyFile) SyncTo(int64) (bool, error) { return true, nil }

// A crash between any two file operations loses nothing that was acknowledged and leaves no commit in part. The harness proves
// in the same run that it would notice: without syncs, and with a cursor saved before its records.
func TestCrashBetweenAnyTwoFileOperations(t *testing.T) {
	states, seed := 0, uint64(0)
	for want := rounds(600); states < want; seed++ {
		n, failures := crashes(t, seed, 10, plain, false)
		states += n
		for _, err := range failures {
			t.Errorf("seed %d: %v", seed, err)
		}
		if len(failures) > 0 {
			return
		}
	}
	t.Logf("%d crash states, 0 lost, 0 in part", states)
	n, failures := crashes(t, 1, 10, lazy, false)
	if len(failures) == 0 {
		t.Error("control not caught: syncs off")
	} else {
		t.Logf("control caught: syncs off, in %d of %d states: %v", len(failures), n, failures[len(failures)-1])
	}
	n, failures = crashes(t, 1, 10, plain, true)
	if len(failures) == 0 {
		t.Error("control not caught: cursor before its records")
	} else {
		t.Logf("control caught: cursor before its records, in %d of %d states: %v", len(failures), n, failures[len(failures)-1])
	}
}

// Recovery may crash too: recovering what a crash during recovery has left gives the same.
func TestCrashDuringRecovery(t *testing.T) {
	states := 0
	for seed := range uint64(rounds(3)) {
		mem := vfs.NewCrashableMem()
		opts := Options{MemTable: 64 << 10, FS: mem}
		e, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		l := &workload{e: e}
		streamtest.Create(t, e, "a", 2)
		streamtest.Create(t, e, "b", 1)
		l.run(t, 20)
		rng := rand.New(rand.NewPCG(seed, 2))
		crash := func(fs *vfs.MemFS) *vfs.MemFS {
			return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		}
		first := crash(mem)
		_ = e.Close()
		var mu sync.Mutex
		var again []*vfs.MemFS
		opts.FS = errorfs.Wrap(first, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind != errorfs.OpFileRead && op.Kind != errorfs.OpFileReadAt && op.Kind != errorfs.OpStat {
				again = append(again, crash(first))
			}
			return nil
		}))
		e, err = Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		_ = e.Close()
		for i, fs := range again {
			if err := check(t, fs, Options{MemTable: 64 << 10}, l.snapshot()); err != nil {
				t.Fatalf("seed %d, crash at operation %d of the recovery: %v", seed, i, err)
			}
		}
		states += len(again)
	}
	t.Logf("%d crash states during recovery, 0 lost, 0 in part", states)
}

// An error of any single file operation, once or for good, loses nothing that was acknowledged before or after it.
func TestErrorAtAnyFileOperation(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, sticky := range []bool{false, true} {
			step := max(1, 12/rounds(1))
			for k := 0; ; k += step {
				if !errorAt(t, int64(k), errno, sticky) {
					break
				}
			}
		}
	}
}

// errorAt runs the load with an error at the k-th operation that writes and reports whether there was one.
func errorAt(t *testing.T, k int64, errno syscall.Errno, sticky bool) (met bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var count atomic.Int64
	var armed, injected atomic.Bool
	opts := Options{MemTable: 64 << 10}
	withFS := opts
	withFS.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !armed.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpRemove {
			return nil
		}
		if n := count.Add(1) - 1; n == k || sticky && n > k {
			injected.Store(true)
			return errno
		}
		return nil
	}))
	e, err := Open("data", withFS)
	if err != nil {
		t.Fatal(err)
	}
	l := &workload{e: e}
	streamtest.Create(t, e, "a", 2)
	streamtest.Create(t, e, "b", 1)
	armed.Store(true)
	l.run(t, 40)
	armed.Store(false)
	acked := l.snapshot()
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	_ = e.Close()
	if err := check(t, after, opts, acked); err != nil {
		t.Fatalf("%v at operation %d, sticky %v: %v", errno, k, sticky, err)
	}
	return injected.Load()
}

package local

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// Each test here proves one of the guards G1 to G10 of docs/FORMAT.md, and that the same test fails without it: the
// second case of each is the control, which must lose something silently.

// outcome is what became of a damaged directory.
type outcome int

const (
	refused  outcome = iota // Open said what is wrong
	reported                // Open succeeded and a reader was told of the gap
	whole                   // everything is there
	silent                  // records are missing and nobody said so
)

func (o outcome) String() string { return [...]string{"refused", "reported", "whole", "silent"}[o] }

// filled writes n commits of one record of 1 kB, with and without a pause for the seal, and returns the file system as a crash leaves it.
func filled(t testing.TB, opts Options, n int) (*vfs.MemFS, []string) {
	t.Helper()
	m := newMemory(t, opts)
	streamtest.Create(t, m.e, "s", 1)
	return m.fill(t, n), m.contents(t)
}

func (m *memory) fill(t testing.TB, n int) *vfs.MemFS {
	t.Helper()
	for i := range n {
		streamtest.Put(t, m.e, "s", leat.Event{Data: fmt.Appendf(nil, "%06d%s", i, incompressible(994))})
	}
	return m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: m.rng})
}

// incompressible returns n characters that do not compress much, so that damage has something to hit.
func incompressible(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + rand.IntN(90))
	}
	return string(b)
}

func (m *memory) contents(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, r := range streamtest.ReadStream(t, m.e, "s") {
		all = append(all, string(r.Data[:6]))
	}
	return all
}

// judge opens a directory and compares it with what was acknowledged.
func judge(t testing.TB, fs *vfs.MemFS, opts Options, want []string) outcome {
	t.Helper()
	opts.FS = fs
	e, err := Open("data", opts)
	if err != nil {
		return refused
	}
	defer e.Close()
	r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
	if err != nil {
		return refused
	}
	var got []string
	var gap *stream.GapError
	told := false
	for {
		b, err := r.Next(t.Context(), stream.Limit{NoWait: true})
		if errors.As(err, &gap) {
			told = true
			continue
		}
		if err != nil {
			return refused
		}
		if len(b.Records) == 0 {
			break
		}
		for _, r := range b.Records {
			got = append(got, string(r.Data[:6]))
		}
	}
	switch {
	case told:
		return reported
	case slices.Equal(got, want):
		return whole
	}
	return silent
}

// files returns the names of the database files with the suffix or prefix, newest last.
func files(t testing.TB, fs vfs.FS, like string) []string {
	t.Helper()
	names, err := fs.List("data/" + dbDir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		info, err := fs.Stat("data/" + dbDir + "/" + n)
		marker := strings.HasPrefix(n, "marker")
		return !strings.Contains(n, like) || err != nil || marker != strings.HasPrefix(like, "marker") || info.Size() == 0 && !marker
	})
	slices.Sort(names)
	for i := range names {
		names[i] = "data/" + dbDir + "/" + names[i]
	}
	return names
}

// edit replaces a file by what change makes of it.
func edit(t testing.TB, fs vfs.FS, path string, change func([]byte) []byte) {
	t.Helper()
	content, err := readAll(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(change(content)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func readAll(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	content := make([]byte, info.Size())
	if _, err = f.ReadAt(content, 0); errors.Is(err, io.EOF) && len(content) == 0 {
		err = nil
	}
	return content, err
}

func clone(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(3, 4))})
}

// flips damages one bit of the newest log in n places and counts what became of it.
func flips(t testing.TB, fs *vfs.MemFS, opts Options, want []string, at func(size int) []int) map[outcome]int {
	t.Helper()
	counts := map[outcome]int{}
	names := files(t, fs, ".log")
	path := names[len(names)-1]
	content, err := readAll(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range at(len(content)) {
		damaged := clone(fs)
		edit(t, damaged, path, func(b []byte) []byte {
			b[offset] ^= 1 << (offset % 8)
			return b
		})
		counts[judge(t, damaged, opts, want)]++
	}
	return counts
}

func spread(n int, from, to func(size int) int) func(int) []int {
	return func(size int) []int {
		var offsets []int
		low, high := from(size), to(size)
		for i := range n {
			offsets = append(offsets, low+(high-low)*i/n)
		}
		return offsets
	}
}

func with(change func(*guards)) Options {
	o := Options{MemTable: 4 << 20}
	change(&o.test.guards)
	return o
}

// G1: in a format with sync chunks a flip anywhere but in the last block of the log is damage; without them it may pass for the end of the log.
func TestG1FlipsInsideTheLogAreFound(t *testing.T) {
	only := func(g *guards) { g.noSeal, g.noHighWater, g.noVerify = true, true, true }
	inside := spread(60, func(int) int { return 64 << 10 }, func(size int) int { return min(size, 200<<10) })
	fs, want := filled(t, with(only), 300)
	if counts := flips(t, fs, with(only), want, inside); counts[silent] > 0 || counts[refused] == 0 {
		t.Errorf("with the format: %v", counts)
	}
	old := func(g *guards) { only(g); g.oldFormat = true }
	fs, want = filled(t, with(old), 300)
	if counts := flips(t, fs, with(old), want, inside); counts[silent] == 0 {
		t.Errorf("control, an older format: %v; want silent losses", counts)
	}
}

// G2: after a sync of the log has failed nothing is acknowledged.
func TestG2NothingIsAcknowledgedAfterAFailedSync(t *testing.T) {
	run := func(opts Options) (acknowledged int, after *vfs.MemFS) {
		mem := vfs.NewCrashableMem()
		var armed atomic.Bool
		opts.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
			if armed.Load() && sync && strings.HasSuffix(op.Path, ".log") {
				return syscall.EIO
			}
			return nil
		}))
		e, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		streamtest.Create(t, e, "s", 1)
		for i := range 20 {
			if i == 10 {
				armed.Store(true)
			}
			if _, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: streamtest.Events(fmt.Sprint(i), 1)}}}); err == nil {
				acknowledged++
			} else if !errors.Is(err, stream.ErrStopped) {
				t.Errorf("got %v, want it to wrap ErrStopped", err)
			}
		}
		if opts.test.guards.noStop {
			return acknowledged, mem.CrashClone(vfs.CrashCloneCfg{})
		}
		if err := e.Run(t.Context()); !errors.Is(err, stream.ErrStopped) || !errors.Is(err, syscall.EIO) {
			t.Errorf("Run returned %v", err)
		}
		return acknowledged, mem.CrashClone(vfs.CrashCloneCfg{})
	}
	survivors := func(fs *vfs.MemFS) int {
		e, err := Open("data", Options{FS: fs, test: testOptions{guards: guards{noHighWater: true, noVerify: true}}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		return len(streamtest.ReadStream(t, e, "s"))
	}
	n, fs := run(with(func(*guards) {}))
	if got := survivors(fs); n != 10 || got < n {
		t.Errorf("%d commits were acknowledged, %d are there; want 10", n, got)
	}
	n, fs = run(with(func(g *guards) { g.noStop = true }))
	if got := survivors(fs); n <= got {
		t.Errorf("control, going on: %d commits were acknowledged and %d are there; want losses", n, got)
	}
}

// syncGate is a file system whose syncs of the log can be held up, and fail.
type syncGate struct {
	mem     *vfs.MemFS // under fs
	fs      vfs.FS
	block   atomic.Bool
	broken  atomic.Bool   // syncs fail
	blocked chan struct{} // takes one value when a sync is held up
	release chan struct{}
}

func newSyncGate() *syncGate {
	g := &syncGate{mem: vfs.NewCrashableMem(), blocked: make(chan struct{}, 1), release: make(chan struct{})}
	g.fs = errorfs.Wrap(g.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".log") && g.block.Load() {
			select {
			case g.blocked <- struct{}{}:
			default:
			}
			<-g.release
			if g.broken.Load() {
				return syscall.EIO
			}
		}
		return nil
	}))
	return g
}

func (g *syncGate) open() {
	g.block.Store(false)
	close(g.release)
}

// G3: no reader sees a record before it is durable.
func TestG3ReadersSeeOnlyWhatIsSynced(t *testing.T) {
	seen := func(opts Options) int {
		gate := newSyncGate()
		opts.FS = gate.fs
		e, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		streamtest.Create(t, e, "s", 1)
		gate.block.Store(true)
		var commit sync.WaitGroup
		commit.Go(func() { streamtest.Put(t, e, "s", streamtest.Events("x", 5)...) })
		<-gate.blocked
		n := 0
		for _, p := range []stream.Position{stream.Oldest(), stream.Latest()} {
			r, err := e.Read(t.Context(), "s", 0, p)
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				b, err := r.Next(t.Context(), stream.Limit{NoWait: true})
				n += len(b.Records)
				if err != nil {
					break
				}
			}
		}
		gate.open()
		commit.Wait()
		return n
	}
	if n := seen(with(func(*guards) {})); n != 0 {
		t.Errorf("%d records were seen before they were synced", n)
	}
	if n := seen(with(func(g *guards) { g.noDurablePosition = true })); n == 0 {
		t.Error("control, without durable positions: nothing was seen")
	}
}

// G4: once sealed, the last commits are as safe from silent damage as the first.
func TestG4SealedLogsHaveNoSilentTail(t *testing.T) {
	tail := spread(80, func(size int) int { return 0 }, func(size int) int { return size })
	run := func(change func(*guards)) map[outcome]int {
		opts := with(func(g *guards) { g.noHighWater, g.noVerify = true, true; change(g) })
		m := newMemory(t, opts)
		streamtest.Create(t, m.e, "s", 1)
		m.fill(t, 5)
		want := m.contents(t)
		waitSealed(t, m.e)
		fs := clone(m.fs)
		return flips(t, fs, opts, want, func(size int) []int { return tail(min(size, 7<<10)) })
	}
	if counts := run(func(*guards) {}); counts[silent] > 0 || counts[refused] == 0 {
		t.Errorf("sealed: %v", counts)
	}
	if counts := run(func(g *guards) { g.noSeal = true }); counts[silent] == 0 {
		t.Errorf("control, not sealed: %v; want silent losses", counts)
	}
}

// waitSealed returns when the log is sealed, without waiting for the time at which that is done.
func waitSealed(t testing.TB, e *Engine) {
	t.Helper()
	err := e.admin(t.Context(), "seal", func(*frame) error { return errors.Join(e.committer.seal(), errNothing) })
	if !errors.Is(err, errNothing) {
		t.Fatal(err)
	}
}

// G5: the loss of the newest log, or of its last block before it is sealed, does not pass unnoticed.
func TestG5LostTailsAreFound(t *testing.T) {
	run := func(change func(*guards)) map[outcome]int {
		opts := with(func(g *guards) { g.noSeal = true; change(g) })
		fs, want := filled(t, opts, 40)
		counts := flips(t, fs, opts, want, spread(40, func(size int) int { return 32 << 10 }, func(size int) int { return min(size, 41<<10) }))
		lost := clone(fs)
		logs := files(t, lost, ".log")
		if err := lost.Remove(logs[len(logs)-1]); err != nil {
			t.Fatal(err)
		}
		counts[judge(t, lost, opts, want)]++
		return counts
	}
	if counts := run(func(*guards) {}); counts[silent] > 0 || counts[refused] == 0 {
		t.Errorf("with the high-water file: %v", counts)
	}
	if counts := run(func(g *guards) { g.noHighWater = true }); counts[silent] == 0 {
		t.Errorf("control, without it: %v; want silent losses", counts)
	}
}

// G6: a lost database is never replaced by an empty one.
func TestG6NoSilentStartFromZero(t *testing.T) {
	run := func(change func(*guards)) map[outcome]int {
		opts := with(func(g *guards) { g.noHighWater, g.noVerify = true, true; change(g) })
		fs, want := filled(t, opts, 20)
		counts := map[outcome]int{}
		for _, lose := range []func(*vfs.MemFS) error{
			func(fs *vfs.MemFS) error { return fs.Remove(files(t, fs, "marker.manifest")[0]) },
			func(fs *vfs.MemFS) error { return fs.RemoveAll("data/" + dbDir) },
			func(fs *vfs.MemFS) error { return fs.Remove("data/" + identityFile) },
		} {
			damaged := clone(fs)
			if err := lose(damaged); err != nil {
				t.Fatal(err)
			}
			o := judge(t, damaged, opts, want)
			counts[o]++
		}
		return counts
	}
	if counts := run(func(*guards) {}); counts[refused] != 3 {
		t.Errorf("with the identity file: %v", counts)
	}
	if counts := run(func(g *guards) { g.noIdentity = true }); counts[refused] == 3 {
		t.Errorf("control, without it: %v; want a start from zero", counts)
	}
}

// layered fills stream s and then others, each into tables of its own, so that the tables of s may be lost while the newest commits and
// everything that they need are there.
func layered(t *testing.T, opts Options) (*vfs.MemFS, []string) {
	t.Helper()
	m := newMemory(t, opts)
	streamtest.Create(t, m.e, "s", 1)
	for i := range 3 {
		streamtest.Create(t, m.e, fmt.Sprint("other", i), 1)
	}
	flush := func() {
		if err := m.e.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	m.fill(t, 300)
	for i := range 3 {
		flush()
		waitSealed(t, m.e)
		for range 5 {
			streamtest.Put(t, m.e, fmt.Sprint("other", i), streamtest.Events("x", 1)...)
		}
	}
	waitSealed(t, m.e)
	return clone(m.fs), m.contents(t)
}

// G7: a MANIFEST that was rolled back by damage is found, and nothing is deleted because of it.
func TestG7DamagedManifestsAreFound(t *testing.T) {
	run := func(change func(*guards)) (map[outcome]int, int) {
		opts := Options{MemTable: 256 << 10}
		opts.test.noCompactions = true
		change(&opts.test.guards)
		fs, want := layered(t, opts)
		tables := len(files(t, fs, ".sst"))
		manifests := files(t, fs, "MANIFEST")
		path := manifests[len(manifests)-1]
		content, err := readAll(fs, path)
		if err != nil {
			t.Fatal(err)
		}
		counts, deleted := map[outcome]int{}, 0
		for offset := 0; offset < len(content); offset += 7 {
			damaged := clone(fs)
			edit(t, damaged, path, func(b []byte) []byte { b[offset] ^= 4; return b })
			o := judge(t, damaged, opts, want)
			counts[o]++
			if o == refused && len(files(t, damaged, ".sst")) < tables {
				deleted++
			}
		}
		return counts, deleted
	}
	if counts, deleted := run(func(*guards) {}); counts[silent] > 0 || counts[refused] == 0 || deleted > 0 {
		t.Errorf("verified: %v, tables deleted in %d cases", counts, deleted)
	}
	if counts, deleted := run(func(g *guards) { g.noVerify, g.noHighWater = true, true }); deleted == 0 {
		t.Errorf("control, not verified: %v; want tables deleted that hold the only copy", counts)
	}
}

// G8: a stored batch that is not where it belongs, or not what was written, is never handed out.
func TestG8BatchesAreBoundToTheirPlace(t *testing.T) {
	k := batchKey{stream: 1, shard: 2, first: 10, count: 1}
	value := compress(appendRecord(appendHead(nil, ""), &leat.Event{PartitionKey: "k", Data: []byte("data")}), nil)
	body := checksum(value[:len(value)-trailerSize])
	sealBatch(value, body, trailer{k, clockEpoch, 5})
	if _, err := openBatch(k, value); err != nil {
		t.Fatal(err)
	}
	for _, other := range []batchKey{{2, 2, 10, 1}, {1, 3, 10, 1}, {1, 2, 11, 1}, {1, 2, 10, 2}} {
		if _, err := openBatch(other, value); !isDamage(err) {
			t.Errorf("under %+v: %v", other, err)
		}
		// The control: without its checksum the misplaced batch decodes as if nothing were wrong.
		b := storedBatch{key: other, records: value[headSize+1 : len(value)-trailerSize], next: other.first}
		if err := b.decode(&leat.Record{}); err != nil {
			t.Errorf("control: %v", err)
		}
	}
	for i := range value {
		for bit := range 8 {
			damaged := slices.Clone(value)
			damaged[i] ^= 1 << bit
			if _, err := openBatch(k, damaged); !isDamage(err) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
		}
	}
}

// G8, the other half: whatever is damaged in a table, no reader gets a wrong record or an early end.
func TestG8DamagedTablesAreReportedGaps(t *testing.T) {
	opts := Options{MemTable: 256 << 10}
	fs, want := filled(t, opts, 900)
	names := files(t, fs, ".sst")
	rng := rand.New(rand.NewPCG(5, 6))
	counts := map[outcome]int{}
	for range rounds(5) {
		damaged := clone(fs)
		edit(t, damaged, names[rng.IntN(len(names))], func(b []byte) []byte {
			b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
			return b
		})
		unverified := opts
		unverified.test.guards.noVerify = true // else Open refuses before anybody reads
		counts[judge(t, damaged, unverified, want)]++
		counts[judge(t, clone(damaged), opts, want)]++
	}
	if counts[silent] > 0 || counts[reported] == 0 || counts[refused] == 0 {
		t.Errorf("damaged tables: %v", counts)
	}
}

var clockEpoch = time.Unix(1700000000, 0)

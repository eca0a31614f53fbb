package local

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/stream/streamtest"
)

// A directory may be damaged and repaired again and again: what was lost earlier stays a gap, once, as long as the catalog, which holds it, is
// not lost too.
func TestRepairOfARepairedDirectory(t *testing.T) {
	for seed := range uint64(rounds(2)) {
		l := ledgerOf(t, 20+seed, 100)
		rng := rand.New(rand.NewPCG(seed, 6))
		for turn := range 5 {
			for _, names := range [][]string{files(t, l.fs, ".log"), recordTables(t, l.fs)} {
				if len(names) > 0 {
					edit(t, l.fs, names[rng.IntN(len(names))], func(b []byte) []byte { b[rng.IntN(len(b))] ^= 4; return b })
				}
			}
			report, err := Repair("data", RepairOptions{FS: l.fs})
			if err != nil {
				t.Fatal(err)
			}
			m := &memory{fs: l.fs, opts: repairOptions}
			m.open(t)
			if _, _, err := l.audit(t, m.e); err != nil {
				t.Fatalf("seed %d, turn %d: %v\n%s", seed, turn, err, reportText(report))
			}
			for range 30 {
				for _, s := range m.e.catalog.all() { // a stream may have another name now
					l.put(t, m.e, s.name, rng)
				}
			}
			l.fs = clone(m.fs)
			_ = m.e.Close()
		}
	}
}

// recordTables returns the tables that hold nothing but batches.
func recordTables(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, fs, ".sst"), func(path string) bool {
		other := false
		_, err := readTable(fs, path, func(e *entry) error { other = other || e.key[0] != spaceRecords; return nil })
		return err != nil || other
	})
}

// The newest log is lost after it was sealed, when the high-water file no longer names what it held: no number is given twice.
func TestRepairWithoutASealedLog(t *testing.T) {
	l := ledgerOf(t, 5, 40)
	m := &memory{fs: clone(l.fs), opts: repairOptions, rng: rand.New(rand.NewPCG(1, 1))}
	m.open(t)
	for range 5 {
		l.put(t, m.e, "a", m.rng)
	}
	if err := m.e.between(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	waitSealed(t, m.e)
	for range 3 {
		l.put(t, m.e, "b", m.rng)
	}
	l.fs = clone(m.fs)
	_ = m.e.Close()
	logs := files(t, l.fs, ".log")
	if _, lost := l.hurt(t, "newest log deleted", func(fs *vfs.MemFS) { _ = fs.Remove(logs[len(logs)-1]) }); lost == 0 {
		t.Error("nothing was lost: not the log that was meant")
	}
}

// Streams whose entries are lost come back under a name of their own.
func TestRepairOfALostCatalog(t *testing.T) {
	l := ledgerOf(t, 6, 100)
	fs := clone(l.fs)
	for _, like := range []string{".log", ".sst"} {
		for _, path := range files(t, fs, like) {
			catalog := false
			look := func(e *entry) error { catalog = catalog || e.key[0] == 'c'; return nil }
			if like == ".sst" {
				if _, err := readTable(fs, path, look); err != nil {
					t.Fatal(err)
				}
			} else {
				catalog = true
			}
			if catalog {
				if err := fs.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	report, err := Repair("data", RepairOptions{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(reportText(report))
	kept, lost, err := l.mended(t, fs, false)
	if err != nil {
		t.Fatal(err)
	}
	if kept == 0 || !strings.Contains(fmt.Sprint(report.Kept), "lost-") {
		t.Errorf("%d kept, %d lost, streams %v; want streams lost-2 and lost-3", kept, lost, report.Kept)
	}
}

func TestRepairOfTheOtherFiles(t *testing.T) {
	l := ledgerOf(t, 7, 30)
	remove := func(names ...string) func(fs *vfs.MemFS) {
		return func(fs *vfs.MemFS) {
			for _, name := range names {
				if err := fs.Remove("data/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flip := func(name string) func(fs *vfs.MemFS) {
		return func(fs *vfs.MemFS) {
			edit(t, fs, "data/"+name, func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
		}
	}
	zero := func(fs *vfs.MemFS) {
		edit(t, fs, "data/"+highWaterFile, func(b []byte) []byte { return make([]byte, len(b)) })
	}
	for what, damage := range map[string]func(*vfs.MemFS){
		"nothing": func(*vfs.MemFS) {}, "identity missing": remove(identityFile), "identity flipped": flip(identityFile),
		"high-water missing": remove(highWaterFile), "high-water zero": zero, "reserve missing": func(fs *vfs.MemFS) { _ = fs.Remove("data/" + reserveFile) },
	} {
		if _, lost := l.hurt(t, what, damage); lost > 0 {
			t.Errorf("%s: %d records lost", what, lost)
		}
	}
	for what, damage := range map[string]func(*vfs.MemFS){
		"identity and high-water": remove(identityFile, highWaterFile),
		"database":                func(fs *vfs.MemFS) { _ = fs.RemoveAll("data/" + dbDir) },
	} {
		fs := clone(l.fs)
		damage(fs)
		if report, err := Repair("data", RepairOptions{FS: fs}); err == nil {
			t.Errorf("%s missing: repaired: %s", what, reportText(report))
		}
	}
	if report, err := Repair("data", RepairOptions{FS: clone(l.fs)}); err != nil || report.Repaired || len(report.Findings) > 0 {
		t.Errorf("an intact directory: %v %s", err, reportText(report))
	}
}

func TestRepairOnDisk(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Create(t, e, "s", 1)
	streamtest.Put(t, e, "s", streamtest.Events("x", 50)...)
	if _, err := Repair(dir, RepairOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("repair of a directory in use: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := vfs.Default.List(vfs.Default.PathJoin(dir, dbDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest") {
			if err := vfs.Default.Remove(vfs.Default.PathJoin(dir, dbDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Fatal("opened")
	}
	report, err := Repair(dir, RepairOptions{})
	if err != nil || !report.Repaired {
		t.Fatalf("%v %s", err, reportText(report))
	}
	if e, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got := len(streamtest.ReadStream(t, e, "s")); got != 50 {
		t.Errorf("%d records, want 50\n%s", got, reportText(report))
	}
}

// The control: the audit notices a record that is neither there nor in a gap, and one that is not what was put.
func TestTheAuditNotices(t *testing.T) {
	l := ledgerOf(t, 8, 20)
	opts := repairOptions
	opts.FS = clone(l.fs)
	e, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, _, err := l.audit(t, e); err != nil {
		t.Fatal(err)
	}
	shard := e.catalog.all()[1].list()[0]
	id := recordID{shard.stream.id, shard.id, shard.load().durable}
	l.acked[id] = "lost"
	if _, _, err := l.audit(t, e); err == nil {
		t.Error("a lost record was not noticed")
	}
	delete(l.acked, id)
	id.index--
	l.acked[id] = "changed"
	if _, _, err := l.audit(t, e); err == nil {
		t.Error("a changed record was not noticed")
	}
}

func FuzzChunks(f *testing.F) {
	l := ledgerOf(f, 9, 5)
	for _, like := range []string{".log", "MANIFEST"} {
		for _, path := range files(f, l.fs, like) {
			content, err := readAll(l.fs, path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content[:min(len(content), 2<<10)])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for number := range uint64(4) {
			m := &manifestScan{tables: map[uint64]tableBounds{}}
			scan, err := readChunks(bytes.NewReader(data), number, func(record []byte, at int64) error {
				if at < 0 || at >= int64(len(data)) {
					t.Errorf("a record at byte %d of %d", at, len(data))
				}
				eachOp(record, func(pebble.InternalKeyKind, []byte, []byte) bool { return true })
				_ = commitOf(record)
				_ = m.apply(record)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range scan.holes {
				if h.from < 0 || h.to <= h.from || h.to > int64(len(data)) {
					t.Errorf("a hole from %d to %d of %d", h.from, h.to, len(data))
				}
			}
		}
		_ = (&manifestScan{tables: map[uint64]tableBounds{}}).apply(data)
		eachOp(data, func(pebble.InternalKeyKind, []byte, []byte) bool { return true })
	})
}

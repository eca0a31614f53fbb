package local

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// recordID is a record, whatever its stream is called after repair.
type recordID struct {
	stream uint32
	shard  leat.ShardID
	index  uint64
}

// ledger is a directory and everything that was acknowledged in it.
type ledger struct {
	fs      *vfs.MemFS
	acked   map[recordID]string
	removed map[recordID]bool // by retention, or with their stream
	marks   map[string]string

	lostBytes int // of the last audit
	open      int // gaps in all repairs whose end is not known, only a bound
}

var repairOptions = Options{MemTable: 64 << 10}

// ledgerOf fills a directory: two streams, one of whose shards is split, marks and state with every commit, some openings and crashes, a deleted
// stream, records that retention has removed. The last opening ends in a crash that keeps everything.
func ledgerOf(t testing.TB, seed uint64, commits int) *ledger {
	t.Helper()
	l := &ledger{acked: map[recordID]string{}, removed: map[recordID]bool{}, marks: map[string]string{}}
	m := newMemory(t, repairOptions)
	m.rng = rand.New(rand.NewPCG(seed, 7))
	streamtest.Create(t, m.e, "gone", 1)
	l.put(t, m.e, "gone", m.rng)
	if err := m.e.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for id := range l.acked {
		l.removed[id] = true
	}
	streamtest.Create(t, m.e, "a", 2)
	streamtest.Create(t, m.e, "b", 1)
	for i := range commits {
		l.put(t, m.e, []string{"a", "b"}[m.rng.IntN(2)], m.rng)
		switch {
		case i == commits/4:
			shards, err := m.e.Shards(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if err := m.e.Split(t.Context(), "a", 1, shards[1].Range.Middle()); err != nil {
				t.Fatal(err)
			}
		case i == commits/3:
			m.Crash(t)
		case i == commits/2:
			l.trim(t, m.e)
			m.Reopen(t)
		case i == commits*2/3 && seed%2 == 1: // everything at the bottom: pebble's sequence numbers are gone
			if err := m.e.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.fs = clone(m.fs)
	return l
}

func (l *ledger) put(t testing.TB, e *Engine, name string, rng *rand.Rand) {
	t.Helper()
	s, err := e.catalog.stream(name)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]leat.Event, 1+rng.IntN(4))
	for i := range events {
		events[i] = leat.Event{PartitionKey: fmt.Sprint(rng.IntN(50)), Data: []byte(incompressible(100 + rng.IntN(900)))}
	}
	key, value := fmt.Sprint("cursor/", rng.IntN(4)), fmt.Sprint(len(l.acked))
	old, err := e.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := e.Commit(t.Context(), stream.Commit{
		Puts:   []stream.Put{{Stream: name, Source: "src", Events: events}},
		State:  []stream.Entry{{Key: "state/" + key, Value: []byte(value)}},
		Marks:  []stream.Swap{{Mark: stream.Mark{Key: key, Epoch: old.Epoch + 1, Value: []byte(value)}, Was: old.Epoch}},
		Placed: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.marks[key] = value
	for i, p := range receipt.Puts[0] {
		id := recordID{s.id, p.Shard, p.Sequence.Index()}
		if old, used := l.acked[id]; used {
			t.Fatalf("%+v was given twice, first for %q", id, old)
		}
		l.acked[id] = string(events[i].Data)
	}
}

// trim removes what lies below the middle of the first shard of a.
func (l *ledger) trim(t testing.TB, e *Engine) {
	t.Helper()
	s, err := e.catalog.stream("a")
	if err != nil {
		t.Fatal(err)
	}
	shard := s.list()[0]
	index := shard.load().durable / 2
	batch, err := e.trailerAt(shard, index, shard.load().durable)
	if err != nil {
		t.Fatal(err)
	}
	index = batch.key.first
	err = e.admin(t.Context(), "trim", func(f *frame) error {
		meta := shard.meta()
		meta.Floor = index
		f.putShardMeta(shard, meta)
		_ = f.batch.DeleteRange(recordBound(s.id, shard.id, 0), recordBound(s.id, shard.id, index), nil)
		f.then = append(f.then, func() { shard.update(func(s *shardState) { s.floor = index }) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range l.acked {
		if id.stream == s.id && id.shard == shard.id && id.index < index {
			l.removed[id] = true
		}
	}
}

// audit reads everything and returns how many acknowledged records are readable and how many in a gap, or what is wrong: a record that is
// neither, or both, or not what was written, or was never acknowledged.
func (l *ledger) audit(t testing.TB, e *Engine) (kept, lost int, err error) {
	t.Helper()
	seen := map[recordID]int{}
	l.lostBytes = 0
	for _, s := range e.catalog.all() {
		for _, shard := range s.list() {
			r, err := e.Read(t.Context(), s.name, shard.id, stream.Oldest())
			if err != nil {
				return 0, 0, err
			}
			for {
				b, err := r.Next(t.Context(), stream.Limit{NoWait: true})
				var gap *stream.GapError
				switch {
				case errors.As(err, &gap) && gap.Reason == stream.GapDamaged:
					for id := range l.acked {
						if id.stream == s.id && id.shard == shard.id && gap.From.Index() <= id.index && id.index <= gap.To.Index() {
							seen[id]++
							lost++
							l.lostBytes += len(l.acked[id])
						}
					}
					continue
				case errors.Is(err, io.EOF):
				case err != nil:
					return 0, 0, err
				}
				for i := range b.Records {
					id := recordID{s.id, shard.id, b.Records[i].Sequence.Index()}
					if want, ok := l.acked[id]; !ok || want != string(b.Records[i].Data) {
						return 0, 0, fmt.Errorf("%s: record %+v is %.20q, want %.20q", s.name, id, b.Records[i].Data, want)
					}
					seen[id]++
					kept++
				}
				if len(b.Records) == 0 {
					break
				}
			}
		}
	}
	for id := range l.acked {
		if n := seen[id]; n > 1 || n == 0 && !l.removed[id] {
			return kept, lost, fmt.Errorf("record %+v was seen %d times, want once, as itself or in a gap", id, n)
		}
	}
	return kept, lost, nil
}

// mended opens a repaired directory and checks all that repair promises of it. intact says that marks and state are to be those of the last
// commit.
func (l *ledger) mended(t testing.TB, fs *vfs.MemFS, intact bool) (kept, lost int, err error) {
	t.Helper()
	opts := repairOptions
	opts.FS = fs
	e, err := Open("data", opts)
	if err != nil {
		return 0, 0, err
	}
	if kept, lost, err = l.audit(t, e); err != nil {
		return kept, lost, errors.Join(err, e.Close())
	}
	for key, want := range l.marks {
		mark, err := e.Load(t.Context(), key)
		state, stateErr := e.State(t.Context(), "state/"+key)
		if err != nil || stateErr != nil || intact && (string(mark.Value) != want || len(state) != 1 || string(state[0].Value) != want) {
			return kept, lost, fmt.Errorf("mark %s is %q, state %v, want %s: %w", key, mark.Value, state, want, errors.Join(err, stateErr, e.Close()))
		}
	}
	after := &ledger{acked: map[recordID]string{}, marks: map[string]string{}}
	for id, data := range l.acked {
		after.acked[id] = data
	}
	for _, s := range e.catalog.all() {
		for range 5 {
			after.put(t, e, s.name, rand.New(rand.NewPCG(1, 1))) // fails if a number is given twice
		}
	}
	if err := e.Close(); err != nil {
		return kept, lost, err
	}
	again, err := Repair("data", RepairOptions{FS: fs})
	if err != nil || len(again.Findings) > 0 || again.Repaired {
		return kept, lost, fmt.Errorf("repair of the repaired: %+v, %w", again, errors.Join(err))
	}
	return kept, lost, nil
}

// hurt damages a clone of the ledger's directory, repairs it and judges the outcome.
func (l *ledger) hurt(t testing.TB, what string, damage func(fs *vfs.MemFS)) (kept, lost int) {
	t.Helper()
	fs := clone(l.fs)
	damage(fs)
	before := contentsOf(t, fs)
	dry, err := Repair("data", RepairOptions{FS: fs, DryRun: true})
	if err != nil {
		t.Errorf("%s: dry run: %v", what, err)
		return 0, 0
	}
	if now := contentsOf(t, fs); now != before {
		t.Errorf("%s: the dry run changed the directory", what)
	}
	report, err := Repair("data", RepairOptions{FS: fs})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0, 0
	}
	if a, b := fmt.Sprint(dry.Kept, dry.Lost), fmt.Sprint(report.Kept, report.Lost); a != b {
		t.Errorf("%s: the dry run told\n%s\nrepair did\n%s", what, a, b)
	}
	for _, f := range report.Lost {
		if f.Count >= maxRecords {
			l.open++
		}
	}
	kept, lost, err = l.mended(t, fs, len(report.Notes) == 0)
	if err != nil {
		t.Errorf("%s: %v\n%s", what, err, reportText(report))
	}
	return kept, lost
}

func reportText(r RepairReport) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintln(&b, "finding:", f)
	}
	for _, f := range r.Lost {
		fmt.Fprintln(&b, "lost:", f)
	}
	for _, k := range r.Kept {
		fmt.Fprintf(&b, "kept: %+v\n", k)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	return b.String()
}

// contentsOf is a checksum of names and sizes and bytes of all files, lock files aside.
func contentsOf(t testing.TB, fs vfs.FS) string {
	t.Helper()
	var all []string
	for _, dir := range []string{"data", "data/" + dbDir} {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if content, err := readAll(fs, dir+"/"+name); err == nil && name != "LOCK" {
				all = append(all, fmt.Sprint(name, len(content), checksum(content)))
			} else {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestRepairAfterFlips(t *testing.T) {
	for _, like := range []string{".log", ".sst", "MANIFEST"} {
		kept, lost, unbound := 0, 0, 0
		rng := rand.New(rand.NewPCG(9, 9))
		var l *ledger
		for i := range rounds(24) {
			if i%12 == 0 {
				if l != nil {
					unbound += l.open
				}
				l = ledgerOf(t, uint64(i/12), 100+rng.IntN(300))
			}
			names := files(t, l.fs, like)
			path := names[rng.IntN(len(names))]
			var at int
			k, n := l.hurt(t, path, func(fs *vfs.MemFS) {
				edit(t, fs, path, func(b []byte) []byte {
					at = rng.IntN(len(b))
					b[at] ^= byte(1 << rng.IntN(8))
					return b
				})
			})
			kept, lost = kept+k, lost+n
			if like == ".log" && l.lostBytes > chunkBlock+4<<10 {
				t.Errorf("%d bytes are lost by one flip, want no more than a block and the commit it begins in", l.lostBytes)
			}
			if t.Failed() {
				t.Fatalf("flip at byte %d of %s", at, path)
			}
		}
		t.Logf("%s: %d records kept, %d in gaps; %d gaps at the end of a shard have only a bound", like, kept, lost, unbound+l.open)
	}
}

func TestRepairAfterLostFiles(t *testing.T) {
	l := ledgerOf(t, 2, 300)
	for _, like := range []string{".log", ".sst", "MANIFEST", "marker"} {
		for _, path := range files(t, l.fs, like) {
			kept, lost := l.hurt(t, path+" deleted", func(fs *vfs.MemFS) {
				if err := fs.Remove(path); err != nil {
					t.Fatal(err)
				}
			})
			k, n := l.hurt(t, path+" halved", func(fs *vfs.MemFS) {
				edit(t, fs, path, func(b []byte) []byte { return b[:len(b)/2] })
			})
			t.Logf("%s: deleted %d kept, %d in gaps; halved %d kept, %d in gaps", path, kept, lost, k, n)
		}
	}
}

// A crash at any moment of a repair leaves a directory that Open refuses or opens rightly, and that repair can repair.
func TestCrashDuringRepair(t *testing.T) {
	for seed := range uint64(rounds(1)) {
		crashDuringRepair(t, 3+seed, false)
		crashDuringRepair(t, 3+seed, true)
	}
}

func crashDuringRepair(t *testing.T, seed uint64, noID bool) {
	l := ledgerOf(t, seed, 60)
	logs := files(t, l.fs, ".log")
	edit(t, l.fs, logs[len(logs)-1], func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	rng := rand.New(rand.NewPCG(seed, 4))
	fs := clone(l.fs)
	if noID {
		if err := errors.Join(fs.Remove("data/"+identityFile), syncDir(fs, "data")); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var states []*vfs.MemFS
	look := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpFileRead && op.Kind != errorfs.OpFileReadAt && op.Kind != errorfs.OpStat && op.Kind != errorfs.OpOpen {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
		}
		return nil
	})
	if _, err := Repair("data", RepairOptions{FS: errorfs.Wrap(fs, look)}); err != nil {
		t.Fatal(err)
	}
	for i, state := range states {
		opts := repairOptions
		opts.FS = clone(state)
		if e, err := Open("data", opts); err == nil {
			if _, _, err := l.audit(t, e); err != nil {
				t.Errorf("crash at operation %d, opened: %v", i, err)
			}
			_ = e.Close()
		}
		if _, err := Repair("data", RepairOptions{FS: state}); err != nil {
			t.Fatalf("crash at operation %d: %v", i, err)
		}
		if _, _, err := l.mended(t, state, false); err != nil {
			t.Fatalf("crash at operation %d: %v", i, err)
		}
	}
	t.Logf("%d crash states", len(states))
}

// Two files damaged at once: what is lost is told, whatever it is.
func TestRepairAfterTwoFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 8))
	var l *ledger
	for i := range rounds(20) {
		if i%10 == 0 {
			l = ledgerOf(t, uint64(i/10), 200)
		}
		var places []string
		l.hurt(t, "two flips", func(fs *vfs.MemFS) {
			for _, like := range []string{".log", ".sst"} {
				names := files(t, fs, like)
				path := names[rng.IntN(len(names))]
				edit(t, fs, path, func(b []byte) []byte {
					at := rng.IntN(len(b))
					places = append(places, fmt.Sprint(path, " ", at))
					b[at] ^= byte(1 << rng.IntN(8))
					return b
				})
			}
		})
		if t.Failed() {
			t.Fatal(places)
		}
	}
}

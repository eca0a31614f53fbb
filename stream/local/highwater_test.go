package local

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream/streamtest"
)

// putTo puts one record to each of the shards from, up to, not including, to.
func putTo(t testing.TB, e *Engine, from, to int) {
	t.Helper()
	events := make([]leat.Event, 0, to-from)
	for _, s := range streamtest.Shards(t, e, "s")[from:to] {
		start := s.Range.Start
		events = append(events, leat.Event{HashKey: &start, Data: []byte("x")})
	}
	streamtest.Put(t, e, "s", events...)
}

// However many shards are put to between two seals, a loss of power leaves one slot of the high-water file whole.
func TestPowerLossWithManyShardsLeavesTheHighWaterFileWhole(t *testing.T) {
	m := newMemory(t, Options{MemTable: 4 << 20})
	streamtest.Create(t, m.e, "s", 600)
	for i := range 24 {
		from := i % 3 * 200
		putTo(t, m.e, from, from+200)
		after := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: m.rng})
		id, err := readIdentity(after, "data")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readHighWater(after, "data", id); err != nil {
			t.Errorf("after put %d: %v", i, err)
		}
	}
	putTo(t, m.e, 0, 600) // more than fit into a slot
	m.Crash(t)
	if got := len(streamtest.ReadStream(t, m.e, "s")); got != 24*200+600 {
		t.Errorf("%d records, want %d", got, 24*200+600)
	}
}

// An opening leaves the newer slot alone until the other one is newer.
func TestOpeningWritesTheOlderSlotFirst(t *testing.T) {
	for puts := range 2 {
		m := newMemory(t, Options{})
		streamtest.Create(t, m.e, "s", 1)
		for range puts {
			putTo(t, m.e, 0, 1)
		}
		before, err := readHighWater(m.fs, "data", m.e.id)
		if err != nil {
			t.Fatal(err)
		}
		m.Reopen(t)
		content, err := readFile(m.fs, "data/"+highWaterFile)
		if err != nil {
			t.Fatal(err)
		}
		h, err := decodeHighWater(content[before.slot:], m.e.id)
		if err != nil || h.commit != before.commit {
			t.Errorf("after %d puts: the newer slot was written over: %+v, %v", puts, h, err)
		}
	}
}

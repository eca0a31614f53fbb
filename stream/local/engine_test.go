package local

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/stream/streamtest"
)

// memory is an engine on a file system in memory that can be crashed.
type memory struct {
	fs   *vfs.MemFS
	opts Options
	e    *Engine
	rng  *rand.Rand
}

func newMemory(t testing.TB, opts Options) *memory {
	t.Helper()
	m := &memory{fs: vfs.NewCrashableMem(), opts: opts, rng: rand.New(rand.NewPCG(1, 2))}
	m.open(t)
	t.Cleanup(func() { _ = m.e.Close() })
	return m
}

func (m *memory) open(t testing.TB) {
	t.Helper()
	m.opts.FS = m.fs
	e, err := Open("data", m.opts)
	if err != nil {
		t.Fatal(err)
	}
	m.e = e
}

// Engine implements streamtest.Instance.
func (m *memory) Engine() streamtest.Engine { return m.e }

// Reopen implements streamtest.Instance.
func (m *memory) Reopen(t testing.TB) {
	t.Helper()
	if err := m.e.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// Crash implements streamtest.Instance: between nothing and everything of what was not synced survives.
func (m *memory) Crash(t testing.TB) {
	t.Helper()
	after := m.crashed()
	_ = m.e.Close()
	m.fs = after
	m.open(t)
}

func (m *memory) crashed() *vfs.MemFS {
	return m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.rng.IntN(101), RNG: m.rng})
}

func TestEngine(t *testing.T) {
	streamtest.Run(t, streamtest.Config{New: func(t testing.TB) streamtest.Instance {
		return newMemory(t, Options{MemTable: 256 << 10})
	}})
}

// disk is an engine in a directory of this machine.
type disk struct {
	dir string
	e   *Engine
}

func (d *disk) open(t testing.TB) {
	t.Helper()
	e, err := Open(d.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.e = e
}

// Engine implements streamtest.Instance.
func (d *disk) Engine() streamtest.Engine { return d.e }

// Reopen implements streamtest.Instance.
func (d *disk) Reopen(t testing.TB) {
	t.Helper()
	if err := d.e.Close(); err != nil {
		t.Fatal(err)
	}
	d.open(t)
}

// Crash implements streamtest.Instance.
func (d *disk) Crash(t testing.TB) { d.Reopen(t) }

func TestEngineOnDisk(t *testing.T) {
	streamtest.Run(t, streamtest.Config{New: func(t testing.TB) streamtest.Instance {
		d := &disk{dir: t.TempDir()}
		d.open(t)
		t.Cleanup(func() { _ = d.e.Close() })
		return d
	}})
}

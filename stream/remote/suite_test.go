package remote_test

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/remote"
	"github.com/leatstream/leat/stream/streamtest"
)

// crashable is an engine on a file system in memory, and a rig round each of its openings.
type crashable struct {
	fs     *vfs.MemFS
	engine *local.Engine
	rig    *rig
	rng    *rand.Rand
}

func (c *crashable) open(t testing.TB) {
	t.Helper()
	e, err := local.Open("data", local.Options{FS: c.fs, MemTable: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	c.engine = e
	c.rig = serve(t, remote.Handler(e, nothing))
}

// Engine implements streamtest.Instance.
func (c *crashable) Engine() streamtest.Engine { return c.rig }

// Reopen implements streamtest.Instance.
func (c *crashable) Reopen(t testing.TB) {
	t.Helper()
	c.rig.stop()
	if err := c.engine.Close(); err != nil {
		t.Fatal(err)
	}
	c.open(t)
}

// Crash implements streamtest.Instance: between nothing and everything of what was not synced survives.
func (c *crashable) Crash(t testing.TB) {
	t.Helper()
	after := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: c.rng})
	c.rig.stop()
	_ = c.engine.Close()
	c.fs = after
	c.open(t)
}

func TestClientIsAnEngine(t *testing.T) {
	streamtest.Run(t, streamtest.Config{New: func(t testing.TB) streamtest.Instance {
		c := &crashable{fs: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(1, 2))}
		c.open(t)
		t.Cleanup(func() { _ = c.engine.Close() })
		return c
	}})
}

package local

import (
	"errors"
	"fmt"
	"strings"
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

// aged fills stream s with a record of 1 kB a minute, and returns the engine with a clock that stands behind the last one, and the payloads.
func aged(t *testing.T, n int) (*memory, []string) {
	t.Helper()
	var minutes atomic.Int64
	opts := Options{MemTable: 256 << 10}
	opts.test.now = func() time.Time { return clockEpoch.Add(time.Duration(minutes.Load()) * time.Minute) }
	m := newMemory(t, opts)
	streamtest.Create(t, m.e, "s", 1)
	data := make([]string, n)
	for i := range data {
		minutes.Store(int64(i))
		data[i] = fmt.Sprintf("%06d%s", i, incompressible(994))
		streamtest.Put(t, m.e, "s", leat.Event{Data: []byte(data[i])})
	}
	if err := m.e.db.Flush(); err != nil {
		t.Fatal(err)
	}
	return m, data
}

// flipIn changes one bit of each text in the tables.
func flipIn(t *testing.T, fs *vfs.MemFS, texts ...string) {
	t.Helper()
	for _, name := range files(t, fs, ".sst") {
		edit(t, fs, name, func(b []byte) []byte {
			for _, text := range texts {
				if at := strings.Index(string(b), text); at >= 0 {
					b[at+20] ^= 1
				}
			}
			return b
		})
	}
}

// Damage says nothing of what lies before or behind it: reading from a time skips no good record for it, and retention removes none.
func TestDamageHidesNoGoodRecordsFromTimes(t *testing.T) {
	m, data := aged(t, 1000)
	fs := clone(m.fs)
	flipIn(t, fs, data[500]) // the place that halving asks first
	opts := m.opts
	opts.FS, opts.test.guards.noVerify = fs, true
	e, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, minute := range []int{100, 470, 900} {
		r, err := e.Read(t.Context(), "s", 0, stream.AtTime(clockEpoch.Add(time.Duration(minute)*time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Next(t.Context(), stream.Limit{Records: 1})
		if want := fmt.Sprintf("%06d", minute); err != nil || string(b.Records[0].Data[:6]) != want {
			t.Errorf("reading from minute %d begins with %s, %v", minute, b.Records[0].Data[:6], err)
		}
	}
	s, err := e.catalog.stream("s")
	if err != nil {
		t.Fatal(err)
	}
	shard := s.list()[0]
	if err := trimBefore(e, shard, clockEpoch.Add(100*time.Minute)); err != nil || shard.load().floor != 101 {
		t.Errorf("retention of what is older than minute 100 left records from %d on, %v", shard.load().floor, err)
	}
}

// A time may be given more exactly than arrivals are stored.
func TestReadingFromATimeTakesTheRecordsOfItsMillisecond(t *testing.T) {
	opts := Options{}
	opts.test.now = func() time.Time { return clockEpoch.Add(1500 * time.Microsecond) }
	m := newMemory(t, opts)
	streamtest.Create(t, m.e, "s", 1)
	streamtest.Put(t, m.e, "s", streamtest.Events("x", 1)...)
	if got := streamtest.ReadAll(t, m.e, "s", 0, stream.AtTime(opts.test.now())); len(got) != 1 {
		t.Errorf("%d records, want 1", len(got))
	}
}

// A sector that the disk cannot read is a gap after some tries; a disk that reads nothing at all is an error.
func TestBadSectorsAreGapsAndUnpluggedDisksAreNot(t *testing.T) {
	m := newMemory(t, Options{})
	streamtest.Create(t, m.e, "s", 1)
	m.fill(t, 900)
	if err := errors.Join(m.e.db.Flush(), m.e.Close()); err != nil {
		t.Fatal(err)
	}
	var opts Options
	opts.test.guards.noStop = true // what pebble does in the background meets the error too
	var unplugged, sector atomic.Bool
	opts.FS = errorfs.Wrap(m.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		at := op.Offset >= 400<<10 && op.Offset < 440<<10
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") && (unplugged.Load() || sector.Load() && at) {
			return syscall.EIO
		}
		return nil
	}))
	e, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	read := func() (records, gone int64, errs int) {
		r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
		if err != nil {
			t.Fatal(err)
		}
		for errs < 100 {
			b, err := r.Next(t.Context(), stream.Limit{NoWait: true})
			var gap *stream.GapError
			switch {
			case errors.As(err, &gap):
				gone += gap.Count
			case err != nil:
				errs++
			case len(b.Records) == 0:
				return records, gone, errs
			}
			records += int64(len(b.Records))
		}
		return records, gone, errs
	}
	unplugged.Store(true)
	if records, gone, errs := read(); gone > 0 || errs < 100 {
		t.Errorf("disk unplugged: %d records, %d in gaps, %d errors; want errors only", records, gone, errs)
	}
	unplugged.Store(false)
	sector.Store(true)
	if records, gone, _ := read(); gone == 0 || records+gone != 900 {
		t.Errorf("bad sector: %d records and %d in gaps, want 900 together", records, gone)
	}
}

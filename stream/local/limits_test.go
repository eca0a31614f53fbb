package local

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// A consumer whose checkpoint the stream has not reached is told: it would pass over what is put next.
func TestPositionsThatAShardHasNotReachedAreRefused(t *testing.T) {
	m := newMemory(t, Options{})
	streamtest.Create(t, m.e, "s", 1)
	last := streamtest.Put(t, m.e, "s", streamtest.Events("x", 3)...)[2].Sequence
	beyond := leat.NewSequence(0, last.Created(), last.Index()+1, time.Now())
	for _, p := range []stream.Position{stream.After(beyond), stream.At(beyond)} {
		if _, err := m.e.Read(t.Context(), "s", 0, p); !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", p, err)
		}
	}
	if err := m.e.Split(t.Context(), "s", 0, leat.MaxHash); err != nil {
		t.Fatal(err)
	}
	end := streamtest.Shards(t, m.e, "s")[0].Last
	if got := streamtest.ReadAll(t, m.e, "s", 0, stream.After(end)); len(got) != 0 {
		t.Errorf("behind the end of a closed shard: %d records", len(got))
	}
}

// The name of a source is stored by every shard of a put; it cannot make a commit many times larger than it counts.
func TestLongNamesOfSourcesAreRefused(t *testing.T) {
	m := newMemory(t, Options{})
	streamtest.Create(t, m.e, "s", 1)
	put := func(source string) error {
		_, err := m.e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Source: source, Events: streamtest.Events("x", 1)}}})
		return err
	}
	if err := put(strings.Repeat("x", maxSource)); err != nil {
		t.Error(err)
	}
	if err := put(strings.Repeat("x", maxSource+1)); !errors.Is(err, stream.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// On a nearly full disk a commit goes through that names a stream and has no events for it.
func TestPutsWithoutEventsNeedNoRoom(t *testing.T) {
	m := newMemory(t, Options{})
	streamtest.Create(t, m.e, "s", 1)
	m.e.space.usage = func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: 1, TotalBytes: 1 << 40}, nil }
	m.e.space.checked.Store(0)
	mark := []stream.Swap{{Mark: stream.Mark{Key: "m", Epoch: 1, Value: []byte("v")}}}
	if _, err := m.e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s"}}, Marks: mark}); err != nil {
		t.Error(err)
	}
	if _, err := m.e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: streamtest.Events("x", 1)}}}); !errors.Is(err, stream.ErrFull) {
		t.Errorf("with an event: %v, want ErrFull", err)
	}
}

func TestNegativeRetentionIsRefused(t *testing.T) {
	m := newMemory(t, Options{})
	streamtest.Create(t, m.e, "s", 1)
	for _, keep := range []stream.Retention{{Age: -1}, {Bytes: -1}} {
		if err := m.e.SetRetention(t.Context(), "s", keep); !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("set %+v: %v, want ErrInvalid", keep, err)
		}
		if err := m.e.Create(t.Context(), stream.Spec{Name: "t", Keep: keep}); !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("create with %+v: %v, want ErrInvalid", keep, err)
		}
	}
}

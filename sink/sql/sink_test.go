package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// batchOf returns a batch of shard 0 whose records have the numbers from first on.
func batchOf(first uint64, payloads ...string) leat.Batch {
	b := leat.Batch{Stream: "trades", Epoch: 1}
	for i, data := range payloads {
		n := first + uint64(i)
		arrived := start.Add(time.Duration(n) * time.Millisecond)
		b.Records = append(b.Records, leat.Record{
			Sequence: leat.NewSequence(b.Shard, start, n, arrived), PartitionKey: "key", Arrived: arrived, Data: []byte(data),
		})
	}
	return b
}

// newSink returns a sink over a fresh file.
func newSink(t *testing.T, change func(*Config)) *Sink {
	t.Helper()
	s := &Sink{Config: Config{Path: filepath.Join(t.TempDir(), "a ?#%41 b.db"), Table: "trades"}}
	if change != nil {
		change(&s.Config)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func deliver(t *testing.T, s *Sink, b leat.Batch) {
	t.Helper()
	if err := s.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// execute runs statements on the sink's file as another program.
func execute(t *testing.T, s *Sink, statements ...string) {
	t.Helper()
	db, err := stdsql.Open(Driver, dsn(s.Path, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func wantHalt(t *testing.T, err error, parts ...string) {
	t.Helper()
	wantError(t, err, parts...)
	if !sink.IsHalt(err) || sink.IsPermanent(err) {
		t.Errorf("%v: want it to be Halt", err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got the error %q, want it to contain %q", err, part)
		}
	}
}

// TestALockedFileIsTriedAgain runs on a virtual clock: a wait for the lock of another program neither
// freezes the bubble nor lasts for ever, and it ends with the context.
func TestALockedFileIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink(t, nil)
		deliver(t, s, batchOf(1, "{}"))
		db, err := stdsql.Open(Driver, dsn(s.Path, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		other, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}

		began := time.Now()
		second := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { second <- s.Deliver(t.Context(), batchOf(2, "{}")) }()
		synctest.Wait()
		go func() { second <- s.Deliver(ctx, batchOf(3, "{}")) }() // waits for its turn
		synctest.Wait()
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("who waits for its turn got %v, want context.Canceled", err)
		}
		err = <-second
		wantError(t, err, "locked")
		if sink.IsHalt(err) || sink.IsPermanent(err) {
			t.Errorf("%v is Halt or Permanent", err)
		}
		if waited := time.Since(began); waited < 4*time.Second || waited > 6*time.Second {
			t.Errorf("waited %v for the lock, want 5s", waited)
		}

		ctx, cancel = context.WithCancel(t.Context())
		go func() { second <- s.Deliver(ctx, batchOf(2, "{}")) }()
		synctest.Wait()
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("who waits for the lock got %v, want context.Canceled", err)
		}
		if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		deliver(t, s, batchOf(2, "{}"))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestConsumersDoNotShareTheirPositions(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "1"))
	other := newSink(t, func(c *Config) { c.Path = s.Path })
	other.Consumer = "other"
	deliver(t, other, batchOf(1, "1"))
	stream := batchOf(1, "1")
	stream.Stream = "quotes"
	deliver(t, s, stream)
	deliver(t, s, stream)
	if rows := queryAll(t, dsn(s.Path, ""), "SELECT consumer, stream, shard, lane, epoch, sub FROM leat_cursor"); len(rows) != 3 {
		t.Errorf("got the positions %v, want 3", rows)
	}
	if rows := queryAll(t, dsn(s.Path, ""), "SELECT data FROM trades"); len(rows) != 3 {
		t.Errorf("got %d rows, want 3", len(rows))
	}
}

func TestADamagedPositionHalts(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "1"))
	execute(t, s, "UPDATE leat_cursor SET seq = '12'")
	wantHalt(t, s.Deliver(t.Context(), batchOf(2, "2")), "leat_cursor", "damaged")
}

func TestAClosedSinkDeliversNothing(t *testing.T) {
	s := newSink(t, nil)
	deliver(t, s, batchOf(1, "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Deliver(t.Context(), batchOf(2, "2")), "closed")
	if _, err := os.Stat(s.Path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is still there: %v", err)
	}
}

package source_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
)

// driveLogged runs a Manager over feed for 150 s.
func driveLogged(t *testing.T, feed source.Source, stall time.Duration, logs *logBook) *source.Manager {
	t.Helper()
	m := &source.Manager{
		Name: "feed", Source: feed, Settings: source.Settings{Stall: stall}, Gaps: "feed.gaps", Log: slog.New(logs),
		Producer: &producer.Producer{Engine: newMemory(), Stream: "events", Source: "feed"},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return m
}

// dripping is a Source whose messages keep arriving and never become whole.
type dripping struct{}

func (dripping) Open(context.Context, leat.Cursor) (source.Conn, error) {
	return &drop{lines{messages: []string{"{}", "stay"}, closed: make(chan struct{})}}, nil
}

type drop struct{ lines }

func (d *drop) Signs() source.Signs {
	return source.Signs{First: time.Now(), Data: time.Now(), Progress: time.Now()}
}

func (d *drop) Wait(context.Context) error {
	<-d.closed
	return nil
}

// A message that is on its way keeps its connection, but not for ever.
func TestAMessageMustBecomeWhole(t *testing.T) {
	for stall, want := range map[time.Duration]int64{10 * time.Second: 2, setting.Off: 1} {
		synctest.Test(t, func(t *testing.T) {
			logs := &logBook{}
			m := driveLogged(t, dripping{}, stall, logs)
			status := m.Status()
			n := status.Ends[source.End{Kind: source.EndStall}]
			if status.Opened != want || n != want-1 || logs.count("still not whole after 1m40s") == 0 != (n == 0) {
				t.Errorf("stall %v: %d connections, %d stalled: %q", stall, status.Opened, n, logs.lines)
			}
		})
	}
}

// garbled is a Source that brings messages which are left out, a hundred a second.
type garbled struct{}

func (garbled) Open(context.Context, leat.Cursor) (source.Conn, error) {
	return &skips{lines{closed: make(chan struct{})}}, nil
}

type skips struct{ lines }

func (s *skips) Next(ctx context.Context) ([]leat.Event, error) {
	select {
	case <-s.closed:
		return s.lines.Next(ctx)
	case <-time.After(10 * time.Millisecond):
		return nil, &source.SkipError{Reason: "decode", Bytes: 3, Detail: "no JSON"}
	}
}

// Messages that are left out become a record each, and do not flood the log.
func TestMessagesThatAreLeftOutDoNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &logBook{}
		m := driveLogged(t, garbled{}, setting.Off, logs)
		if lines, skipped := logs.count("how=decode"), m.Status().Skipped; lines < 15 || lines > 17 || skipped < 10_000 {
			t.Errorf("%d lines of %d messages", lines, skipped)
		}
	})
}

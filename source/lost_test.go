package source_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
)

// answering is a Source whose connections are made by a function.
type answering struct {
	mu    sync.Mutex
	asked []leat.Cursor
	open  func(n int, after leat.Cursor) ([]string, error)
}

func (a *answering) Open(_ context.Context, after leat.Cursor) (source.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, after)
	messages, err := a.open(len(a.asked), after)
	if err != nil {
		return nil, err
	}
	return &lines{messages: messages, closed: make(chan struct{})}, nil
}

func (a *answering) all() []leat.Cursor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// lines is a Conn that brings messages, one a second, and breaks off; one that ends with "stay" stays.
type lines struct {
	messages []string
	once     sync.Once
	closed   chan struct{}
}

func (c *lines) Next(context.Context) ([]leat.Event, error) {
	if len(c.messages) == 0 {
		return nil, errors.New("over")
	}
	text := c.messages[0]
	if text == "stay" {
		<-c.closed
		return nil, errors.New("closed")
	}
	time.Sleep(time.Second)
	c.messages = c.messages[1:]
	return []leat.Event{{Data: []byte(text)}}, nil
}

func (c *lines) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// drive runs a Manager over feed for a while, and returns what it stored and reported.
func drive(t *testing.T, e *memory, feed source.Source, settings source.Settings, d time.Duration) *source.Manager {
	t.Helper()
	p := &producer.Producer{Engine: e, Stream: "events", Source: "feed"}
	if !settings.EventID.IsZero() {
		p.Remember = producer.Remember{Window: 10 * time.Minute, Events: 1000}
	}
	m := &source.Manager{Name: "feed", Source: feed, Settings: settings, Producer: p, Gaps: "feed.gaps", Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return m
}

func message(seq int) string { return fmt.Sprintf(`{"seq":%d}`, seq) }

func TestLostCursors(t *testing.T) {
	gone := &source.EndError{Kind: source.EndHTTP, Code: 400, Reason: `{"error":"CursorTooOld","message":"floor 50"}`}
	for _, c := range []struct {
		action string
		when   string
		want   []leat.Cursor
		first  leat.Cursor // in the gap record; empty: there is none
	}{
		{"live", `code == 400 && body.error == "CursorTooOld"`, []leat.Cursor{"", "2", ""}, "90"},
		{"live", `reason contains "CursorTooOld"`, []leat.Cursor{"", "2", ""}, "90"},
		{"oldest", `code == 400`, []leat.Cursor{"", "2", "0"}, "50"},
		{"live", ``, []leat.Cursor{"", "2", "2"}, ""},
		{"fail", `code == 400`, []leat.Cursor{"", "2", "2"}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := &answering{open: func(n int, after leat.Cursor) ([]string, error) {
				switch {
				case n == 1:
					return []string{message(1), message(2)}, nil
				case after == "2":
					return nil, gone
				case after == "0":
					return []string{message(50), message(51), "stay"}, nil
				}
				return []string{message(90), message(91), "stay"}, nil
			}}
			s := source.Settings{Cursor: expression.MustParse("seq"), CursorMode: "exclusive", OnLostCursor: c.action, OldestCursor: "0"}
			if c.when != "" {
				s.LostCursor = expression.MustParseCondition(c.when)
			}
			e := newMemory()
			drive(t, e, feed, s, 2*time.Minute)
			if asked := feed.all(); !slices.Equal(asked[:3], c.want) {
				t.Errorf("%s, %s: asked for %q, want %q", c.action, c.when, asked, c.want)
			}
			y := year{t: t, engine: e}
			gaps := y.gaps()
			switch {
			case c.first == "" && len(gaps) > 0:
				t.Errorf("%s, %s: gaps %v", c.action, c.when, gaps)
			case c.first == "":
			case len(gaps) != 1 || gaps[0].How != source.GapResume || gaps[0].Asked != "2" || gaps[0].Came != c.first:
				t.Errorf("%s, %s: gaps %+v", c.action, c.when, gaps)
			}
		})
	}
}

// The provider takes the connection, says that the cursor is gone, and ends it. A restart finds the same.
func TestLostCursorsAreFoundAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemory()
		s := source.Settings{Cursor: expression.MustParse("seq"), CursorMode: "inclusive", OnLostCursor: "live"}
		drive(t, e, &answering{open: func(int, leat.Cursor) ([]string, error) { return []string{message(7), "stay"}, nil }}, s, time.Minute)
		time.Sleep(time.Hour)
		feed := &answering{open: func(_ int, after leat.Cursor) ([]string, error) {
			if after != "" {
				return nil, &source.EndError{Kind: source.EndHTTP, Code: 410}
			}
			return []string{message(99), "stay"}, nil
		}}
		drive(t, e, feed, s, time.Minute)
		y := year{t: t, engine: e}
		if gaps, asked := y.gaps(), feed.all(); len(gaps) != 1 || gaps[0].Asked != "7" || gaps[0].Came != "99" || gaps[0].To.Sub(gaps[0].From) < 59*time.Minute || !slices.Equal(asked, []leat.Cursor{"7", ""}) {
			t.Errorf("gaps %+v, asked %q", gaps, asked)
		}
	})
}

// A provider without order: the greatest cursor counts, and with an overlap nothing is lost that was still on its way.
func TestGreatestCursorsWithOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &answering{open: func(n int, after leat.Cursor) (messages []string, _ error) {
			if n == 1 {
				return []string{message(10), message(13), message(11)}, nil // 12 is still on its way
			}
			from, _ := strconv.Atoi(string(after))
			for seq := from; seq <= 15; seq++ {
				messages = append(messages, message(seq))
			}
			return append(messages, "stay"), nil
		}}
		s := source.Settings{
			Cursor: expression.MustParse("seq"), CursorMode: "exclusive", CursorKind: "max", EventID: expression.MustParse("seq"),
			GapRule: &source.GapRule{Field: expression.MustParse("seq"), Reorder: source.Reorder{Time: 10 * time.Second}},
		}
		if err := s.CursorOverlap.UnmarshalText([]byte("3")); err != nil {
			t.Fatal(err)
		}
		e := newMemory()
		m := drive(t, e, feed, s, time.Minute)
		y := year{t: t, engine: e}
		ids := y.ids()
		for seq := 10; seq <= 15; seq++ {
			if ids[seq] != 1 {
				t.Errorf("%d is stored %d times", seq, ids[seq])
			}
		}
		if asked, gaps := feed.all(), y.gaps(); !slices.Equal(asked, []leat.Cursor{"", "10"}) || len(gaps) > 0 || m.Status().Cursor != "15" {
			t.Errorf("asked for %q, cursor %s, gaps %+v", asked, m.Status().Cursor, gaps)
		}
	})
}

// With an overlap a provider that ignores the cursor is found out, also where it begins behind the cursor.
func TestOverlapsProveExclusiveResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &answering{open: func(n int, _ leat.Cursor) ([]string, error) {
			return []string{message(100 * n), message(100*n + 1), message(100*n + 2)}, nil
		}}
		s := source.Settings{Cursor: expression.MustParse("seq"), CursorMode: "exclusive", EventID: expression.MustParse("seq")}
		if err := s.CursorOverlap.UnmarshalText([]byte("2")); err != nil {
			t.Fatal(err)
		}
		e := newMemory()
		drive(t, e, feed, s, 7*time.Second)
		y := year{t: t, engine: e}
		if gaps := y.gaps(); len(gaps) == 0 || gaps[0].How != source.GapResume || gaps[0].Came != "200" {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

func TestCursorsHaveFallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &answering{open: func(n int, _ leat.Cursor) ([]string, error) {
			return [][]string{{`{"time_us":1700000000000001}`}, {`{"cursor":5,"time_us":1700000000000002}`}, {"stay"}}[min(n, 3)-1], nil
		}}
		drive(t, newMemory(), feed, source.Settings{Cursor: expression.MustParse("cursor ?? time_us"), CursorMode: "exclusive"}, time.Minute)
		if asked := feed.all(); !slices.Equal(asked[:3], []leat.Cursor{"", "1700000000000001", "5"}) {
			t.Errorf("asked for %q", asked)
		}
	})
}

// The attempts to connect are bounded, and a restart does not begin them anew.
func TestAttemptsSurviveRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemory()
		feed := &answering{open: func(int, leat.Cursor) ([]string, error) { return nil, errors.New("not now") }}
		s := source.Settings{MaxBackoff: time.Second, Attempts: source.Attempts{Count: 10, Per: 5 * time.Minute}}
		for range 8 {
			drive(t, e, feed, s, 30*time.Second)
		}
		if n := len(feed.all()); n != 10 {
			t.Errorf("%d attempts in four minutes with eight starts, want 10", n)
		}
		drive(t, e, feed, s, 10*time.Minute)
		if n := len(feed.all()); n < 20 || n > 30 {
			t.Errorf("%d attempts in fourteen minutes", n)
		}
	})
}

package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
)

// begin runs a Manager over feed in the background.
func begin(t *testing.T, feed source.Source, settings source.Settings) (m *source.Manager, e *memory, logs *bytes.Buffer, leave func()) {
	t.Helper()
	e, logs = newMemory(), &bytes.Buffer{}
	p := &producer.Producer{Engine: e, Stream: "events", Source: "feed"}
	m = &source.Manager{Name: "feed", Source: feed, Settings: settings, Producer: p, Gaps: "feed.gaps", Log: slog.New(slog.NewTextHandler(logs, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	return m, e, logs, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func rule(when, is string, pause time.Duration) source.Ending {
	return source.Ending{When: expression.MustParseCondition(when), Is: is, Pause: pause}
}

func TestEndsHaveRules(t *testing.T) {
	refusal := &source.EndError{Kind: source.EndHTTP, Code: 403, Reason: `{"error":"no","wait":7}`, Hints: map[string]string{"x-ratelimit-reset": "946685700"}} // a quarter of an hour after the beginning of a bubble
	hint := rule("code == 403", "resume", 0)
	hint.RetryAfter = expression.MustParse(`header["x-ratelimit-reset"]`)
	body := rule(`body.error == "no"`, "resume", 0)
	body.RetryAfter = expression.MustParse("body.wait")
	for _, c := range []struct {
		name        string
		rules       []source.Ending
		least, most int // attempts within ten minutes
		state       source.State
	}{
		{"by themselves", nil, 9, 11, source.Failing},
		{"no refusal", []source.Ending{rule("code == 403", "resume", 0)}, 30, 400, source.Failing},
		{"a pause", []source.Ending{rule("code == 404", "stop", 0), rule(`kind == "http"`, "resume", 3*time.Minute)}, 4, 4, source.Failing},
		{"a longer refusal", []source.Ending{rule("code == 403", "refused", 4*time.Minute)}, 3, 3, source.Failing},
		{"a hint", []source.Ending{hint}, 1, 1, source.Waiting},
		{"a text", []source.Ending{body}, 25, 86, source.Failing},
		{"the end", []source.Ending{rule("code == 403", "stop", 0)}, 1, 1, source.Stopped},
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := &answering{open: func(int, leat.Cursor) ([]string, error) { return nil, refusal }}
			m, _, logs, leave := begin(t, feed, source.Settings{Ends: c.rules})
			time.Sleep(10*time.Minute - time.Second)
			status := m.Status()
			leave()
			if n := len(feed.all()); n < c.least || n > c.most {
				t.Errorf("%s: %d attempts in ten minutes", c.name, n)
			}
			if status.State != c.state && status.Slots[0].State != c.state {
				t.Errorf("%s: status %+v", c.name, status)
			}
			if stopped := strings.Contains(logs.String(), "level=ERROR"); stopped != (c.state == source.Stopped) || stopped != (status.Stopped != "") {
				t.Errorf("%s: log %s", c.name, logs)
			}
		})
	}
}

// A provider that ends its session for good after it has brought something: the cursor is forgotten, and the gap is told.
func TestAFreshBeginningForgetsTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &sessions{}
		settings := source.Settings{
			Cursor: expression.MustParse("seq"), CursorMode: "exclusive", Ends: []source.Ending{rule("code == 4009", "fresh", 0)},
		}
		m, e, _, leave := begin(t, feed, settings)
		time.Sleep(time.Minute)
		leave()
		y := year{t: t, engine: e}
		if gaps := y.gaps(); strings.Join(feed.asked, " ") != "- - -" || len(gaps) != 2 || gaps[0].How != source.GapResume || gaps[0].Asked != "2" || gaps[0].Came != "101" {
			t.Errorf("asked %q, gaps %+v, status %+v", feed.asked, gaps, m.Status())
		}
	})
}

// sessions is a Source each of whose connections brings two events and ends with 4009, and the third of which stays.
type sessions struct{ asked []string }

func (s *sessions) Open(_ context.Context, after leat.Cursor) (source.Conn, error) {
	s.asked = append(s.asked, string(after)+"-")
	n := len(s.asked)
	c := &lines{closed: make(chan struct{}), messages: []string{message(100*(n-1) + 1), message(100*(n-1) + 2)}}
	if n == 3 {
		c.messages = append(c.messages, "stay")
	}
	return ending{c}, nil
}

type ending struct{ *lines }

func (c ending) Next(ctx context.Context) ([]leat.Event, error) {
	events, err := c.lines.Next(ctx)
	if err != nil && len(c.messages) == 0 {
		err = &source.EndError{Kind: source.EndClose, Code: 4009, Reason: "session timed out"}
	}
	return events, err
}

// Where nothing is to be done about a lost cursor, the source waits as after a refusal, and says so.
func TestALostCursorIsToldAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &answering{open: func(n int, _ leat.Cursor) ([]string, error) {
			if n == 1 {
				return []string{message(1), message(2)}, nil
			}
			return nil, &source.EndError{Kind: source.EndClose, Code: 4001, Reason: "cursor too old"}
		}}
		settings := source.Settings{Cursor: expression.MustParse("seq"), CursorMode: "exclusive", LostCursor: expression.MustParseCondition("code == 4001")}
		m, _, logs, leave := begin(t, feed, settings)
		time.Sleep(10 * time.Minute)
		status := m.Status()
		leave()
		if n := len(feed.all()); n < 9 || n > 12 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		if status.State != source.Failing || !strings.Contains(status.LastEnd, "on_lost_cursor") || !strings.Contains(status.Slots[0].Reason, "on_lost_cursor") || strings.Count(logs.String(), "level=ERROR") != 1 {
			t.Errorf("status %+v, log %s", status, logs)
		}
	})
}

// trickling is a Source that sends an event in each interval, over each connection the same.
type trickling struct{ interval func() time.Duration }

func (d *trickling) Open(context.Context, leat.Cursor) (source.Conn, error) {
	return &trickle{d, make(chan struct{})}, nil
}

type trickle struct {
	*trickling
	closed chan struct{}
}

func (c *trickle) Next(context.Context) ([]leat.Event, error) {
	t := time.NewTimer(c.interval())
	defer t.Stop()
	select {
	case <-t.C:
		return []leat.Event{{Data: fmt.Appendf(nil, `{"id":%d}`, time.Now().UnixNano())}}, nil
	case <-c.closed:
		return nil, errors.New("closed")
	}
}

func (c *trickle) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func TestASlowSourceIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		feed := &trickling{interval: func() time.Duration {
			if at := time.Since(begun); at >= 10*time.Minute && at < 20*time.Minute {
				return 5 * time.Second
			}
			return time.Second
		}}
		m, _, logs, leave := begin(t, feed, source.Settings{Stall: setting.Off, LeastRate: source.LeastRate{Events: 30}})
		for minute, slow := range map[int]bool{1: false, 9: false, 12: true, 19: true, 22: false, 29: false} {
			time.AfterFunc(time.Duration(minute)*time.Minute, func() {
				if got := !m.Status().SlowSince.IsZero(); got != slow {
					t.Errorf("minute %d: slow %v, want %v", minute, got, slow)
				}
			})
		}
		time.Sleep(30 * time.Minute)
		leave()
		if strings.Count(logs.String(), "least_rate") != 2 {
			t.Errorf("log %s", logs)
		}
	})
}

// brief is a Source each of whose connections is over before what it has brought is stored.
type brief struct{ asked []string }

func (b *brief) Open(_ context.Context, after leat.Cursor) (source.Conn, error) {
	b.asked = append(b.asked, string(after)+"-")
	n := len(b.asked)
	f := source.NewFeed(0)
	return source.StartReading(f, func() {}, func(ctx context.Context) error {
		if err := f.Offer(ctx, time.Now(), leat.Event{Data: []byte(message(n))}); err != nil {
			return err
		}
		return &source.EndError{Kind: source.EndClose, Code: 4001, Reason: "come again"}
	}), nil
}

// What a connection has brought counts, also where it is not stored yet when the connection ends.
func TestACursorIsNotLostWhereSomethingFollowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, e := &brief{}, newMemory()
		p := &producer.Producer{Engine: e, Stream: "events", Source: "feed", Remember: producer.Remember{Window: time.Hour, Events: 1000}}
		settings := source.Settings{
			Cursor: expression.MustParse("seq"), EventID: expression.MustParse("seq"), LostCursor: expression.MustParseCondition("code == 4001"), OnLostCursor: "live",
		}
		m := &source.Manager{Name: "feed", Source: feed, Settings: settings, Producer: watched{p, func(int) {}}, Gaps: "feed.gaps"}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := m.Run(ctx); err != nil {
			t.Fatal(err)
		}
		y := year{t: t, engine: e}
		if gaps := y.gaps(); len(feed.asked) < 5 || slices.Contains(feed.asked[2:], "-") || len(gaps) > 0 {
			t.Errorf("asked to follow %q, gaps %+v", feed.asked, gaps)
		}
	})
}

func TestARefusalIsShownWhileEventsAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemory()
		p := &producer.Producer{Engine: e, Stream: "events", Source: "feed"}
		settings := source.Settings{Ends: []source.Ending{rule("code == 4001", "refused", 0)}}
		m := &source.Manager{Name: "feed", Source: &brief{}, Settings: settings, Producer: watched{p, func(int) {}}}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		time.AfterFunc(10*time.Second, func() {
			if status := m.Status(); status.State != source.Failing {
				t.Errorf("status %+v", status)
			}
		})
		if err := m.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

package source

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

func TestDoubtsAreToldOnceAnHourWithTheirNumber(t *testing.T) {
	settings := Settings{
		EventID: expression.MustParse("id"), Cursor: expression.MustParse("id"), EventTime: expression.MustParse("at"), PartitionKey: expression.MustParse("key"),
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		`{"id":1,"at":1767225600,"key":"a"}`:                        "",
		`{"at":1767225600,"key":"a"}`:                               "event_id",
		`{"id":1,"key":"a"}`:                                        "event_time",
		`{"id":1,"at":"soon","key":"a"}`:                            "event_time",
		`{"id":1,"at":1767225600}`:                                  "partition_key",
		`{"id":1,"at":"2027-01-01T00:00:00Z","key":"a"}`:            "ahead of the clock",
		"{\"id\":1,\"at\":1767225600,\"key\":\"a\",\"x\":\"\xff\"}": "UTF-8",
		`{"id":`:                         "no JSON",
		strings.Repeat("[", 1<<20):       "no JSON",
		`<html>Too Many Requests</html>`: "no JSON",
	} {
		var log strings.Builder
		logger := slog.New(slog.NewTextHandler(&log, nil))
		var d doubts
		for minute := range 90 {
			at := now.Add(time.Duration(minute) * time.Minute)
			m := mapping{"feed", &settings}
			var odd oddities
			for range 10 {
				e := leat.Event{Data: []byte(text)}
				m.apply(&e)
				odd.look(&e, &m, at)
			}
			d.tell(logger, &odd, at)
		}
		lines, counts := 2, "events=600 "
		if want == "" {
			lines, counts = 0, ""
		}
		if strings.Count(log.String(), "\n") != lines || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), counts) {
			t.Errorf("%.50q: got %s", text, log.String())
		}
	}
}

func TestRepeatedIdentitiesAreADoubt(t *testing.T) {
	for _, c := range []struct {
		all, known int64
		told       bool
	}{{100, 100, true}, {100, 60, true}, {100, 40, false}, {10, 10, false}} {
		var log strings.Builder
		var d doubts
		for second := range 60 {
			d.repeated(slog.New(slog.NewTextHandler(&log, nil)), c.all, c.known, time.Unix(int64(second), 0))
		}
		if told := strings.Contains(log.String(), "is it unique?"); told != c.told || strings.Count(log.String(), "\n") > 1 {
			t.Errorf("%d of %d: %s", c.known, c.all, log.String())
		}
	}
}

func TestCursorsThatGoBack(t *testing.T) {
	for _, c := range []struct {
		from, to leat.Cursor
		want     bool
	}{
		{"10", "9", true},
		{"9", "10", false},
		{"9", "9", false},
		{"", "9", false},
		{"9", "", false},
		{"b", "a", false},
		{"9", "-1", false},
		{"2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", true},
		{"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", false},
		{"9x", "8x", false},
		{`[{"o":9}]`, `[{"o":8}]`, false},
	} {
		if got := goesBack(c.from, c.to); got != c.want {
			t.Errorf("from %s to %s: %v", c.from, c.to, got)
		}
	}
}

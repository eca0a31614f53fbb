package examples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

// eventStreams is Wikimedia EventStreams: positions are lists of times, which two events share; a connection is cut after 15 minutes, and an
// address may have two.
type eventStreams struct {
	every   time.Duration
	history time.Duration
	started time.Time

	mu                          sync.Mutex
	open, most, refused, opened int
}

func (s *eventStreams) last(now time.Time) int64 { return int64(now.Sub(s.started) / s.every) }

func (s *eventStreams) due(n int64) time.Time { return s.started.Add(time.Duration(n) * s.every) }

// stamp is the time of an event as positions know it: two events share one.
func (s *eventStreams) stamp(n int64) int64 { return s.due(n &^ 1).UnixMilli() }

func (s *eventStreams) id(n int64) string { return fmt.Sprintf("edit-%d", n) }

func (s *eventStreams) message(n int64) string {
	domain := "en.wikipedia.org"
	if n%10 == 0 {
		domain = "canary"
	}
	return fmt.Sprintf("event: message\nid: [{\"topic\":\"eqiad.mediawiki.recentchange\",\"partition\":0,\"timestamp\":%d},{\"topic\":\"codfw.mediawiki.recentchange\",\"partition\":0,\"offset\":-1}]\n"+
		"data: {\"meta\":{\"id\":%q,\"domain\":%q,\"dt\":%q},\"type\":\"edit\",\"wiki\":\"enwiki\",\"title\":\"A\",\"bot\":false,\"length\":{\"old\":1,\"new\":3}}\n\n",
		s.stamp(n), s.id(n), domain, s.due(n).UTC().Format(time.RFC3339))
}

// enter counts a connection, unless there are two.
func (s *eventStreams) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == 2 {
		s.refused++
		return false
	}
	s.open++
	s.opened++
	s.most = max(s.most, s.open)
	return true
}

func (s *eventStreams) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// begin returns the first event for a client: of those that share the time of its position all come again.
func (s *eventStreams) begin(r *http.Request) int64 {
	next := s.last(time.Now()) + 1
	var at []struct{ Timestamp int64 }
	if json.Unmarshal([]byte(r.Header.Get("Last-Event-ID")), &at) == nil && len(at) == 2 {
		for next > 1 && s.stamp(next-1) >= at[0].Timestamp && time.Since(s.due(next-1)) < s.history {
			next--
		}
	}
	return next
}

func (s *eventStreams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !strings.Contains(r.UserAgent(), "someone@example.org"):
		http.Error(w, "say who you are", http.StatusForbidden)
		return
	case !s.enter():
		http.Error(w, "Too Many Concurrent Connections", http.StatusTooManyRequests)
		return
	}
	defer s.leave()
	end := time.Now().Add(15 * time.Minute)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	say := func(text string) { _, _ = w.Write([]byte(text)); _ = http.NewResponseController(w).Flush() }
	say(":ok\n\n")
	for n := s.begin(r); s.due(n).Before(end); n++ {
		if !sleepUntil(r.Context(), s.due(n)) {
			return
		}
		say(s.message(n))
	}
	if sleepUntil(r.Context(), end) {
		panic(http.ErrAbortHandler)
	}
}

func TestWikimediaIsResumedByPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &eventStreams{every: 25 * time.Second, history: 7 * 24 * time.Hour, started: time.Now().Add(-time.Hour)}
		w := newWorld(t, "wikimedia", map[string]string{"CONTACT": "someone@example.org"}, map[string]http.Handler{"stream.wikimedia.org:80": s})
		first := s.last(time.Now()) + 1
		w.run()
		time.Sleep(3*time.Hour + time.Second)
		if s.opened > 14 {
			t.Errorf("%d connections in 3 hours", s.opened)
		}
		w.leave()
		time.Sleep(2 * 24 * time.Hour)
		w.run()
		time.Sleep(time.Hour)
		last := s.last(time.Now())
		time.Sleep(time.Second)
		w.leave()
		want := 0
		for n := first; n <= last; n++ {
			if n%10 != 0 {
				want++
			}
		}
		if rows, distinct := w.number("SELECT count(*) FROM edits"), w.number("SELECT count(DISTINCT at) FROM edits"); rows != want || distinct != want {
			t.Errorf("%d rows, %d distinct, want %d", rows, distinct, want)
		}
		if gaps := w.gaps(); len(gaps) > 0 || s.refused > 0 || s.most > 2 {
			t.Errorf("%d refused, %d at a time, gaps %+v", s.refused, s.most, gaps)
		}
	})
}

func TestWikimediaAsRecorded(t *testing.T) {
	sessions, err := provider.ReadRecording(filepath.Join(dataDir(t), "sse-wikimedia", "example.events"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Replay{Session: sessions[0], Speed: 1, Rules: &provider.Rules{As: "sse"}}
		w := newWorld(t, "wikimedia", nil, map[string]http.Handler{"stream.wikimedia.org:80": feed})
		w.run()
		time.Sleep(5 * time.Second)
		w.leave()
		w.once(whole, dataOf(sessions[0].Messages))
		if n := w.number("SELECT count(*) FROM edits WHERE type = 'edit' AND bytes IS NOT NULL AND bot IS NOT NULL"); n != 3 {
			t.Errorf("%d of 3 edits are whole", n)
		}
	})
}

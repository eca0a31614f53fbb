package examples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/provider"
)

// mastodon is a Mastodon server: it says where its streams are, wants a token, says hello by a comment, and that it is alive by another one each 15 s, without an empty line behind
// it. Posts are numbered by their time, and so many of the last ones are asked for in pages, the newest first. The first stream falls silent after a time.
type mastodon struct {
	silent time.Duration // of the first stream; 0: never
	every  time.Duration

	mu     sync.Mutex
	opened int
	began  time.Time
	pages  int
}

func (m *mastodon) number(n int) int64 {
	return m.began.Add(time.Duration(n)*m.every).UnixMilli()<<16 + int64(n)
}

func (m *mastodon) post(n int) string {
	return fmt.Sprintf(`{"id":"%d","created_at":%q,"edited_at":null,"account":{"acct":"a@b"},"language":"en","content":"x"}`, m.number(n), m.began.Add(time.Duration(n)*m.every).UTC().Format(time.RFC3339Nano))
}

func (m *mastodon) last() int { return int(time.Since(m.began) / m.every) }

func (m *mastodon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/api/v2/instance":
		_ = json.NewEncoder(w).Encode(map[string]any{"configuration": map[string]any{"urls": map[string]any{"streaming": "ws://streaming.mastodon.social"}}})
	case r.Header.Get("Authorization") != "Bearer secret":
		http.Error(w, `{"error":"Missing access token"}`, http.StatusUnauthorized)
	case r.URL.Path == "/api/v1/timelines/public":
		m.timeline(w, r)
	case r.URL.Path == "/api/v1/streaming/public":
		m.stream(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (m *mastodon) timeline(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, _ := strconv.ParseInt(q.Get("since_id"), 10, 64)
	before, _ := strconv.ParseInt(q.Get("max_id"), 10, 64)
	m.mu.Lock()
	m.pages++
	m.mu.Unlock()
	var list []string
	n := m.last()
	for ; n > 0 && len(list) < 40; n-- {
		if id := m.number(n); id > since && id < before {
			list = append(list, m.post(n))
		}
	}
	if len(list) == 40 {
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?limit=40&since_id=%d&max_id=%d>; rel="next", <http://%s/>; rel="prev"`, r.Host, r.URL.Path, since, m.number(n+1), r.Host))
	}
	_, _ = w.Write([]byte("[" + strings.Join(list, ",") + "]"))
}

func (m *mastodon) stream(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.opened++
	end := time.Now().Add(24 * time.Hour)
	if m.opened == 1 && m.silent > 0 {
		end = time.Now().Add(m.silent)
	}
	m.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(text string) { _, _ = w.Write([]byte(text)); _ = http.NewResponseController(w).Flush() }
	say(":)\n")
	next := m.last() + 1
	for at := time.Now().Add(15 * time.Second); at.Before(end); at = at.Add(15 * time.Second) {
		if !sleepUntil(r.Context(), at) {
			return
		}
		say(":thump\n")
		for ; next <= m.last(); next++ {
			say("event: update\ndata: " + m.post(next) + "\n\n")
			if next%7 == 0 {
				say("event: delete\ndata: 4711\n\n")
			}
		}
	}
	<-r.Context().Done()
}

// The first stream falls silent with the connection open, which is found out; and what was posted then, and in a stop of an hour, comes from the timeline.
func TestMastodonIsHealedFromTheTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mastodon{silent: 4*time.Minute + 40*time.Second, every: 20 * time.Second, began: time.Now().Add(-time.Hour)}
		w := newWorld(t, "mastodon", variables["mastodon"], map[string]http.Handler{"mastodon.social:80": m, "streaming.mastodon.social:80": m})
		first := m.last() + 1
		w.run()
		time.Sleep(15 * time.Minute)
		if m.opened != 2 {
			t.Errorf("%d streams", m.opened)
		}
		w.leave()
		time.Sleep(time.Hour)
		w.run()
		time.Sleep(30 * time.Minute)
		last := m.last()
		time.Sleep(40 * time.Second)
		w.leave()
		rows := w.number(fmt.Sprintf("SELECT count(*) FROM posts WHERE CAST(id AS INTEGER) BETWEEN %d AND %d", m.number(first), m.number(last)))
		if want := last - first + 1; rows != want {
			t.Errorf("%d posts, want %d", rows, want)
		}
		open := 0
		for _, g := range w.gaps() {
			if open++; !g.RepairedAt.IsZero() {
				open -= 2
			}
		}
		if open != 0 || m.pages < 4 {
			t.Errorf("%d pages, gaps %+v", m.pages, w.gaps())
		}
	})
}

func TestMastodonAsRecorded(t *testing.T) {
	sessions, err := provider.ReadRecording(filepath.Join(dataDir(t), "sse-mastodon", "test_stream_user_local.yaml.zst"))
	if err != nil {
		t.Fatal(err)
	}
	var want, other []string
	for _, m := range sessions[0].Messages {
		switch m.Event {
		case "update", "status.update":
			want = append(want, string(m.Data))
		case "":
		default:
			other = append(other, m.Event)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Replay{Session: sessions[0], Speed: 1, Rules: &provider.Rules{As: "sse"}}
		w := newWorld(t, "mastodon", variables["mastodon"], map[string]http.Handler{"mastodon.social:80": &mastodon{}, "streaming.mastodon.social:80": feed})
		w.run()
		time.Sleep(5 * time.Second)
		w.leave()
		w.once(whole, want)
		if n := w.number("SELECT count(*) FROM posts WHERE account IS NOT NULL"); n != len(want) || n == 0 {
			t.Errorf("%d posts, want %d", n, len(want))
		}
		t.Logf("%d events, others %v", len(want), other)
	})
}

package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// hub is the events API of GitHub: a window over the last 300 events, the newest first, in pages; an answer that has not changed costs nothing; and the time
// to wait is said in a header.
type hub struct {
	events  []string
	every   time.Duration
	started time.Time
	wait    int // seconds between two requests

	mu      sync.Mutex
	last    time.Time // the last request for a first page
	hasty   int       // came too early
	paid    int
	free    int
	refused int
	broke   time.Time // until then the requests of the hour are used up
	asked   int       // came all the same
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Accept") != "application/vnd.github+json" || r.URL.Query().Get("per_page") != "100" {
		h.refused++
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	if time.Now().Before(h.broke) {
		h.asked++
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(h.broke.Unix(), 10))
		http.Error(w, `{"message":"API rate limit exceeded"}`, http.StatusForbidden)
		return
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	newest := min(len(h.events), int(time.Since(h.started)/h.every))
	if page = max(page, 1); page == 1 {
		if time.Since(h.last) < time.Duration(h.wait)*time.Second {
			h.hasty++
		}
		h.last = time.Now()
	}
	w.Header().Set("X-Poll-Interval", strconv.Itoa(h.wait))
	tag := fmt.Sprintf(`W/"%d"`, newest)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		h.free++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.paid++
	var list []string
	for n := newest - 100*(page-1); n > max(0, newest-100*page); n-- {
		list = append(list, h.events[n-1])
	}
	if page < 3 && newest > 100*page {
		next := *r.URL
		next.Scheme, next.Host = "http", r.Host
		next.RawQuery = fmt.Sprintf("per_page=100&page=%d", page+1)
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next", <%s>; rel="last"`, next.String(), next.String()))
	}
	_, _ = w.Write([]byte("[" + strings.Join(list, ",") + "]"))
}

// archived returns 800 events as they were, in the order of their arrival.
func archived(t *testing.T) (events []string) {
	t.Helper()
	file, err := os.Open(filepath.Join(dataDir(t), "github", "gharchive-2021-07-21-few-hours.json.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		events = append(events, lines.Text())
	}
	return events
}

func TestGitHubIsAskedAsItWants(t *testing.T) {
	events := archived(t)
	ids := make([]string, len(events))
	for i, e := range events {
		var event struct{ ID string }
		if err := json.Unmarshal([]byte(e), &event); err != nil {
			t.Fatal(err)
		}
		ids[i] = event.ID
	}
	for _, c := range []struct {
		name string
		stop time.Duration
		lost bool
	}{{"the window reaches over the stop", 8 * time.Minute, false}, {"the stop is longer than the window", 20 * time.Minute, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{events: events, every: 2 * time.Second, started: time.Now(), wait: 90}
				w := newWorld(t, "github", variables["github"], map[string]http.Handler{"api.github.com:80": h})
				w.run()
				time.Sleep(4 * time.Minute)
				w.leave()
				time.Sleep(c.stop)
				w.run()
				time.Sleep(time.Hour)
				w.leave()
				gaps, rows := w.gaps(), w.number("SELECT count(*) FROM events WHERE type != '' AND repo != ''")
				t.Logf("%d requests, %d of them free, %d rows, gaps %v", h.paid+h.free, h.free, rows, gaps)
				if h.hasty > 0 || h.refused > 0 || h.free == 0 {
					t.Errorf("%d too early, %d refused, %d without a change", h.hasty, h.refused, h.free)
				}
				if c.lost {
					if len(gaps) != 1 || rows >= len(events) {
						t.Errorf("gaps %+v", gaps)
					}
					return
				}
				w.once(idOf, ids)
				if len(gaps) > 0 || rows != len(events) {
					t.Errorf("gaps %+v, %d rows", gaps, rows)
				}
			})
		})
	}
}

// Where the requests of an hour are used up GitHub says when there are new ones.
func TestGitHubIsLeftAloneUntilItWantsToBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(3 * 365 * 24 * time.Hour) // so long after 1970 that a number is a time
		h := &hub{events: []string{`{"id":"1","type":"PushEvent","repo":{"name":"a/b"},"created_at":"2002-12-31T00:00:00Z"}`}, every: time.Second, started: time.Now(), wait: 60, broke: time.Now().Add(40 * time.Minute)}
		w := newWorld(t, "github", variables["github"], map[string]http.Handler{"api.github.com:80": h})
		w.run()
		time.Sleep(45 * time.Minute)
		w.leave()
		if n := w.number("SELECT count(*) FROM events"); h.asked != 1 || n != 1 {
			t.Errorf("asked %d times, %d rows", h.asked, n)
		}
	})
}

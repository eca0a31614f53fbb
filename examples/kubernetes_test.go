package examples_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/source"
)

// change is one of a resource of Kubernetes.
type change struct {
	version int64
	at      time.Time
	uid     string
	text    string
}

// apiServer is the API server of Kubernetes with one kind of resource. A watch without a version begins with all that there is, in no order; one
// with a version with what follows, if the history reaches so far. Bookmarks come each minute, and a watch ends after half an hour to an hour.
type apiServer struct {
	history time.Duration
	status  bool // a version that is too old is refused by a status, not in the stream

	mu      sync.Mutex
	changes []change
	exists  map[string]change
	changed chan struct{}
	cutAt   int // ends the next watch behind so many changes; 0: never
	fresh   int // watches without a version
	refused int
}

func newAPIServer() *apiServer {
	return &apiServer{history: 5 * time.Minute, exists: map[string]change{}, changed: make(chan struct{})}
}

func (a *apiServer) apply(uid, kind string) change {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := change{version: int64(100 + len(a.changes)), at: time.Now(), uid: uid}
	c.text = watched(kind, &c)
	a.changes = append(a.changes, c)
	c.text = watched("ADDED", &c) // as one sees it who begins
	a.exists[uid] = c
	if kind == "DELETED" {
		delete(a.exists, uid)
	}
	close(a.changed)
	a.changed = make(chan struct{})
	return c
}

func watched(kind string, c *change) string {
	return fmt.Sprintf(`{"type":%q,"object":{"kind":"Event","apiVersion":"v1","metadata":{"name":"n","namespace":"default","uid":%q,"resourceVersion":"%d","creationTimestamp":%q},"involvedObject":{"uid":"pod","name":"web"},"reason":"Started","message":"m","lastTimestamp":%q}}`+"\n",
		kind, c.uid, c.version, c.at.UTC().Format(time.RFC3339), c.at.UTC().Format(time.RFC3339))
}

const gone = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}`

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/api/v1/events" || q.Get("watch") != "1" || q.Get("allowWatchBookmarks") != "true" {
		http.NotFound(w, r)
		return
	}
	first, next, tooOld := a.begin(q.Get("resourceVersion"))
	if tooOld && a.status {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGone)
		_, _ = w.Write([]byte(gone))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	say := func(text string) { _, _ = w.Write([]byte(text)); _ = http.NewResponseController(w).Flush() }
	if tooOld {
		say(`{"type":"ERROR","object":` + gone + "}\n")
		return
	}
	_ = http.NewResponseController(w).Flush()
	a.watch(r, say, first, next)
}

// begin returns what a watch begins with, and the first change behind that.
func (a *apiServer) begin(version string) (first []change, next int, tooOld bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if version == "" {
		a.fresh++
		for _, c := range a.exists {
			first = append(first, c)
		}
		rand.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
		return first, len(a.changes), false
	}
	n, _ := strconv.ParseInt(version, 10, 64)
	next = int(n-100) + 1
	if next < len(a.changes) && time.Since(a.changes[next].at) > a.history {
		a.refused++
		return nil, 0, true
	}
	return nil, next, false
}

func (a *apiServer) watch(r *http.Request, say func(string), first []change, next int) {
	end := time.NewTimer(30*time.Minute + rand.N(30*time.Minute))
	defer end.Stop()
	mark := time.NewTicker(time.Minute)
	defer mark.Stop()
	a.mu.Lock()
	sent, cut := 0, a.cutAt
	a.cutAt = 0
	a.mu.Unlock()
	for {
		a.mu.Lock()
		fresh, wake := append(first, a.changes[next:]...), a.changed
		next, first = len(a.changes), nil
		a.mu.Unlock()
		for _, c := range fresh {
			say(c.text)
			if sent++; sent == cut {
				panic(http.ErrAbortHandler)
			}
		}
		select {
		case <-wake:
		case <-mark.C:
			say(fmt.Sprintf(`{"type":"BOOKMARK","object":{"kind":"Event","apiVersion":"v1","metadata":{"resourceVersion":"%d","creationTimestamp":null},"involvedObject":{}}}`+"\n", next+99))
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func TestKubernetesWatchGoesOnAtABookmark(t *testing.T) {
	for _, c := range []struct {
		name string
		stop time.Duration
		gone bool
		as   bool // by a status
	}{
		{"a stop of two minutes", 2 * time.Minute, false, false},
		{"a stop beyond the history", 20 * time.Minute, true, false},
		{"a stop beyond the history, refused by a status", 20 * time.Minute, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPIServer()
				a.status = c.as
				w := newWorld(t, "kubernetes", nil, map[string]http.Handler{"127.0.0.1:8001": a})
				want := map[string]bool{}
				happen := func(n int) {
					for range n {
						time.Sleep(10 * time.Second)
						made := a.apply(fmt.Sprintf("e%d", len(want)%40), []string{"ADDED", "MODIFIED"}[len(want)/40%2])
						want[fmt.Sprintf("%s %d", made.uid, made.version)] = true
					}
				}
				happen(40)
				a.cutAt = 25 // in the middle of what there is
				w.run()
				happen(40)
				time.Sleep(3 * time.Hour) // nothing happens, and watches end
				if n := a.fresh; n != 2 {
					t.Errorf("%d watches began anew", n)
				}
				happen(3)
				w.leave()
				a.apply("short", "ADDED")
				a.apply("short", "DELETED")
				time.Sleep(c.stop)
				a.apply("late", "ADDED")
				w.run()
				time.Sleep(5 * time.Minute)
				w.leave()
				stored := map[string]int{}
				for _, r := range w.records() {
					var e struct {
						Type   string
						Object struct {
							Metadata struct{ UID, ResourceVersion string }
						}
					}
					if err := json.Unmarshal(r.Data, &e); err != nil || e.Type == "BOOKMARK" || e.Type == "ERROR" {
						t.Errorf("stored %s", r.Data)
					}
					stored[e.Object.Metadata.UID+" "+e.Object.Metadata.ResourceVersion]++
				}
				for id := range want {
					if stored[id] == 0 || stored[id] > 1 && !c.gone {
						t.Errorf("%s is stored %d times", id, stored[id])
					}
				}
				gaps := slices.DeleteFunc(w.gaps(), func(g source.Gap) bool { return g.To.Sub(g.From) < time.Minute }) // the first watch had no bookmark yet
				if c.gone != (len(gaps) > 0) || c.gone != (a.refused > 0) || stored["late 185"] != 1 || !c.gone && stored["short 184"] != 1 {
					t.Errorf("refused %d, gaps %+v, the last ones: %d, %d", a.refused, gaps, stored["short 184"], stored["late 185"])
				}
			})
		})
	}
}

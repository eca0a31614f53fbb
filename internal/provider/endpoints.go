package provider

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// Endpoints is an http.Handler that serves several recordings: number i, counted from 0, at
// /i, and each at the path of its recorded URL. On a path that several recordings share, a
// connection gets the one with the fewest connections at the time, the first of equals; so four
// recordings of four simultaneous connections meet four connections. A single recording
// is served at every path; otherwise an unknown path is answered with 404. Queries mean nothing.
type Endpoints struct {
	// Replays are the recordings.
	Replays []*Replay

	once   sync.Once
	byPath map[string][]*Replay

	mu   sync.Mutex
	busy map[*Replay]int // requests being served
}

// ServeHTTP implements http.Handler.
func (e *Endpoints) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.once.Do(e.prepare)
	p := e.take(r.URL.Path)
	if p == nil {
		http.Error(w, fmt.Sprintf("no recording is served here: use /0 to /%d or a recorded path", len(e.Replays)-1), http.StatusNotFound)
		return
	}
	defer e.release(p)
	p.ServeHTTP(w, r)
}

func (e *Endpoints) prepare() {
	e.byPath, e.busy = map[string][]*Replay{}, map[*Replay]int{}
	for i, p := range e.Replays {
		e.byPath["/"+strconv.Itoa(i)] = []*Replay{p}
	}
	for _, p := range e.Replays {
		path := p.path()
		e.byPath[path] = append(e.byPath[path], p)
	}
}

// path is the path of the recorded URL.
func (p *Replay) path() string {
	if p.Session == nil {
		return "/"
	}
	u, err := url.Parse(p.Session.URL)
	if err != nil || u.Path == "" {
		return "/"
	}
	return u.Path
}

func (e *Endpoints) take(path string) *Replay {
	choice := e.byPath[path]
	if len(e.Replays) == 1 {
		choice = e.Replays
	}
	if len(choice) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	best := choice[0]
	for _, p := range choice {
		if e.busy[p] < e.busy[best] {
			best = p
		}
	}
	e.busy[best]++
	return best
}

func (e *Endpoints) release(p *Replay) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy[p]--
}

package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/provider"
)

// note is an event of Nostr at a relay.
type note struct {
	id      string
	created int64 // as its author says
	text    string
}

// relay is a Nostr relay: what it has it sends from the newest to the oldest, says that this was all, and goes on with what is new.
type relay struct {
	mu      sync.Mutex
	notes   []note // in the order of their arrival
	arrived chan struct{}
	limit   int
	cutAt   int // ends a connection behind so many notes; 0: never
	asked   []string
}

func newRelay() *relay { return &relay{arrived: make(chan struct{}), limit: 500} }

func (y *relay) publish(n note) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.notes = append(y.notes, n)
	close(y.arrived)
	y.arrived = make(chan struct{})
}

func (y *relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	_, text, err := c.Read(r.Context())
	if err != nil {
		return
	}
	var request []json.RawMessage
	var filter struct{ Since, Limit int64 }
	if json.Unmarshal(text, &request) != nil || len(request) != 3 || json.Unmarshal(request[2], &filter) != nil {
		_ = c.Write(r.Context(), ws.MessageText, []byte(`["NOTICE","could not parse"]`))
		return
	}
	y.mu.Lock()
	y.asked = append(y.asked, string(text))
	y.mu.Unlock()
	y.serve(c.CloseRead(r.Context()), c, filter.Since, min(int(filter.Limit), y.limit))
}

func (y *relay) serve(ctx context.Context, c *ws.Conn, since int64, limit int) {
	y.mu.Lock()
	next, cut := len(y.notes), y.cutAt
	var old []note
	for _, n := range y.notes {
		if n.created >= since {
			old = append(old, n)
		}
	}
	y.mu.Unlock()
	sort.SliceStable(old, func(i, j int) bool { return old[i].created > old[j].created })
	sent := 0
	say := func(n note) bool {
		sent++
		return c.Write(ctx, ws.MessageText, []byte(n.text)) == nil && sent != cut
	}
	for _, n := range old[:min(limit, len(old))] {
		if !say(n) {
			return
		}
	}
	if c.Write(ctx, ws.MessageText, []byte(`["EOSE","leat"]`)) != nil {
		return
	}
	for {
		y.mu.Lock()
		fresh, wake := y.notes[next:], y.arrived
		y.mu.Unlock()
		for _, n := range fresh {
			if next++; n.created >= since && !say(n) {
				return
			}
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

func idOf(r *leat.Record) string { return r.ID }

// The relay breaks off in the middle of what it has, and what is older is asked for again.
func TestNostrCatchesUpFromTheNewestToTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newRelay()
		w := newWorld(t, "nostr", nil, map[string]http.Handler{"relay.damus.io:80": y})
		var want []string
		write := func(n int) {
			for range n {
				time.Sleep(20 * time.Second)
				id, at := fmt.Sprintf("note-%d", len(want)), time.Now().Unix()-int64(len(want)%7) // clocks differ
				want = append(want, id)
				y.publish(note{id, at, fmt.Sprintf(`["EVENT","leat",{"id":%q,"created_at":%d,"kind":1,"pubkey":"p%d","content":"x"}]`, id, at, len(want)%3)})
			}
		}
		write(10)
		w.run()
		write(200)
		w.leave()
		write(450) // two and a half hours
		y.mu.Lock()
		y.cutAt = 50
		y.mu.Unlock()
		w.run()
		time.Sleep(time.Second)
		y.mu.Lock()
		y.cutAt = 0
		y.mu.Unlock()
		write(10)
		time.Sleep(time.Minute)
		w.leave()
		w.once(idOf, want)
		if gaps := w.gaps(); len(gaps) > 0 {
			t.Errorf("gaps %+v", gaps)
		}
		if len(y.asked) < 3 || strings.Contains(y.asked[0], "since") || !strings.Contains(y.asked[1], `"since":`) {
			t.Errorf("asked %q", y.asked)
		}
	})
}

func TestNostrAsRecorded(t *testing.T) {
	sessions, err := provider.ReadRecording(filepath.Join(dataDir(t), "nostr", "messages.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	y := newRelay()
	y.limit = 1000
	var want []string
	for _, m := range sessions[0].Messages {
		var parts []json.RawMessage
		var event struct {
			ID      string
			Created int64 `json:"created_at"`
		}
		if json.Unmarshal(m.Data, &parts) == nil && len(parts) == 3 && json.Unmarshal(parts[2], &event) == nil && event.ID != "" {
			want = append(want, event.ID)
			y.publishQuietly(note{event.ID, event.Created, string(m.Data)})
		}
	}
	if len(want) != 532 {
		t.Fatalf("%d events, want 532", len(want))
	}
	synctest.Test(t, func(t *testing.T) {
		y.arrived = make(chan struct{})
		w := newWorld(t, "nostr", nil, map[string]http.Handler{"relay.damus.io:80": y})
		w.run()
		time.Sleep(10 * time.Second)
		w.leave()
		stored := map[string]bool{}
		for _, r := range w.records() {
			stored[r.ID] = true
		}
		if len(stored) != 500 || w.number("SELECT count(DISTINCT id) FROM notes WHERE author IS NOT NULL AND created > 0") != 500 {
			t.Errorf("%d events, want the newest 500 of 532", len(stored))
		}
	})
}

// publishQuietly is publish before anybody listens.
func (y *relay) publishQuietly(n note) { y.notes = append(y.notes, n) }

package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream/streamtest"
)

// announcer sends an event every 100 ms to all its connections, tells each after a time that it will end it, and does so 10 s later.
type announcer struct {
	began time.Time
	after time.Duration
}

func (a *announcer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	opened, warned := time.Now(), false
	for {
		every := 100 * time.Millisecond
		wait := every - time.Since(a.began)%every
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		age := time.Since(opened)
		if err := c.Write(ctx, ws.MessageText, fmt.Appendf(nil, `{"id":%d}`, time.Since(a.began)/every)); err != nil {
			return
		}
		if !warned && age > a.after {
			warned = true
			_ = c.Write(ctx, ws.MessageText, []byte(`{"e":"serverShutdown"}`))
		}
		if age > a.after+10*time.Second {
			_ = c.Close(ws.StatusGoingAway, "")
			return
		}
	}
}

// announced runs for a time against a provider that announces the end of its connections.
func announced(t *testing.T, after, lasting time.Duration, change func(*source.Settings)) *rig {
	t.Helper()
	r := newRig(t, &announcer{time.Now(), after})
	r.run(func(s *source.Settings, c *websocket.Config) {
		c.Intake.Classify = []source.Class{class(`e == "serverShutdown"`, "replace"), class("id > 0", "data")}
		if change != nil {
			change(s)
		}
	})
	time.Sleep(lasting)
	r.leave()
	return r
}

// stored returns how many events are stored, and fails where one is twice, or missing between the first and the last.
func (r *rig) stored(gapless bool) (n int) {
	r.t.Helper()
	ids := map[int]int{}
	last := 0
	for _, record := range streamtest.ReadStream(r.t, r.engine, "events") {
		var event struct{ ID int }
		if err := json.Unmarshal(record.Data, &event); err != nil {
			r.t.Fatal(err)
		}
		ids[event.ID]++
		last = max(last, event.ID)
	}
	for id := 1; id <= last; id++ {
		if ids[id] > 1 || gapless && ids[id] == 0 {
			r.t.Errorf("event %d is stored %d times", id, ids[id])
		}
	}
	return len(ids)
}

func TestWhatAnnouncesItsEndIsReplacedBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := announced(t, 2*time.Minute, 10*time.Minute, nil)
		s := r.manager.Status()
		if n := r.stored(true); n < 5900 || s.Ends[source.End{Kind: source.EndRotation}] < 4 || len(r.gaps()) > 0 || s.Unknown > 0 {
			t.Errorf("%d events, ends %v, gaps %v, %d unknown", n, s.Ends, r.gaps(), s.Unknown)
		}
		if len(s.Ends) != 2 || r.logs.count("the connection is to be replaced") < 4 {
			t.Errorf("ends %v, %d times told", s.Ends, r.logs.count("the connection is to be replaced"))
		}
	})
}

func TestAnnouncedEndsWithoutIdentitiesStoreNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := announced(t, 2*time.Minute, 5*time.Minute, func(s *source.Settings) { s.EventID = expression.Value{} })
		if n := r.stored(false); n < 2950 || r.manager.Status().Ends[source.End{Kind: source.EndRotation}] != 2 {
			t.Errorf("%d events, ends %v", n, r.manager.Status().Ends)
		}
	})
}

// A provider where every connection announces its end at once is asked as seldom as one that ends them.
func TestConnectionsThatAllAnnounceTheirEndMakeNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := announced(t, 0, 10*time.Minute, nil)
		opened := r.manager.Status().Opened
		t.Logf("%d connections in ten minutes", opened)
		if opened > 150 || opened < 20 {
			t.Errorf("%d connections in ten minutes", opened)
		}
		r.stored(true)
	})
}

// Messages of a kind that nobody has described are data, and counted.
func TestUnknownMessagesAreDataAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := ws.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer c.CloseNow()
			for _, text := range []string{`{"type":"trade","id":1}`, `{"type":"new","id":2}`, `{"type":"new","id":3}`, `{"type":"beat"}`} {
				_ = c.Write(context.Background(), ws.MessageText, []byte(text))
			}
			<-c.CloseRead(r.Context()).Done()
		}))
		r.run(func(s *source.Settings, c *websocket.Config) {
			s.Stall = setting.Off
			c.Intake.Classify = []source.Class{class(`type == "beat"`, "heartbeat"), class(`type == "trade"`, "data")}
		})
		time.Sleep(time.Minute)
		if n, unknown := r.stored(true), r.manager.Status().Unknown; n != 3 || unknown != 2 || r.logs.count("no rule of classify") != 1 {
			t.Errorf("%d events, %d unknown, told %d times", n, unknown, r.logs.count("no rule of classify"))
		}
	})
}

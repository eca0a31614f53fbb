package source_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// said is a provider that says messages, one after the other, with 100 ms between them, and stays.
type said []string

func (s said) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	ctx := c.CloseRead(r.Context())
	for _, text := range s {
		if c.Write(ctx, ws.MessageText, []byte(text)) != nil || !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return
		}
	}
	sleepUntil(ctx, time.Now().Add(time.Hour))
}

// A heartbeat that classify keeps from being an event tells a gap rule which number was the last, in its place between the events.
func TestHeartbeatsCount(t *testing.T) {
	feed := said{
		`{"id":1}`, `{"beat":1}`, `{"id":2}`, `{"id":3}`, `{"beat":3}`, `{"beat":3}`, // nothing is missing
		`{"beat":5}`, `{"id":6}`, `{"beat":6}`,
		`{"beat":9}`, // the channel is quiet behind it
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, feed)
		r.run(func(s *source.Settings, w *websocket.Config) {
			s.GapRule = &source.GapRule{Form: "counter", Field: expression.MustParse("id"), Last: expression.MustParse("beat")}
			w.Intake.Classify = []source.Class{{When: expression.MustParseCondition("beat != nil"), Is: "heartbeat"}}
		})
		time.Sleep(20 * time.Second)
		r.leave()
		var told []string
		for _, g := range r.gaps() {
			told = append(told, g.First+"-"+g.Last)
		}
		if strings.Join(told, " ") != "4-5 7-9" || len(r.ids()) != 4 {
			t.Errorf("told %q, stored %v", told, r.ids())
		}
		if status := r.manager.Status(); status.Events != 4 {
			t.Errorf("%d events", status.Events)
		}
	})
}

// What is handed out because it counts is no data: a provider that sends nothing else is left.
func TestHeartbeatsThatCountAreNoData(t *testing.T) {
	var feed said
	for range 10_000 {
		feed = append(feed, `{"beat":1}`)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, append(said{`{"id":1}`}, feed...))
		r.run(func(s *source.Settings, w *websocket.Config) {
			s.Stall = 30 * time.Second
			s.GapRule = &source.GapRule{Form: "counter", Field: expression.MustParse("id"), Last: expression.MustParse("beat")}
			w.Intake.Classify = []source.Class{{When: expression.MustParseCondition("beat != nil"), Is: "heartbeat"}}
		})
		time.Sleep(100 * time.Second)
		r.leave()
		if ends := r.manager.Status().Ends[source.End{Kind: source.EndStall}]; ends < 2 || ends > 3 {
			t.Errorf("%d connections were stalled", ends)
		}
	})
}

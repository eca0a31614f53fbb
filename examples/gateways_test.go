package examples_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
)

// Envelopes are acknowledged once they are stored, connections are replaced before Slack ends them, and what was not acknowledged comes after a stop.
func TestSlackIsAcknowledgedWhenStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &provider.Slack{Token: "xapp-secret", Address: "ws://wss-primary.slack.com:80"}
		w := newWorld(t, "slack", variables["slack"], map[string]http.Handler{"slack.com:80": app, "wss-primary.slack.com:80": app})
		var published []string
		publish := func(n int, every time.Duration) {
			for range n {
				published = append(published, app.Publish())
				time.Sleep(every)
			}
		}
		w.run()
		time.Sleep(time.Second)
		publish(400, time.Minute) // more than the lifetime of a connection
		app.Cut()
		publish(100, time.Second)
		s := w.status()
		w.leave()
		publish(3, time.Second)
		w.run()
		publish(10, time.Second)
		time.Sleep(10 * time.Second)
		w.leave()
		w.once(idOf, published)
		acked := app.Acked()
		for _, id := range published {
			if acked[id] == 0 {
				t.Errorf("%s was not acknowledged", id)
			}
		}
		if s.Ends[source.End{Kind: source.EndRotation}] != 1 || s.LateAcks > 0 || s.Unknown > 0 {
			t.Errorf("ends %v, %d late, %d unknown", s.Ends, s.LateAcks, s.Unknown)
		}
		if n := w.number("SELECT count(DISTINCT id) FROM events"); n != len(published) {
			t.Errorf("%d rows, want %d", n, len(published))
		}
	})
}

// A session goes on where it was left, also over a restart, and one that Discord has forgotten is told.
func TestDiscordGoesOnWithItsSession(t *testing.T) {
	for _, c := range []struct {
		name string
		stop time.Duration
		lost bool
	}{{"a short stop", time.Minute, false}, {"a long stop", 10 * time.Minute, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &provider.Discord{ResumeURL: "ws://gateway-us-east1-b.discord.gg:80"}
				w := newWorld(t, "discord", variables["discord"], map[string]http.Handler{"gateway.discord.gg:80": g, "gateway-us-east1-b.discord.gg:80": g})
				last := 0
				publish := func(n int) {
					for range n {
						last = g.Publish()
						time.Sleep(time.Second)
					}
				}
				w.run()
				time.Sleep(time.Second)
				publish(300)
				g.Say(`{"op":7,"d":null}`)
				publish(100)
				w.leave()
				kept := last
				publish(int(c.stop / time.Second))
				begun := last
				w.run()
				time.Sleep(time.Second)
				publish(100)
				w.leave()
				stored := map[string]int{}
				for _, r := range w.records() {
					stored[r.ID]++
				}
				for n := 1; n <= last; n++ {
					want := 1
					if c.lost && n > kept && n <= begun {
						want = 0
					}
					if got := stored[fmt.Sprintf(`["MESSAGE_CREATE",%d,""]`, n)]; got != want {
						t.Errorf("event %d is stored %d times, want %d", n, got, want)
					}
				}
				seen, gaps := g.Seen(), w.gaps()
				if identified := map[bool]int{false: 1, true: 2}[c.lost]; seen.Identified != identified || (len(gaps) > 0) != c.lost || !slices.Contains(seen.Codes, ws.StatusCode(4000)) {
					t.Errorf("identified %d times, left with %v, gaps %+v", seen.Identified, seen.Codes, gaps)
				}
				if n := w.number("SELECT count(*) FROM events WHERE kind = 'MESSAGE_CREATE' AND content = 'hello'"); n != len(stored) {
					t.Errorf("%d rows, want %d", n, len(stored))
				}
			})
		})
	}
}

// A token that Discord refuses is not tried again: it would be reset.
func TestDiscordThatRefusesTheTokenIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &provider.Discord{}
		w := newWorld(t, "discord", map[string]string{"DISCORD_TOKEN": "wrong"}, map[string]http.Handler{"gateway.discord.gg:80": g})
		w.run()
		time.Sleep(24 * time.Hour)
		s := w.status()
		w.leave()
		if n := len(g.Seen().Codes); n != 1 || s.State != source.Stopped {
			t.Errorf("%d connections, state %s", n, s.State)
		}
	})
}

package source_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// discord are the settings of a source of the gateway of Discord, compressed.
func discord(t *testing.T) func(*source.Settings, *websocket.Config) {
	hello := websocket.Step{Expect: expression.MustParseCondition("op == 10"), Set: values("interval", "d.heartbeat_interval")}
	return func(s *source.Settings, c *websocket.Config) {
		s.EventID, s.PartitionKey, s.Stall = expression.MustParse("d.id"), expression.MustParse("d.id"), setting.Off
		s.LostCursor, s.OnLostCursor = expression.MustParseCondition("body.op == 9 and body.d == false or code in [4007, 4009]"), "live"
		c.URL = expression.MustParseTemplate(`{{resume_gateway_url ?? "ws://feed:80"}}/?v=10&encoding=json&compress=zlib-stream`)
		c.Before.AllowPrivate = true
		c.Ping, c.CloseCode = setting.Off, 4000
		c.Limits = websocket.Limits{Messages: 120, Per: time.Minute}
		c.Handshake = websocket.Handshake{
			Steps:  []websocket.Step{hello, {Send: toSay(t, `{"op":2,"d":{"token":"token","intents":513,"properties":{"os":"linux"}}}`)}},
			Resume: []websocket.Step{hello, {Send: toSay(t, `{"op":6,"d":{"token":"token","session_id":"{{session_id}}","seq":{{cursor}}}}`)}},
		}
		c.Remember = []websocket.Remember{
			{When: expression.MustParseCondition("s != nil"), Set: values("seq", "s")},
			{When: expression.MustParseCondition(`t == "READY"`), Set: values("session_id", "d.session_id", "resume_gateway_url", "d.resume_gateway_url")},
		}
		c.Session = &websocket.Session{Cursor: expression.MustParse("s"), Keep: []string{"session_id", "resume_gateway_url"}}
		c.PingMessage = &websocket.PingMessage{
			Send: toSay(t, `{"op":1,"d":{{seq ?? "null"}}}`), EveryMS: expression.MustParseTemplate("{{interval}}"), Answer: expression.MustParseCondition("op == 11"),
		}
		c.Reply = []websocket.Reply{{When: expression.MustParseCondition("op == 1"), Send: toSay(t, `{"op":1,"d":{{seq ?? "null"}}}`)}}
		c.Intake.Decode = []decode.Step{step(t, "zlib_stream", nil)}
		c.Intake.Classify = []source.Class{
			class(`op == 0 and t in ["READY", "RESUMED"]`, "control"), class("op == 0", "data"), class("op == 11", "heartbeat"), class("op in [1, 10]", "control"),
			class("op in [7, 9]", "reconnect"),
		}
	}
}

// publish publishes so many events, ten a second.
func publish(g *provider.Discord, n int) {
	for range n {
		g.Publish()
		time.Sleep(100 * time.Millisecond)
	}
}

// ready runs a source against a gateway until its session is there.
func ready(t *testing.T, g *provider.Discord) *rig {
	t.Helper()
	r := newRig(t, g)
	g.ResumeURL = "ws://feed:80"
	r.run(discord(t))
	time.Sleep(time.Second)
	return r
}

func numbers(from, to int) (list []string) {
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprint(n))
	}
	return list
}

// A session goes on over every interruption and over a restart, so that nothing is lost and Discord is identified to once.
func TestDiscordSessionsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &provider.Discord{}
		r := ready(t, g)
		publish(g, 1000)
		g.Say(`{"op":7,"d":null}`) // reconnect
		publish(g, 1000)
		g.Say(`{"op":1,"d":null}`) // a heartbeat, now
		publish(g, 10)
		r.leave()
		publish(g, 300)
		r.run(discord(t))
		publish(g, 1000)
		r.leave()
		each(t, "stored", r.storedOf("d.id"), numbers(1, 3310))
		time.Sleep(time.Second) // the provider hears of the last goodbye
		synctest.Wait()
		seen := g.Seen()
		if seen.Identified != 1 || seen.Resumed != 2 || len(r.gaps()) > 0 || !slices.Equal(seen.Codes, []ws.StatusCode{-1, 4000, 4000}) {
			t.Errorf("identified %d times, resumed %d times, left with %v, gaps %v", seen.Identified, seen.Resumed, seen.Codes, r.gaps())
		}
		// 331 s of 41.25 s, the first one of each connection sooner, and the one that was asked for
		if n := len(seen.Beats); n < 7 || n > 13 || !slices.Contains(seen.Beats, "2002") {
			t.Errorf("heartbeats %v", seen.Beats)
		}
	})
}

// A session that Discord has forgotten is left at once, and what was lost with it is told.
func TestDiscordSessionsThatAreForgotten(t *testing.T) {
	for name, forget := range map[string]func(g *provider.Discord, r *rig){
		"while connected": func(g *provider.Discord, _ *rig) {
			g.Forget()
			g.Say(`{"op":9,"d":false}`)
			publish(g, 1) // nobody gets it
		},
		"after a long stop": func(g *provider.Discord, r *rig) {
			r.leave()
			time.Sleep(10 * time.Minute)
			publish(g, 50)
			r.run(discord(t))
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &provider.Discord{Latency: 50 * time.Millisecond}
				r := ready(t, g)
				publish(g, 100)
				lost := time.Now()
				forget(g, r)
				time.Sleep(10 * time.Second)
				back := g.Publish()
				publish(g, 99)
				r.leave()
				stored := r.storedOf("d.id")
				for n := 1; n < back+100; n++ {
					if want := n <= 100 || n >= back; (stored[fmt.Sprint(n)] == 1) != want {
						t.Errorf("event %d is stored %d times", n, stored[fmt.Sprint(n)])
					}
				}
				gaps := r.gaps()
				if len(gaps) != 1 || gaps[0].From.After(lost) || gaps[0].How != source.GapResume || gaps[0].Asked == "" || g.Seen().Identified != 2 {
					t.Errorf("gaps %+v, lost at %v, identified %d times", gaps, lost, g.Seen().Identified)
				}
			})
		})
	}
}

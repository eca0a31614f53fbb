package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream/streamtest"
)

func toSay(t *testing.T, value any) (m websocket.Message) {
	t.Helper()
	err := m.UnmarshalValue(value)
	if text, ok := value.(string); ok {
		err = m.UnmarshalText([]byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func values(pairs ...string) map[string]expression.Value {
	m := map[string]expression.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = expression.MustParse(pairs[i+1])
	}
	return m
}

// slack are the settings of a source of Slack Socket Mode.
func slack(t *testing.T) func(*source.Settings, *websocket.Config) {
	return func(s *source.Settings, c *websocket.Config) {
		s.EventID, s.EventTime, s.PartitionKey = expression.MustParse("payload.event_id"), expression.MustParse("payload.event_time"), expression.MustParse("payload.event_id")
		s.Stall = setting.Off
		c.URL = expression.MustParseTemplate("{{url}}")
		c.Before = source.Before{AllowPrivate: true, Lookup: []source.Lookup{{
			URL: expression.MustParseTemplate("http://feed:80/api/apps.connections.open"), Method: "POST", Set: values("url", "url"),
			Fail: expression.MustParseCondition("ok == false"), Why: expression.MustParse("error"),
		}}}
		c.Handshake = websocket.Handshake{Steps: []websocket.Step{
			{Expect: expression.MustParseCondition(`type == "hello"`), Set: values("lives", "debug_info.approximate_connection_time")},
		}}
		c.Lifetime = expression.MustParseTemplate("{{lives}}")
		c.Ack = &websocket.Ack{When: expression.MustParseCondition("envelope_id != nil"), Send: toSay(t, map[string]any{"envelope_id": "{{envelope_id}}"})}
		c.Intake.Classify = []source.Class{
			class(`type == "hello"`, "control"), class(`type == "disconnect" and reason == "warning"`, "replace"),
			class(`type == "disconnect" and reason == "link_disabled"`, "fatal"), class(`type == "disconnect"`, "reconnect"), class(`envelope_id != nil`, "data"),
		}
	}
}

// storedOf returns how often each event is stored.
func (r *rig) storedOf(id string) map[string]int {
	r.t.Helper()
	v, ids := expression.MustParse(id), map[string]int{}
	for _, record := range streamtest.ReadStream(r.t, r.engine, "events") {
		m := expression.NewMessage(record.Data)
		text, _ := v.Text(&m)
		ids[text]++
	}
	return ids
}

// each wants every one of so many events to be in a count once.
func each(t *testing.T, what string, got map[string]int, want []string) {
	t.Helper()
	once := map[string]int{}
	for _, id := range want {
		once[id] = 1
	}
	if !maps.Equal(got, once) {
		t.Errorf("%s: %d of %d events", what, len(got), len(want))
		for id, n := range got {
			if n != 1 {
				t.Errorf("%s: %s %d times", what, id, n)
			}
		}
	}
}

// Envelopes are acknowledged once they are stored, and a connection is replaced before Slack ends it: by the lifetime that it has told, or at its warning.
func TestSlackIsAcknowledgedAndNeverAway(t *testing.T) {
	for name, change := range map[string]func(*websocket.Config){
		"by its lifetime": func(*websocket.Config) {},
		"by its warning":  func(c *websocket.Config) { c.Lifetime = expression.Template{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := &provider.Slack{Address: "ws://feed:80", Lifetime: time.Minute}
				r := newRig(t, app)
				r.run(func(s *source.Settings, c *websocket.Config) {
					slack(t)(s, c)
					change(c)
				})
				time.Sleep(time.Second)
				var published []string
				for range 6000 {
					published = append(published, app.Publish())
					time.Sleep(100 * time.Millisecond)
				}
				r.leave()
				each(t, "stored", r.storedOf("payload.event_id"), published)
				each(t, "acknowledged", app.Acked(), published)
				status, again := r.manager.Status(), -len(published)
				for _, n := range app.Sent() {
					again += n
				}
				if again > int(status.Opened) { // one that arrives while we say goodbye is not taken
					t.Errorf("%d events were sent again", again)
				}
				if rotated := status.Ends[source.End{Kind: source.EndRotation}]; rotated < 9 || len(status.Ends) != 2 || status.LateAcks > 0 || status.Unknown > 0 || len(r.gaps()) > 0 {
					t.Errorf("ends %v, %d late, %d unknown, gaps %v", status.Ends, status.LateAcks, status.Unknown, r.gaps())
				}
			})
		})
	}
}

// dying is a Producer that stores and never says so, from a time on: the process is killed between the two.
type dying struct {
	source.Producer
	dead *atomic.Bool
}

var errKilled = errors.New("killed")

func (d *dying) Put(ctx context.Context, of source.Delivery) error {
	if err := d.Producer.Put(ctx, of); err != nil {
		return err
	}
	if d.dead.Load() && len(of.Events) > 0 {
		return errKilled
	}
	return nil
}

// What was stored and not acknowledged comes again as another attempt, and is known by its id.
func TestSlackSendsAgainWhatIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &provider.Slack{Address: "ws://feed:80"}
		r := newRig(t, app)
		var dead atomic.Bool
		r.wrap = func(p source.Producer) source.Producer { return &dying{p, &dead} }
		r.run(slack(t))
		time.Sleep(time.Second)
		published := []string{app.Publish()}
		time.Sleep(time.Second)
		dead.Store(true)
		published = append(published, app.Publish())
		if err := <-r.ended; !errors.Is(err, errKilled) {
			t.Errorf("ended with %v", err)
		}
		r.stop = nil
		each(t, "stored", r.storedOf("payload.event_id"), published)
		each(t, "acknowledged", app.Acked(), published[:1])
		dead.Store(false)
		r.run(slack(t))
		time.Sleep(10 * time.Second)
		published = append(published, app.Publish())
		time.Sleep(time.Second)
		r.leave()
		each(t, "stored", r.storedOf("payload.event_id"), published)
		each(t, "acknowledged", app.Acked(), published)
		if sent := app.Sent(); sent[published[1]] != 2 {
			t.Errorf("%s was sent %d times", published[1], sent[published[1]])
		}
		for _, record := range streamtest.ReadStream(t, r.engine, "events") {
			var e struct {
				Attempt int `json:"retry_attempt"`
			}
			if err := json.Unmarshal(record.Data, &e); err != nil || e.Attempt != 0 {
				t.Errorf("stored %s", record.Data)
			}
		}
	})
}

// Connections that break off, and a stream that is slow, lose and double nothing; what is late is told.
func TestSlackThroughBrokenConnectionsAndSlowStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &provider.Slack{Address: "ws://feed:80"}
		r := newRig(t, app)
		r.wrap = func(p source.Producer) source.Producer { return &slowly{p, 100 * time.Millisecond} }
		r.run(func(s *source.Settings, c *websocket.Config) {
			slack(t)(s, c)
			s.Connections = 2
		})
		time.Sleep(time.Second)
		var published []string
		for n := range 1000 {
			published = append(published, app.Publish())
			time.Sleep(50 * time.Millisecond)
			if n%200 == 150 {
				app.Cut()
			}
		}
		time.Sleep(20 * time.Second)
		r.wrap = nil
		r.leave()
		each(t, "stored", r.storedOf("payload.event_id"), published)
		acked := app.Acked()
		for _, id := range published {
			if acked[id] == 0 {
				t.Errorf("%s was never acknowledged", id)
			}
		}
	})
}

// slowly is a Producer that takes its time.
type slowly struct {
	source.Producer
	by time.Duration
}

func (s *slowly) Put(ctx context.Context, of source.Delivery) error {
	time.Sleep(s.by)
	return s.Producer.Put(ctx, of)
}

func TestLateAcknowledgementsAreToldAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &provider.Slack{}
		r := newRig(t, app)
		r.wrap = func(p source.Producer) source.Producer { return &slowly{p, 4 * time.Second} }
		r.run(func(s *source.Settings, c *websocket.Config) {
			slack(t)(s, c)
			c.URL, c.Before = expression.MustParseTemplate("ws://feed:80/"), source.Before{}
		})
		time.Sleep(time.Second)
		published := []string{app.Publish(), app.Publish()}
		time.Sleep(time.Minute)
		late := r.manager.Status().LateAcks
		r.leave()
		each(t, "stored", r.storedOf("payload.event_id"), published)
		if late < 1 || r.logs.count("acknowledged after the deadline") == 0 {
			t.Errorf("%d were late, told %d times", late, r.logs.count("acknowledged after the deadline"))
		}
	})
}

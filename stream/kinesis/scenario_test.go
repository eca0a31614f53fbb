package kinesis_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	wsource "github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream/kinesis"
)

// Scenarios 5 and 6: of ten records of one key, in one batch, the fourth and the sixth are refused when they come first. They are stored in
// their order, each once.
func TestS5S6OrderOfAKeyWhereRecordsAreRefused(t *testing.T) {
	for _, code := range []string{"ProvisionedThroughputExceededException", "InternalFailure"} {
		for _, c := range []kinesis.Config{{}, {Aggregate: true}} {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("s", 4)
				f.onDemand = true
				var mu sync.Mutex
				var current *putRecords
				refused := map[string]bool{}
				f.before = func(_ http.ResponseWriter, _ *http.Request, p *putRecords) bool {
					mu.Lock()
					defer mu.Unlock()
					current = p // a key has one request under way
					return false
				}
				f.code = func(_, place int) string {
					mu.Lock()
					defer mu.Unlock()
					for _, r := range kinesis.Parts(leat.Record{PartitionKey: "m", Data: current.Records[place].Data}) {
						if text := string(r.Data); (text == "m04" || text == "m06") && !refused[text] {
							refused[text] = true
							return code
						}
					}
					return ""
				}
				e, stop := virtual(t, f, c)
				var events []leat.Event
				var want []string
				for n := 1; n <= 10; n++ {
					want = append(want, fmt.Sprintf("m%02d", n))
					events = append(events, leat.Event{PartitionKey: "m", Data: []byte(want[n-1])})
				}
				put(t, e, "s", events...)
				drained(t, e)
				s := e.Status()[0]
				stop()
				t.Logf("%s, aggregate %v: stored %v, %d refused", code, c.Aggregate, f.stored("m"), s.Counters.Errors[code])
				if !slices.Equal(f.stored("m"), want) || s.Counters.Errors[code] == 0 {
					t.Errorf("stored %v", f.stored("m"))
				}
			})
		}
	}
}

// forgetful sends the same five messages on each connection, and breaks off.
type forgetful struct {
	mu    sync.Mutex
	times int
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	f.mu.Lock()
	f.times++
	f.mu.Unlock()
	for n := 1; n <= 5; n++ {
		_ = c.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, `{"id":%d}`, n))
	}
	time.Sleep(time.Second)
	_ = c.CloseNow()
}

// Scenario 9: five messages that come again and again, known by their event_id, while the port of Kinesis is closed. All five are there when it opens, once.
func TestS9WhatIsKnownIsStoredThoughTheOutputIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, f, feed := pipenet.New(), newFake("s", 2), &forgetful{}
		ctx, end := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for address, h := range map[string]http.Handler{"kinesis:80": f, "feed:80": feed} {
			l := net.Listen(address)
			all.Go(func() { _ = provider.Serve(ctx, l, h) })
		}
		house := openHouse(t, vfs.NewMem())
		transport := &http.Transport{DialContext: net.DialContext}
		e, stop := start(t, kinesis.Config{Endpoint: "http://kinesis:80", Streams: []string{"s"}, Transport: transport}, house)
		net.Refuse("kinesis:80")
		transport.CloseIdleConnections()
		m := &source.Manager{
			Name: "feed", Log: slog.New(slog.DiscardHandler), Settings: source.Settings{EventID: expression.MustParse("id")},
			Source:   &wsource.Source{Config: wsource.Config{URL: expression.MustParseTemplate("ws://feed:80/")}, Dial: net.DialContext},
			Producer: &producer.Producer{Engine: e, Stream: "s", Source: "feed", Remember: producer.Remember{Window: time.Hour, Events: 1000}},
		}
		running, leave := context.WithCancel(ctx)
		all.Go(func() {
			if err := m.Run(running); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2 * time.Minute)
		if n := len(f.stored("")); n > 0 {
			t.Errorf("%d are stored while the port is closed", n)
		}
		net.Admit("kinesis:80")
		time.Sleep(2 * time.Minute)
		leave()
		drained(t, e)
		stop()
		house.Close()
		transport.CloseIdleConnections()
		end()
		all.Wait()
		got := f.stored("")
		slices.Sort(got)
		t.Logf("%d connections brought the five; stored %v", feed.times, got)
		if want := []string{`{"id":1}`, `{"id":2}`, `{"id":3}`, `{"id":4}`, `{"id":5}`}; !slices.Equal(got, want) || feed.times < 5 {
			t.Errorf("%d connections, stored %v", feed.times, got)
		}
		time.Sleep(time.Minute)
	})
}

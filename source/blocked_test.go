package source_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/streamtest"
)

// clogged is a Producer that holds deliveries of events back for a while, before the one below sees them.
type clogged struct {
	source.Producer
	until []time.Time // whoever comes between two of them waits for the later one

	mu      sync.Mutex
	covered time.Time // as last moved
}

func (p *clogged) Put(ctx context.Context, d source.Delivery) error {
	for i, now := 1, time.Now(); i < len(p.until) && len(d.Events) > 0; i++ {
		if !now.Before(p.until[i-1]) && now.Before(p.until[i]) {
			time.Sleep(p.until[i].Sub(now))
		}
	}
	if move := d.Move; move != nil {
		d.Move = func(mark *source.Mark, known bool) []stream.Put {
			puts := move(mark, known)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.covered = mark.Covered
			return puts
		}
	}
	return p.Producer.Put(ctx, d)
}

func (p *clogged) coveredUpTo() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.covered
}

// clog makes puts of events that come between two of the times after now wait for the later one.
func (r *rig) clog(until ...time.Duration) *clogged {
	p := &clogged{}
	for _, d := range until {
		p.until = append(p.until, time.Now().Add(d))
	}
	r.wrap = func(below source.Producer) source.Producer {
		p.Producer = below
		return p
	}
	return p
}

// A connection that breaks while the stream takes nothing is replaced at once, and what is lost between is reported as it was, not
// as it looked when the stream went on.
func TestLossWhileTheStreamTakesNothingIsReported(t *testing.T) {
	for _, c := range []struct {
		name   string
		away   time.Duration // of the provider, from 10 s on
		change func(*source.Settings, *websocket.Config)
		most   int // lost
	}{
		{"the provider is there again at once", 0, nil, 5},
		{"the provider is away", 20 * time.Second, func(s *source.Settings, _ *websocket.Config) { s.MaxBackoff = time.Second }, 360},
		{"without identities", 0, func(s *source.Settings, _ *websocket.Config) {
			s.EventID, s.PartitionKey = expression.Value{}, expression.Value{}
		}, 5},
		{"pings alone", 0, func(s *source.Settings, _ *websocket.Config) { s.Stall = setting.Off }, 5},
		{"a cursor and no identities", 0, func(s *source.Settings, w *websocket.Config) { // nothing may come twice
			s.EventID, s.Cursor = expression.Value{}, expression.MustParse("id")
			s.CursorMode = "inclusive" // the provider begins live, which is found out
			w.Query = map[string]expression.Template{"cursor": expression.MustParseTemplate("{{cursor}}")}
		}, 610},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const interval = 100 * time.Millisecond
				feed := &provider.Ticker{Interval: interval}
				r := newRig(t, feed)
				r.clog(5*time.Second, 70*time.Second)
				begun := time.Now()
				feed.Start()
				r.run(c.change)
				time.Sleep(10*time.Second + 50*time.Millisecond)
				if c.away > 0 {
					r.net.Refuse("")
				}
				feed.CutAll()
				time.Sleep(c.away)
				r.net.Admit("")
				time.Sleep(90 * time.Second)
				produced := feed.Stop()
				time.Sleep(time.Second)
				r.leave()
				missing, repeated := r.missing(produced)
				if len(missing) > c.most || repeated > 0 {
					t.Errorf("%d lost, want at most %d; %d repeated", len(missing), c.most, repeated)
				}
				checkGaps(t, r, begun, interval, missing)
				checkOrder(t, r)
			})
		})
	}
}

// checkOrder makes sure that the events of each key stand in their order.
func checkOrder(t *testing.T, r *rig) {
	t.Helper()
	last := map[string]int{}
	for _, record := range streamtest.ReadStream(t, r.engine, "events") {
		var event struct{ ID int }
		if err := json.Unmarshal(record.Data, &event); err != nil {
			t.Fatal(err)
		}
		if event.ID < last[record.PartitionKey] {
			t.Fatalf("event %d is stored behind %d", event.ID, last[record.PartitionKey])
		}
		last[record.PartitionKey] = event.ID
	}
}

// What lies in the buffers between the provider and a reader that is held is lost with the connection: what is read late proves nothing
// about the time in which it was not read.
func TestReadingLateIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Millisecond
		feed := &provider.Ticker{Interval: interval}
		r := newRig(t, feed)
		r.clog(5*time.Second, 55*time.Second, 75*time.Second) // at 55 s some more is read, sent half a minute before
		begun := time.Now()
		feed.Start()
		r.run(nil)
		time.Sleep(60 * time.Second)
		feed.CutAll()
		time.Sleep(20 * time.Second)
		produced := feed.Stop()
		time.Sleep(time.Second)
		r.leave()
		missing, repeated := r.missing(produced)
		if len(missing) < 10_000 || repeated > 0 {
			t.Errorf("%d lost, %d repeated", len(missing), repeated)
		}
		gaps := r.gaps()
		if len(gaps) != 1 {
			t.Fatalf("gaps %v", gaps)
		}
		for _, id := range missing {
			if id == 1 {
				continue // perhaps nothing was connected yet
			}
			if at := begun.Add(time.Duration(id) * interval); at.Before(gaps[0].From) || at.After(gaps[0].To) {
				t.Fatalf("event %d is lost, and its time %v is not in the gap %v to %v", id, at.Sub(begun), gaps[0].From.Sub(begun), gaps[0].To.Sub(begun))
			}
		}
	})
}

// The time that is covered is never stored before the events it speaks for, whatever else is stored meanwhile.
func TestCoveredWaitsForItsEvents(t *testing.T) {
	for _, connections := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			feed := &provider.Ticker{Interval: 100 * time.Millisecond}
			r := newRig(t, feed)
			p := r.clog(5*time.Second+50*time.Millisecond, 3*time.Minute)
			held := p.until[0]
			feed.Start()
			r.run(func(s *source.Settings, _ *websocket.Config) { s.Connections, s.Stall = connections, setting.Off })
			for range 120 {
				time.Sleep(time.Second)
				if covered := p.coveredUpTo(); covered.After(held) {
					t.Fatalf("covered up to %v, but no event after %v is stored", covered, held)
				}
			}
			time.Sleep(2 * time.Minute)
			if covered := p.coveredUpTo(); time.Since(covered) > 30*time.Second {
				t.Errorf("covered up to %v ago", time.Since(covered))
			}
			produced := feed.Stop()
			r.leave()
			if missing, _ := r.missing(produced - 1); len(missing) > 0 || len(r.gaps()) > 0 {
				t.Errorf("missing %v, gaps %v", missing, r.gaps())
			}
		})
	}
}

// A provider that does not answer a goodbye cannot hold us up.
func TestLeavingTakesASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &provider.SilentAfter{Messages: 1})
		r.run(func(s *source.Settings, w *websocket.Config) { s.Stall, w.Ping = setting.Off, setting.Off })
		time.Sleep(time.Second)
		at := time.Now()
		r.leave()
		if took := time.Since(at); took > time.Second {
			t.Errorf("leaving took %v", took)
		}
	})
}

package source_test

import (
	"encoding/json"
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

func TestRotationOpensTheNextConnectionFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 10 * time.Second}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) { s.MaxAge = time.Hour })
		time.Sleep(24*time.Hour + time.Second)
		produced := feed.Stop()
		time.Sleep(time.Second)
		r.leave()
		missing, repeated := r.missing(produced)
		status := r.manager.Status()
		if len(missing) > 0 || repeated > 0 || len(r.gaps()) > 0 {
			t.Errorf("of %d events %d are lost, %d repeated, gaps %v", produced, len(missing), repeated, r.gaps())
		}
		if n := status.Ends[source.End{Kind: source.EndRotation}]; n < 24 || n > 27 {
			t.Errorf("%d rotations in a day of hourly ones: %v", n, status.Ends)
		}
		if open := feed.Counts().Open; open != 0 {
			t.Errorf("%d connections are left open", open)
		}
	})
}

func TestRotationWithoutIdentitiesStoresNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 100 * time.Millisecond}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) {
			s.EventID, s.MaxAge = expression.Value{}, time.Minute
		})
		begun := time.Now()
		time.Sleep(10 * time.Minute)
		produced := feed.Stop()
		time.Sleep(time.Second)
		r.leave()
		missing, repeated := r.missing(produced)
		if repeated > 0 {
			t.Errorf("%d events are stored twice", repeated)
		}
		checkGaps(t, r, begun, 100*time.Millisecond, missing)
	})
}

func TestDownTimeIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 100 * time.Millisecond}
		r := newRig(t, feed)
		begun := time.Now()
		feed.Start()
		r.run(nil)
		time.Sleep(time.Minute + 50*time.Millisecond)
		r.leave()
		time.Sleep(30 * time.Second)
		r.run(nil)
		time.Sleep(time.Minute)
		produced := feed.Stop()
		r.leave()
		missing, repeated := r.missing(produced)
		if len(missing) < 299 || len(missing) > 302 || repeated > 0 {
			t.Errorf("30 s without leat: %d events are missing, %d repeated", len(missing), repeated)
		}
		checkGaps(t, r, begun, 100*time.Millisecond, missing)
		if gaps := r.gaps(); len(gaps) != 1 || gaps[0].Reason != "leat was not running" {
			t.Errorf("gaps %v", gaps)
		}
	})
}

// raceIDs counts what is stored of a race, and what is missing of the seconds from first to last.
func raceIDs(t *testing.T, r *rig, feed *provider.Race, first, last int64) (missing, repeated int) {
	t.Helper()
	stored := map[string]int{}
	for _, record := range streamtest.ReadStream(t, r.engine, "events") {
		stored[record.ID]++
	}
	for second := first; second <= last; second++ {
		for _, message := range feed.Messages(second) {
			var event struct{ ID string }
			if err := json.Unmarshal(message, &event); err != nil {
				t.Fatal(err)
			}
			switch n := stored[event.ID]; {
			case n == 0:
				missing++
			case n > 1:
				repeated++
			}
		}
	}
	return missing, repeated
}

// A provider that replays from an inclusive cursor, hangs up at random, and a leat that is stopped now and then: nothing is
// lost, nothing is stored twice, and there is nothing to report.
func TestCursorsHealEveryInterruption(t *testing.T) {
	for _, connections := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			feed := &provider.Race{Riders: 5, Races: 2, HangUp: 20 * time.Second, Seed: uint64(connections)}
			r := newRig(t, feed)
			settings := func(s *source.Settings, w *websocket.Config) {
				s.Connections, s.Stall = connections, 5*time.Second
				s.Cursor, s.PartitionKey = expression.MustParse("cursor"), expression.MustParse("race")
				w.Query = map[string]expression.Template{"cursor": expression.MustParseTemplate("{{cursor}}")}
			}
			r.run(settings)
			time.Sleep(5 * time.Second)
			first := time.Now().Unix()
			for range 5 {
				time.Sleep(3 * time.Minute)
				r.leave()
				time.Sleep(time.Minute)
				r.run(settings)
			}
			time.Sleep(2 * time.Minute)
			last := time.Now().Unix() - 30 // whatever is being replayed has arrived
			r.leave()
			missing, repeated := raceIDs(t, r, feed, first, last)
			status := r.manager.Status()
			t.Logf("%d connections held, %d seconds of 5 riders: %d missing, %d repeated; last run: %v", connections, last-first, missing, repeated, status.Ends)
			if missing > 0 || repeated > 0 || len(r.gaps()) > 0 {
				t.Errorf("%d missing, %d repeated, gaps %v", missing, repeated, r.gaps())
			}
		})
	}
}

func TestOversizeMessagesBecomeGapsAndTheConnectionGoesOn(t *testing.T) {
	for _, feed := range []interface {
		Counts() provider.Counts
	}{&provider.Oversize{Size: 100_000}, &provider.Bomb{Size: 10 << 20}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, handler(feed))
			r.run(func(s *source.Settings, w *websocket.Config) { w.MaxMessage, w.Compression = 64<<10, "offer" })
			time.Sleep(30 * time.Second)
			if n := feed.Counts().Connections; n != 1 {
				t.Errorf("%T: %d connections", feed, n)
			}
			r.leave()
			if ids := r.ids(); len(ids) != 2 || ids[1] != 1 || ids[3] != 1 {
				t.Errorf("%T: stored %v, want the messages before and behind", feed, ids)
			}
			if gaps := r.gaps(); len(gaps) != 1 || gaps[0].How != "too_large" || gaps[0].Lost != 1 {
				t.Errorf("%T: gaps %v", feed, gaps)
			}
		})
	}
}

func TestHTTPRefusalsAreRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.HTTPStatus{Code: 429, RetryAfter: 40 * time.Second, Body: "slow\ndown"}
		r := newRig(t, feed)
		r.run(nil)
		time.Sleep(119 * time.Second)
		status := r.manager.Status()
		if n := feed.Counts().Refused; n != 3 {
			t.Errorf("%d attempts in 119 s, want one each 40 s", n)
		}
		if status.Ends[source.End{Kind: source.EndHTTP, Code: 429}] != 3 || status.LastEnd != `connection ended: http 429 "slow down"` {
			t.Errorf("status %+v", status)
		}
	})
}

func TestQuietFeedsAreNotTakenForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 10 * time.Minute}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) { s.Stall = setting.Off })
		time.Sleep(2*time.Hour + time.Second) // not in the instant of an event
		if n := feed.Counts().Connections; n != 1 {
			t.Errorf("%d connections", n)
		}
		before := r.manager.Status().Covered
		if age := time.Since(before); age > 30*time.Second {
			t.Errorf("covered up to %v ago; pongs are signs of life where no stall time is set", age)
		}
		r.leave()
		if missing, _ := r.missing(12); len(missing) > 0 || len(r.gaps()) > 0 {
			t.Errorf("missing %v, gaps %v", missing, r.gaps())
		}
	})
}

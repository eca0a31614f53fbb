package source_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// Feeds that bring something now and then are cut now and then, too: that alone makes no attempt wait for long.
func TestQuietFeedsAreNotKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 5 * time.Minute}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) { s.Stall = setting.Off })
		time.Sleep(time.Minute) // each connection brings one event
		for range 30 {
			time.Sleep(5 * time.Minute)
			feed.CutAll()
		}
		time.Sleep(time.Second)
		status := r.manager.Status()
		if status.Slots[0].Failures > 1 || status.GapTime > 30*16*time.Second {
			t.Errorf("after 30 cuts, 5 min apart: %d failures, gaps of %v", status.Slots[0].Failures, status.GapTime)
		}
		r.leave()
	})
}

// From the first moment after a restart the status says since when nothing covers, and the gap says why it began.
func TestAGapIsOpenAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 100 * time.Millisecond}
		r := newRig(t, feed)
		feed.Start()
		r.run(nil)
		time.Sleep(10*time.Second + 50*time.Millisecond)
		r.leave()
		left := time.Now()
		r.net.Refuse("")
		r.run(nil)
		time.Sleep(time.Minute)
		if since := r.manager.Status().GapSince; left.Sub(since) > time.Second || since.After(left) {
			t.Errorf("gap since %v, left at %v", since, left)
		}
		r.net.Admit("")
		time.Sleep(time.Minute)
		if status := r.manager.Status(); !status.GapSince.IsZero() || status.State != source.Live {
			t.Errorf("status %+v", status)
		}
		r.leave()
		if gaps := r.gaps(); len(gaps) != 1 || gaps[0].Reason != "leat was not running" {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

// The reason of a gap is why the connection before it ended, not why those that came to nothing did.
func TestAGapSaysHowItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 100 * time.Millisecond}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) { s.Stall = 5 * time.Second })
		time.Sleep(10 * time.Second)
		feed.SilenceAll()
		r.net.Refuse("")
		time.Sleep(time.Minute)
		r.net.Admit("")
		time.Sleep(time.Minute)
		r.leave()
		if gaps := r.gaps(); len(gaps) != 1 || !strings.Contains(gaps[0].Reason, "no data for 5s") {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

// A source whose old connection delivers is live, also while its successor is refused; and when the old one ends, the
// source notices.
func TestRefusedSuccessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 100 * time.Millisecond}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) { s.MaxAge = time.Minute })
		time.Sleep(30 * time.Second)
		r.net.Refuse("")
		time.Sleep(2 * time.Minute)
		if status := r.manager.Status(); status.State != source.Live || status.Slots[0].State != source.Live || status.LastEnd == "" {
			t.Errorf("the old connection delivers: %+v", status)
		}
		feed.CutAll()
		time.Sleep(time.Minute)
		if status := r.manager.Status(); status.State != source.Failing || status.GapSince.IsZero() {
			t.Errorf("nothing delivers: %+v", status)
		}
		r.net.Admit("")
		time.Sleep(time.Minute)
		if status := r.manager.Status(); status.State != source.Live || !status.GapSince.IsZero() || len(r.gaps()) != 1 {
			t.Errorf("it delivers again: %+v, gaps %v", status, r.gaps())
		}
		r.leave()
	})
}

// What keeps a connection from being taken up at its first event does not keep it from covering: its first answer to a ping counts.
func TestCoverageBeginsWithTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Ticker{Interval: 8 * time.Second}
		r := newRig(t, feed)
		feed.Start()
		r.run(func(s *source.Settings, _ *websocket.Config) { s.Stall = time.Minute })
		time.Sleep(25 * time.Second)
		feed.CutAll()
		at := time.Now()
		time.Sleep(25 * time.Second)
		r.leave()
		if gaps := r.gaps(); len(gaps) != 1 || gaps[0].To.Sub(at) > time.Second {
			t.Errorf("gaps %+v, cut at %v", gaps, at)
		}
	})
}

// One message that is left out is one gap, over however many connections it comes and however often it is sent again.
func TestOversizeMessagesAreReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Oversize{Size: 100_000}
		r := newRig(t, feed)
		r.run(func(s *source.Settings, w *websocket.Config) { s.Connections, w.MaxMessage = 2, 64<<10 })
		for range 5 {
			time.Sleep(30 * time.Second)
			feed.CutAll()
		}
		time.Sleep(30 * time.Second)
		r.leave()
		large := 0
		for _, g := range r.gaps() {
			if g.How == "too_large" {
				large++
			}
		}
		if large != 1 || r.manager.Status().Skipped != 1 {
			t.Errorf("%d gap records for one message, %d skipped", large, r.manager.Status().Skipped)
		}
	})
}

package source_test

import (
	"encoding/json"
	"strings"
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

// raceSettings are those of examples/bike-race.
func raceSettings(s *source.Settings, w *websocket.Config) {
	s.Connections, s.Stall, s.MaxAge = 2, 5*time.Second, 2*time.Minute
	s.EventTime, s.PartitionKey = expression.MustParse("time"), expression.MustParse("race")
	s.Cursor, s.CursorMode = expression.MustParse("cursor"), "inclusive"
	w.Query = map[string]expression.Template{"cursor": expression.MustParseTemplate("{{cursor}}")}
}

// lostOfRace returns the times of the messages from first to last that are not stored, and how many are stored twice.
func lostOfRace(t *testing.T, r *rig, feed *provider.Race, first, last int64) (lost []time.Time, repeated int) {
	t.Helper()
	stored := map[string]int{}
	for _, record := range streamtest.ReadStream(t, r.engine, "events") {
		stored[idOf(t, record.Data)]++
	}
	for second := first; second <= last; second++ {
		for _, message := range feed.Messages(second) {
			switch stored[idOf(t, message)] {
			case 0:
				lost = append(lost, time.Unix(second, 0))
			case 1:
			default:
				repeated++
			}
		}
	}
	return lost, repeated
}

func idOf(t *testing.T, message []byte) string {
	t.Helper()
	var event struct{ ID string }
	if err := json.Unmarshal(message, &event); err != nil {
		t.Fatal(err)
	}
	return event.ID
}

// Where nothing tells what is stored already, no connection resumes before what the one before it received is stored.
func TestResumingWaitsForWhatIsStillToBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Race{Riders: 5, Races: 2}
		r := newRig(t, feed)
		r.clog(20*time.Second, 40*time.Second)
		r.run(func(s *source.Settings, w *websocket.Config) {
			raceSettings(s, w)
			s.Connections, s.EventID, s.CursorMode, s.Stall = 1, expression.Value{}, "exclusive", setting.Off
			w.Query = map[string]expression.Template{"after": expression.MustParseTemplate("{{cursor}}")}
		})
		time.Sleep(5 * time.Second)
		first := time.Now().Unix()
		time.Sleep(25*time.Second + 950*time.Millisecond) // a second has been sent, the next one not yet
		feed.CutAll()
		time.Sleep(time.Minute)
		last := time.Now().Unix() - 1
		r.leave()
		if lost, repeated := lostOfRace(t, r, feed, first, last); len(lost) > 0 || repeated > 0 {
			t.Errorf("%d lost, %d repeated", len(lost), repeated)
		}
	})
}

// A provider that does not go back as far as it was asked to, without a word, is found out: what it left out is in gap records, and nothing
// that it went back to.
func TestInclusiveCursorsFindWhatTheProviderLeftOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		down   time.Duration
		live   bool // the provider has no history
		hangUp time.Duration
		gaps   int
	}{
		{"it goes back far enough", 12 * time.Minute, false, 0, 0},
		{"its history is shorter than the stop", 40 * time.Minute, false, 0, 2},
		{"it ignores the cursor", 12 * time.Minute, true, 0, 2},
		{"it hangs up", 40 * time.Minute, false, 40 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := &provider.Race{Riders: 2, Races: 1, NoReplay: c.live, HangUp: c.hangUp}
				r := newRig(t, feed)
				r.run(raceSettings)
				time.Sleep(5 * time.Second)
				first := time.Now().Unix()
				for range 2 {
					time.Sleep(3 * time.Minute)
					r.leave()
					time.Sleep(c.down)
					r.run(raceSettings)
				}
				time.Sleep(3 * time.Minute)
				last := time.Now().Unix() - 30
				r.leave()
				lost, repeated := lostOfRace(t, r, feed, first, last)
				gaps := r.gaps()
				if len(gaps) != c.gaps || repeated > 0 || (len(lost) == 0) != (c.gaps == 0) {
					t.Errorf("%d lost, %d repeated, gaps %v", len(lost), repeated, gaps)
				}
				reported := time.Duration(0)
				for _, g := range gaps {
					reported += g.To.Sub(g.From)
					if g.How != "resume" || !strings.Contains(g.Reason, "the first event has") {
						t.Errorf("gap %+v", g)
					}
				}
				for _, at := range lost {
					if !inGap(gaps, at) {
						t.Errorf("a message of %v is lost, which is in no gap of %v", at, gaps)
						break
					}
				}
				if most := time.Duration(len(lost)/2)*time.Second + time.Duration(len(gaps))*3*time.Second; reported > most {
					t.Errorf("gaps of %v for %d messages of 2 a second", reported, len(lost))
				}
			})
		})
	}
}

// inGap reports whether a moment lies in one of the gaps, the ends of which count.
func inGap(gaps []source.Gap, at time.Time) bool {
	for _, g := range gaps {
		if !at.Before(g.From) && !at.After(g.To) {
			return true
		}
	}
	return false
}

// While one connection covers, another one that begins too late loses nothing, and there is nothing to report.
func TestALateBeginningBesideALiveConnectionIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &provider.Race{Riders: 2, Races: 1, NoReplay: true}
		r := newRig(t, feed)
		r.run(raceSettings)
		time.Sleep(5 * time.Second)
		first := time.Now().Unix()
		time.Sleep(12 * time.Minute)
		last := time.Now().Unix() - 1
		r.leave()
		lost, repeated := lostOfRace(t, r, feed, first, last)
		if len(lost) > 0 || repeated > 0 || len(r.gaps()) > 0 {
			t.Errorf("%d lost, %d repeated, gaps %v", len(lost), repeated, r.gaps())
		}
		if n := r.manager.Status().Ends[source.End{Kind: source.EndRotation}]; n < 10 {
			t.Errorf("%d rotations", n)
		}
	})
}

func TestCursorsThatNothingUsesAreMistakes(t *testing.T) {
	config := func(url string, query ...string) *websocket.Config {
		c := &websocket.Config{URL: expression.MustParseTemplate(url), Query: map[string]expression.Template{}}
		for _, q := range query {
			c.Query[q] = expression.MustParseTemplate("{{cursor ?? \"\"}}")
		}
		return c
	}
	subscribing := config("ws://h/")
	var err error
	if subscribing.Subscribe, err = websocket.NewMessage(`{"from":"{{ cursor }}"}`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cursor string
		config *websocket.Config
		wrong  bool
	}{
		{"", config("ws://h/"), false},
		{"seq", config("ws://h/?c={{cursor}}"), false},
		{"seq", config("ws://h/", "c"), false},
		{"seq", subscribing, false},
		{"seq", config("ws://h/?c=cursor"), true},
		{"", config("ws://h/?c={{cursor}}"), true},
		{"", config("ws://h/", "c"), true},
	} {
		var s source.Settings
		if c.cursor != "" {
			s.Cursor = expression.MustParse(c.cursor)
		}
		if err := s.CheckCursor(c.config); (err != nil) != c.wrong {
			t.Errorf("cursor %q, url %s: %v", c.cursor, &c.config.URL, err)
		}
	}
	for _, s := range []source.Settings{{CursorMode: "inclusive"}, {Cursor: expression.MustParse("seq")}, {Stall: time.Millisecond}} {
		if s.Check() == nil {
			t.Errorf("%+v passes", s)
		}
	}
}

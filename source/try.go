package source

import (
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

// Trial tries a gap rule over a recording, before it is trusted: many numbers that are documented to count do not. NewTrial makes one; one
// goroutine uses it.
type Trial struct {
	settings    *Settings
	mapping     mapping
	counts      *tracker
	ids         map[string]bool
	connections map[string]bool
	last        time.Time
	result      TrialResult
}

// TrialResult is what a rule makes of a recording.
type TrialResult struct {
	Events      int64 `json:"events"`              // all
	Known       int64 `json:"known_events"`        // of these, such as have the event_id of an earlier one
	Judged      int64 `json:"judged"`              // by the rule
	Connections int   `json:"connections"`         //
	Counts      int   `json:"counts"`              // values of per
	Forgotten   int64 `json:"forgotten,omitempty"` // counts that were dropped because there were too many
	Anew        int64 `json:"began_anew"`          // how often a count did

	// A rule without a reorder window would take these for gaps, or for new beginnings.
	Equal    int64         `json:"equal"`      // a number that was there before
	Late     int64         `json:"late"`       // events that came behind later ones, and in time
	Furthest int64         `json:"furthest"`   // how many events behind at most
	Longest  time.Duration `json:"longest_ns"` // how long after at most
	Gaps     []Gap         `json:"gaps"`       // what would be written to the stream of gaps
	Missing  int64         `json:"missing"`    // events in them
	Repaired int64         `json:"repaired"`   // of those, such as came after all
}

// NewTrial returns a Trial of the rule in settings, which must have one.
func NewTrial(settings Settings) *Trial {
	setting.Default(&settings)
	setting.Default(settings.GapRule)
	return &Trial{
		settings: &settings, mapping: mapping{"trial", &settings}, counts: newTracker(settings.GapRule),
		ids: map[string]bool{}, connections: map[string]bool{}, result: TrialResult{Gaps: []Gap{}},
	}
}

// Observe takes a message into account that came over a connection. Times must not fall.
func (t *Trial) Observe(connection string, data []byte, at time.Time) {
	event := leat.Event{Data: data}
	msg := t.mapping.apply(&event)
	o := t.settings.GapRule.look(&msg, connection)
	t.connections[connection] = true
	t.result.Events++
	t.counts.patient = len(t.connections) > 1
	t.settle(at)
	if event.ID != "" {
		if t.ids[event.ID] {
			t.result.Known++
			o.known = !t.settings.GapRule.perConnection()
		}
		t.ids[event.ID] = true
	}
	if o.kind != obsNone {
		t.result.Judged++
	}
	t.counts.observe(&o, at)
	t.last = at
}

// Result returns what the rule makes of all that was observed. What is still waited for at the end is taken as missing.
func (t *Trial) Result() TrialResult {
	t.settle(t.last.Add(t.settings.GapRule.Reorder.Time))
	r, c := t.result, t.counts
	r.Connections, r.Counts, r.Forgotten = len(t.connections), c.recent.Len(), c.forgotten
	r.Anew, r.Equal, r.Late, r.Furthest, r.Longest = c.anew, c.equal, c.late, c.furthest, c.longest
	return r
}

func (t *Trial) settle(now time.Time) {
	t.counts.tick(now)
	for _, f := range t.counts.take() {
		g := f.gap()
		if f.repaired {
			t.result.Repaired += g.Lost
		} else {
			t.result.Missing += g.Lost
		}
		t.result.Gaps = append(t.result.Gaps, g)
	}
}

package source

import (
	"context"
	"errors"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

// Trial tries a gap rule over a recording, before it is trusted: many numbers that are documented to count do not. NewTrial makes one; one
// goroutine uses it.
type Trial struct {
	settings    *Settings
	intake      *Intake // nil: messages are events as they are
	taking      map[string]*Intaking
	mapping     mapping
	counts      *tracker
	ids         map[string]bool
	connections map[string]bool
	last        time.Time
	result      TrialResult
}

// TrialResult is what a rule makes of a recording.
type TrialResult struct {
	Messages    int64 `json:"messages"`            // all
	LeftOut     int64 `json:"left_out"`            // of these, such as cannot be decoded, or tell of a gap
	Events      int64 `json:"events"`              // in them
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

// Taker is implemented by the settings of a Source whose messages may be decoded, classified and split.
type Taker interface {
	// TakesIn returns the settings that say how.
	TakesIn() *Intake
}

// NewTrial returns a Trial of the rule in settings, which must have one, for a source with the settings of an adapter.
func NewTrial(settings Settings, adapter any) *Trial {
	setting.Default(&settings)
	setting.Default(settings.GapRule)
	t := &Trial{
		taking: map[string]*Intaking{}, settings: &settings, mapping: mapping{"trial", &settings}, counts: newTracker(settings.GapRule),
		ids: map[string]bool{}, connections: map[string]bool{}, result: TrialResult{Gaps: []Gap{}},
	}
	if taker, ok := adapter.(Taker); ok {
		t.intake = taker.TakesIn()
	}
	return t
}

// Observe takes a message into account that came over a connection, and that must not be changed afterwards. Times must not fall. An error says
// that the messages of the source cannot be decoded at all.
func (t *Trial) Observe(connection string, data []byte, at time.Time) error {
	t.result.Messages++
	if t.intake == nil {
		t.event(connection, &leat.Event{Data: data}, at)
		return nil
	}
	in := t.taking[connection]
	if in == nil {
		var err error
		ctx := context.Background()
		if t.settings.GapRule.Form == formCounter {
			ctx = withCounting(ctx)
		}
		if in, err = t.intake.Start(ctx); err != nil {
			return err
		}
		t.taking[connection] = in
	}
	taken, err := in.Take(data)
	var end *EndError
	switch {
	case errors.As(err, &end):
		delete(t.taking, connection) // what follows came over the next one
	case err != nil:
		t.result.LeftOut++
	}
	for i := range taken.Events {
		if e := &taken.Events[i]; isCounter(e) {
			t.counter(connection, e, at)
		} else {
			t.event(connection, e, at)
		}
	}
	return nil
}

// counter takes a message into account that is no event, and may have a number.
func (t *Trial) counter(connection string, e *leat.Event, at time.Time) {
	var seen sights
	seen.hear(t.settings.GapRule, e, connection)
	t.settle(at)
	for i := range seen.told {
		t.result.Judged++
		t.counts.observe(&seen.told[i].observation, at)
	}
	t.last = at
}

// ObserveEvent takes an event into account, as a stream has it.
func (t *Trial) ObserveEvent(connection string, data []byte, at time.Time) {
	t.result.Messages++
	t.event(connection, &leat.Event{Data: data}, at)
}

func (t *Trial) event(connection string, event *leat.Event, at time.Time) {
	msg := t.mapping.apply(event)
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

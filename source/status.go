package source

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
)

// State is what a source or one of its connections is doing.
type State string

// The states of a source and of its connections. A source is live while one connection is, and failing when
// none is and several attempts have failed, or the provider turned us away. It is stopped when a rule of ends says so.
const (
	Connecting State = "connecting"
	Live       State = "live"
	Waiting    State = "waiting" // until the next attempt
	Failing    State = "failing"
	Stopped    State = "stopped"
)

// Status is what a source is doing at one moment.
type Status struct {
	Name            string              `json:"name"`
	State           State               `json:"state"`
	Slots           []SlotStatus        `json:"connections"`
	Events          int64               `json:"events"`                          // received, duplicates included
	LastData        time.Time           `json:"last_data,omitzero"`              //
	Cursor          leat.Cursor         `json:"cursor,omitempty"`                // durable
	Covered         time.Time           `json:"covered,omitzero"`                // complete or reported up to here
	GapSince        time.Time           `json:"gap_since,omitzero"`              // nothing covers since then; zero: something does
	Gaps            int64               `json:"gaps"`                            // gap records written since the start
	GapTime         time.Duration       `json:"gap_time_ns"`                     // the time they cover
	GapsBy          map[string]GapCount `json:"gaps_by,omitempty"`               // the same, and the events that are missing, by how
	Skipped         int64               `json:"skipped"`                         // messages left out, such as those that are too large
	CountsForgotten int64               `json:"counts_forgotten,omitempty"`      // keys of the gap rule that were dropped because there were too many
	RepairsWaiting  int                 `json:"backfills_waiting,omitempty"`     // gaps that are to be filled
	RepairsFailed   int64               `json:"backfills_failed,omitempty"`      // gaps that stay, though a tier of backfill fitted
	Backfilled      int64               `json:"backfilled,omitempty"`            // events that came that way
	Empty           int64               `json:"empty,omitempty"`                 // messages without content, which are dropped
	Unknown         int64               `json:"unknown,omitempty"`               // messages for which no rule of classify holds, though one says what is data
	LateAcks        int64               `json:"late_acks,omitempty"`             // messages that were acknowledged after their deadline
	Opened          int64               `json:"opened"`                          // connections opened since the start
	Ends            map[End]int64       `json:"-"`                               // why connections ended
	LastEnd         string              `json:"last_end,omitempty"`              // the last reason, in words
	SlowSince       time.Time           `json:"below_least_rate_since,omitzero"` // it brings less than least_rate
	Stopped         string              `json:"stopped,omitempty"`               // why the source is stopped for good
	LastEndAt       time.Time           `json:"last_end_at,omitzero"`
}

// End is a reason for the end of a connection, as a label.
type End struct {
	Kind EndKind
	Code int
}

// SlotStatus is what one of the connections of a source is doing.
type SlotStatus struct {
	State    State     `json:"state"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`     // of waiting
	Failures int       `json:"failures,omitempty"` // attempts without success in a row
	Reason   string    `json:"reason,omitempty"`   // why the last one ended
	refused  bool
}

// Status returns what the source is doing. It may be called at any time, also before Run.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Name = m.Name
	s.Slots = slices.Clone(s.Slots)
	s.Ends = maps.Clone(s.Ends)
	s.GapsBy = maps.Clone(s.GapsBy)
	s.Cursor, s.Covered, s.GapSince = m.at.cursor, m.cover.frontier, m.cover.open()
	if m.repairs != nil {
		s.RepairsWaiting = len(m.repairs.jobs)
	}
	for _, o := range m.sessions {
		if !o.over() && s.Slots[o.slot].State != Live { // its successor is being opened
			s.Slots[o.slot].State, s.Slots[o.slot].Until = Live, time.Time{}
		}
	}
	s.State = Connecting
	failures := 0
	for _, slot := range s.Slots {
		failures += slot.Failures
		switch {
		case slot.State == Live:
			s.State = Live
		case s.State == Connecting && (failures >= 3 || slot.refused):
			s.State = Failing
		}
	}
	if s.Stopped != "" {
		s.State = Stopped
		for i := range s.Slots {
			s.Slots[i].State, s.Slots[i].Until = Stopped, time.Time{}
		}
	}
	return s
}

func (s *Status) slot(n int, state State, now time.Time) {
	s.Slots[n].State, s.Slots[n].Since, s.Slots[n].Until = state, now, time.Time{}
	if state == Live {
		s.Opened++
		s.Slots[n].refused = false
	}
}

func (s *Status) ended(n int, end *EndError, now time.Time) {
	s.Ends[End{end.Kind, end.Code}]++
	s.LastEnd, s.LastEndAt = end.Error(), now
	s.Slots[n].Reason = s.LastEnd // what follows from it may be known already: its events are stored meanwhile
}

// attempt waits until the next attempt to connect may be made, or ctx ends.
func (m *Manager) attempt(ctx context.Context, n int) error {
	m.mu.Lock()
	now := time.Now()
	d := m.budget.take(now)
	if d > 0 {
		m.status.slot(n, Waiting, now)
		m.status.Slots[n].Until = now.Add(d)
	}
	m.mu.Unlock()
	if err := wait.For(ctx, d); err != nil {
		return err
	}
	if err := m.bounded(ctx, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.slot(n, Connecting, time.Now())
	return nil
}

// uncovered returns for how long nothing has covered what the provider sends; 0 if something does, or nothing ever did.
func (m *Manager) uncovered() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if since := m.cover.open(); !since.IsZero() {
		return time.Since(since)
	}
	return 0
}

// notOpened notes an attempt that did not become a connection.
func (m *Manager) notOpened(n int, end *EndError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.ended(n, end, time.Now())
}

// waiting notes a pause.
func (m *Manager) waiting(n int, d time.Duration, failures int, refused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.status.slot(n, Waiting, now)
	m.status.Slots[n].Until, m.status.Slots[n].Failures, m.status.Slots[n].refused = now.Add(d), failures, refused
}

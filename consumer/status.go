package consumer

import (
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
)

// State is what a consumer does with a shard.
type State string

// The states of a shard.
const (
	Reading    State = "reading"
	Delivering State = "delivering"
	Retrying   State = "retrying"   // the last delivery failed and is tried again
	Halted     State = "halted"     // an operator must mend the destination, make room on the disk, make dead_letters again, or decide on a gap
	Unreadable State = "unreadable" // the stream cannot be read now; it is tried again
	Ended      State = "ended"      // the shard is closed and done
	Failed     State = "failed"     // the consumer cannot go on
)

// Status is what a consumer is doing at one moment.
type Status struct {
	Name        string        `json:"name"`
	Stream      string        `json:"stream"`
	Destination string        `json:"destination"`
	Shards      []ShardStatus `json:"shards"`
	Rewinds     int64         `json:"rewinds"`            // shards whose checkpoint was moved back because the destination had lost records
	Unlisted    string        `json:"unlisted,omitempty"` // why the shards of the stream cannot be listed now
}

// ShardStatus is what a consumer is doing with one shard. Counts are since the start of the process.
type ShardStatus struct {
	Shard        leat.ShardID        `json:"shard"`
	State        State               `json:"state"`
	Epoch        uint64              `json:"epoch"`
	Checkpoint   leat.SequenceNumber `json:"checkpoint"`
	IteratorAge  time.Duration       `json:"iterator_age_ns"` // age of the oldest record that is not done; 0 at the tip
	Delivered    int64               `json:"delivered"`
	Bytes        int64               `json:"bytes"`
	Batches      int64               `json:"batches"`
	Failures     int64               `json:"failures"`      // deliveries that failed
	Splits       int64               `json:"splits"`        // batches that were halved
	DeadLettered int64               `json:"dead_lettered"` //
	Filtered     filter.Counts       `json:"filtered"`      // records that the filter has dropped, by cause
	Missing      int64               `json:"missing"`       // records that expired or were damaged before they were read
	LastError    string              `json:"last_error,omitempty"`

	pending time.Time     // arrival of the first record in work; zero: none is
	last    time.Time     // arrival of the last record that is done
	behind  time.Duration // of the last batch that was read
}

// Status returns what the consumer is doing. It may be called at any time, also before Run.
func (c *Consumer) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := Status{Name: c.Name, Stream: c.Stream, Destination: c.Destination, Rewinds: c.rewind, Unlisted: c.away}
	now := time.Now()
	for _, s := range c.shards {
		st := s.status
		switch {
		case !st.pending.IsZero():
			st.IteratorAge = max(0, now.Sub(st.pending))
		case st.behind > 0 && !st.last.IsZero():
			st.IteratorAge = max(0, now.Sub(st.last))
		}
		status.Shards = append(status.Shards, st)
	}
	slices.SortFunc(status.Shards, func(a, b ShardStatus) int { return int(int64(a.Shard) - int64(b.Shard)) })
	return status
}

// set changes the status under the Consumer's mutex.
func (s *shard) set(change func(*ShardStatus)) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	change(&s.status)
}

// pending notes the oldest record in work.
func (s *shard) pending(arrived time.Time) {
	s.set(func(st *ShardStatus) { st.pending = arrived })
}

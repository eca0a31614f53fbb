package kinesis

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leatstream/leat/stream"
)

// Counters count what a forwarder has done since the engine was opened. Their names follow those of the Kinesis Producer Library.
type Counters struct {
	Received       int64            `json:"received"`        // events put: UserRecordsReceived
	Records        int64            `json:"records"`         // events that are done: UserRecordsPut
	Bytes          int64            `json:"bytes"`           // their keys and payloads: UserRecordsDataPut
	KinesisRecords int64            `json:"kinesis_records"` // records of Kinesis: KinesisRecordsPut
	Requests       int64            `json:"requests"`        // PutRecords
	Retries        int64            `json:"retries"`         // events that were sent again: RetriesPerRecord, summed
	Unknown        int64            `json:"unknown"`         // of those, events that may be stored twice: the answer was lost
	Refused        int64            `json:"refused"`         // events that Kinesis never takes
	Lost           int64            `json:"lost"`            // events that the house has lost before they were sent
	Errors         map[string]int64 `json:"errors"`          // by code: ErrorsByCode
}

func (c *Counters) error(code string) {
	if c.Errors == nil {
		c.Errors = map[string]int64{}
	}
	if _, known := c.Errors[code]; !known && len(c.Errors) >= 32 {
		code = "other"
	}
	c.Errors[code]++
}

// State says how the forwarding of a stream goes.
type State string

// The states of forwarding.
const (
	Forwarding State = "forwarding" // what is put is sent at once
	Spooling   State = "spooling"   // Kinesis takes less than comes, or is slow: events wait on the disk
	Failing    State = "failing"    // Kinesis takes nothing; see Reason
)

// Status is how the forwarding of one stream goes.
type Status struct {
	Stream   string        `json:"stream"`
	State    State         `json:"state"`
	Reason   string        `json:"reason,omitempty"` // why it is failing
	Records  int64         `json:"spooled"`          // events on the disk that Kinesis has not taken
	Bytes    int64         `json:"spooled_bytes"`    // their keys and payloads
	Age      time.Duration `json:"age"`              // of the oldest of them, in nanoseconds
	Flying   int           `json:"requests"`         // on their way
	Shards   int           `json:"shards"`           // that are open, as far as they are known
	Counters Counters      `json:"counters"`
}

// Status returns how each stream is forwarded, in order of name.
func (e *Engine) Status() []Status {
	e.mu.Lock()
	names := slices.Sorted(maps.Keys(e.forwarders))
	all := make([]*forwarder, len(names))
	for i, name := range names {
		all[i] = e.forwarders[name]
	}
	e.mu.Unlock()
	out := make([]Status, len(all))
	for i, f := range all {
		out[i] = f.status()
	}
	return out
}

func (f *forwarder) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	there := f.backlog.all()
	s := Status{
		Stream: f.name, State: Forwarding, Records: max(0, there.records), Bytes: max(0, there.bytes), Flying: f.flying, Shards: len(f.lanes),
		Reason: cmp.Or(f.reason, f.blind), Counters: f.counters,
	}
	s.Counters.Errors = maps.Clone(f.counters.Errors)
	if f.head < len(f.window) {
		s.Age = max(0, time.Since(f.window[f.head].record.Arrived))
	}
	switch {
	case s.Reason != "":
		s.State = Failing
	case s.Age > max(f.e.config.Wait, time.Second):
		s.State = Spooling
	}
	return s
}

// open finds how far the spool is forwarded, in a new epoch: no other process moves the mark any more.
func (f *forwarder) open(ctx context.Context) error {
	all, err := f.e.house.Streams(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s stream.Info) bool { return s.Name == f.spool })
	if i < 0 {
		return fmt.Errorf("%w: %s", stream.ErrNoStream, f.spool)
	}
	spool := &all[i].Shards[0]
	var epoch uint64
	if f.from, epoch, err = f.e.loadMark(ctx, f.name, spool); err != nil {
		return err
	}
	text, err := json.Marshal(f.from)
	if err != nil {
		panic(err) // a plain struct
	}
	f.first = stream.Mark{Key: markKey(f.name), Epoch: epoch + 1, Value: text}
	if _, err := f.e.house.Commit(ctx, stream.Commit{Marks: []stream.Swap{{Mark: f.first, Was: epoch}}}); err != nil {
		return err
	}
	f.through = f.from.Through
	f.keep = all[i].Keep.Bytes
	f.tip = spool.Tip
	f.backlog.guess = amount{all[i].Bytes, all[i].Records}
	f.backlog.exact = f.tip.Compare(f.through) <= 0
	if f.backlog.exact {
		f.backlog.guess = amount{}
	}
	return nil
}

// loadMark returns how far a spool is forwarded, and the epoch of the mark. What is left of an older spool of the same name says nothing.
func (e *Engine) loadMark(ctx context.Context, name string, spool *stream.Shard) (m mark, epoch uint64, err error) {
	stored, err := e.house.Load(ctx, markKey(name))
	if err != nil {
		return m, 0, err
	}
	if stored.Value != nil {
		if err := json.Unmarshal(stored.Value, &m); err != nil {
			return m, 0, fmt.Errorf("mark %s: %w", stored.Key, err)
		}
	}
	if m.Spool == 0 && !m.Through.IsZero() {
		m.Spool = m.Through.Created().Unix()
	}
	if created := spool.Created.Unix(); m.Spool != created {
		m = mark{Spool: created}
	}
	return m, stored.Epoch, nil
}

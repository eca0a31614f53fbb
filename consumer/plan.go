package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

// plan is the stored form of a range that is being written. It is durable before anything is written, so that a crash in between
// repeats exactly that range under that name, instead of another range under another.
type plan struct {
	First leat.SequenceNumber `json:"first"`
	Last  leat.SequenceNumber `json:"last"`
	Count int                 `json:"count"`
	Epoch uint64              `json:"epoch"`

	// Filter and NotJSON are the settings that say which records from First to Last are those that count.
	Filter  filter.Filter `json:"filter,omitzero"`
	NotJSON string        `json:"not_json,omitempty"`

	Work json.RawMessage `json:"work"` // what the sink makes of it
}

func (s *shard) planKey() string { return "plan/" + s.c.prefix() + s.id.String() }

// planDone removes the plan, together with the checkpoint behind its range.
func (s *shard) planDone() []stream.Entry {
	if _, ok := s.c.Sink.(sink.Planner); !ok {
		return nil
	}
	return s.noPlan()
}

func (s *shard) noPlan() []stream.Entry { return []stream.Entry{{Key: s.planKey()}} }

// plan makes the range of a batch durable and returns what the sink is to do with it.
func (s *shard) plan(ctx context.Context, planner sink.Planner, batch leat.Batch) ([]byte, error) {
	work, err := planner.Plan(batch)
	if err != nil {
		return nil, err
	}
	p := plan{First: batch.First(), Last: batch.Last(), Count: len(batch.Records), Epoch: s.epoch, Work: work}
	if p.Filter = s.c.Settings.Filter; !p.Filter.IsZero() {
		p.NotJSON = s.c.Settings.NotJSON
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("plan %d records: %w", len(batch.Records), err)
	}
	c := stream.Commit{State: []stream.Entry{{Key: s.planKey(), Value: text}}, Marks: []stream.Swap{s.hold()}}
	if err := s.store(ctx, c); err != nil {
		return nil, &engineError{err}
	}
	return work, nil
}

// hold is a swap that changes nothing, but is refused once the shard has another owner.
func (s *shard) hold() stream.Swap {
	return stream.Swap{Mark: stream.Mark{Key: s.c.markKey(s.id), Epoch: s.epoch, Value: s.at.encode()}, Was: s.epoch}
}

// resume finishes the plan that a crash has left open, if there is one. It waits for as long as ctx lives, and finishes what is in
// hand until late ends.
func (s *shard) resume(ctx, late context.Context) error {
	entries, err := s.c.Engine.State(late, s.planKey())
	if err != nil || len(entries) == 0 || entries[0].Key != s.planKey() {
		return err
	}
	var p plan
	if err := json.Unmarshal(entries[0].Value, &p); err != nil {
		return fmt.Errorf("stored plan of %s: %w", s.id, err)
	}
	planner, ok := s.c.Sink.(sink.Planner)
	if !ok || p.Last.Compare(s.at.Sequence) <= 0 { // of a destination that this consumer had before
		return s.abandon(late, p, errors.New("the destination is another one now"))
	}
	for attempt := 0; ; attempt++ {
		err := s.carryOut(ctx, late, planner, p)
		if err == nil {
			err = s.finishPlan(ctx, late, p)
		}
		var unreadable *unreadableError
		var engine *engineError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &engine):
			return engine.err
		case late.Err() != nil:
			return late.Err()
		case errors.Is(err, stream.ErrStopped), errors.Is(err, stream.ErrNoStream), stopped(ctx, err):
			return err
		case errors.As(err, &unreadable):
			if err := s.cannotRead(ctx, unreadable); err != nil {
				return err
			}
			continue
		case sink.IsHalt(err):
			s.failed(Halted, err)
		case sink.IsPermanent(err):
			return s.abandon(late, p, err)
		default:
			s.failed(Retrying, err)
		}
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// finishPlan moves the checkpoint behind a plan that was carried out, and over what the filter put aside before its end. An error of the commit
// is an engineError.
func (s *shard) finishPlan(ctx, late context.Context, p plan) error {
	puts, err := s.putAside(ctx, p)
	if err != nil {
		return s.c.readable(ctx, err)
	}
	s.readAgain()
	s.log.Info("finished what a crash had left", "first", p.First, "last", p.Last, "records", p.Count)
	if err := s.commit(late, s.at.delivered(p.Last), stream.Commit{Puts: puts, State: s.noPlan()}); err != nil {
		return &engineError{err}
	}
	return nil
}

// putAside reads again from the checkpoint to the end of a plan what is none of its records, and returns letters for what is no longer there.
func (s *shard) putAside(ctx context.Context, p plan) (lost []stream.Put, err error) {
	if p.Filter.IsZero() {
		return nil, nil
	}
	s.aside = asides{} // of an attempt that could not read on
	r, err := s.c.Engine.Read(ctx, s.c.Stream, s.id, s.at.position())
	if errors.Is(err, stream.ErrNoShard) {
		return nil, nil // which is told when it is read on
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		next, err := r.Next(ctx, stream.Limit{Bytes: step, NoWait: true})
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			lost = append(lost, s.lost(gap))
			continue
		case errors.Is(err, io.EOF):
			return lost, nil
		case err != nil:
			return nil, err
		}
		if next.Records = upTo(next.Records, p.Last); len(next.Records) == 0 {
			return lost, nil
		}
		s.sift(&next, &p.Filter, p.NotJSON)
	}
}

// upTo returns the records that are not behind a last one.
func upTo(records []leat.Record, last leat.SequenceNumber) []leat.Record {
	n := 0
	for n < len(records) && records[n].Sequence.Compare(last) <= 0 {
		n++
	}
	return records[:n]
}

// carryOut does what the plan says, unless it has been done: then its records may be gone.
func (s *shard) carryOut(ctx, late context.Context, planner sink.Planner, p plan) error {
	if done, err := planner.Done(late, p.Work); done || err != nil {
		return err
	}
	batch, err := s.read(ctx, p)
	switch {
	case sink.IsPermanent(err):
		return err
	case err != nil:
		return s.c.readable(ctx, err)
	}
	s.pending(batch.Records[0].Arrived)
	return fenced(planner.Execute(late, p.Work, batch))
}

// abandon drops a plan that can no longer be carried out; its records are delivered anew, as far as they are there.
func (s *shard) abandon(ctx context.Context, p plan, cause error) error {
	s.log.Error("a planned range is not written as planned", "first", p.First, "last", p.Last, "error", cause)
	return s.store(ctx, stream.Commit{State: s.noPlan(), Marks: []stream.Swap{s.hold()}})
}

// read reads exactly the records of a plan. The error is sink.Permanent if they are not there.
func (s *shard) read(ctx context.Context, p plan) (leat.Batch, error) {
	batch := leat.Batch{Stream: s.c.Stream, Shard: s.id, Epoch: s.epoch}
	r, err := s.c.Engine.Read(ctx, s.c.Stream, s.id, stream.At(p.First))
	if errors.Is(err, stream.ErrNoShard) {
		return batch, sink.Permanent(err)
	}
	if err != nil {
		return batch, err
	}
	defer r.Close()
	for len(batch.Records) < p.Count {
		next, err := r.Next(ctx, stream.Limit{Records: p.Count - len(batch.Records), NoWait: true})
		var gap *stream.GapError
		if errors.As(err, &gap) || errors.Is(err, io.EOF) {
			return batch, sink.Permanent(err)
		}
		if err != nil {
			return batch, err
		}
		if len(next.Records) == 0 {
			break
		}
		for i := range next.Records {
			if passes(p.Filter.Record(&next.Records[i]), p.NotJSON) {
				batch.Records = append(batch.Records, next.Records[i])
			}
		}
	}
	if len(batch.Records) != p.Count || batch.First() != p.First || batch.Last() != p.Last {
		return batch, sink.Permanent(fmt.Errorf("the stream has %d records from %s to %s, the plan %d from %s to %s",
			len(batch.Records), batch.First(), batch.Last(), p.Count, p.First, p.Last))
	}
	return batch, nil
}

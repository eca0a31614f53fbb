package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// seen is one of the last records of a stream.
type seen struct {
	shard    leat.ShardID
	sequence leat.SequenceNumber
	arrived  time.Time
}

// lastRecords makes every shard begin so that together they show as many of the newest records as --last asks for. It looks back in
// growing steps, so that a long stream is not read for ten records. Of what is to end at the newest record it shows no more than that, however
// fast the stream grows.
func (f *follower) lastRecords(ctx context.Context, shards []stream.Shard) error {
	now := time.Now()
	for i := range shards {
		f.first[shards[i].ID] = stream.AtTime(now)
	}
	if f.end {
		f.until = map[leat.ShardID]leat.SequenceNumber{}
	}
	if f.last <= 0 {
		return nil
	}
	const longest = 10 * 365 * 24 * time.Hour
	var last []seen
	span, growth := 100*time.Millisecond, time.Duration(8)
	if slices.ContainsFunc(shards, func(s stream.Shard) bool { return s.Tip.IsZero() }) {
		span, growth = time.Minute, 60 // Kinesis does not say how far a shard is; every look is a request, of which there may be five a second
	}
	for ; len(last) < f.last && span < longest; span *= growth {
		last = last[:0]
		for i := range shards {
			tail, err := f.tail(ctx, shards[i].ID, now.Add(-span))
			if err != nil {
				return err
			}
			last = append(last, tail...)
		}
	}
	slices.SortStableFunc(last, func(a, b seen) int { return b.arrived.Compare(a.arrived) })
	for _, s := range last[:min(f.last, len(last))] { // the newest first: the oldest of each shard comes last
		f.first[s.shard] = stream.At(s.sequence)
		if _, newer := f.until[s.shard]; f.end && !newer {
			f.until[s.shard] = s.sequence
		}
	}
	for _, s := range last[min(f.last, len(last)):] {
		if f.first[s.shard].Kind == stream.FromTime {
			f.first[s.shard] = stream.After(s.sequence) // nothing of this shard is shown, and nothing behind it is missed
		}
	}
	return nil
}

// newest reports whether nothing lay behind a batch when it was read. A busy shard that is asked now and then, as one of Kinesis is, has
// more each time and is never empty.
func newest(b *leat.Batch) bool { return b.Behind == 0 }

// tail returns the newest records of a shard that are asked for and arrived at or after t, at most as many as are shown, the newest first.
func (f *follower) tail(ctx context.Context, id leat.ShardID, t time.Time) ([]seen, error) {
	r, err := f.engine.Read(ctx, f.stream, id, stream.AtTime(t))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var tail []seen
	for {
		b, err := r.Next(ctx, stream.Limit{NoWait: true})
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case len(b.Records) == 0:
			slices.Reverse(tail)
			return tail, nil
		}
		for i := range b.Records {
			if rec := &b.Records[i]; f.wants(rec) {
				tail = append(tail, seen{id, rec.Sequence, rec.Arrived})
			}
		}
		tail = slices.Delete(tail, 0, max(0, len(tail)-f.last))
		if newest(&b) {
			slices.Reverse(tail)
			return tail, nil
		}
	}
}

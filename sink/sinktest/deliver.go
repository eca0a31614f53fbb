package sinktest

import (
	"errors"
	"strings"
	"sync"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/stream"
)

func testOrder(r *rig) {
	s := r.fresh()
	var all []leat.Batch
	at := 0
	for _, n := range []int{1, 2, 49, 50, 51, 100, 1, 501} {
		b := r.batch(0, at, at+n)
		at += n
		r.deliver(s, b)
		all = append(all, b)
		r.check(r.t, all...)
	}
	r.check(r.t, all...)
	r.close()
	r.check(r.t, all...)
}

func testEmpty(r *rig) {
	s := r.fresh()
	empty := leat.Batch{Stream: streamName, Shard: 0, Epoch: 1}
	if err := s.Deliver(r.t.Context(), empty); err != nil {
		r.t.Errorf("an empty batch: %v", err)
	}
	r.check(r.t)
	first, second := r.batch(0, 0, 10), r.batch(0, 10, 20)
	r.deliver(s, first)
	if err := s.Deliver(r.t.Context(), empty); err != nil {
		r.t.Errorf("an empty batch: %v", err)
	}
	r.deliver(s, second)
	r.check(r.t, first, second)
}

func testAwkward(r *rig) {
	s := r.fresh()
	one := leat.Batch{Stream: streamName, Shard: 7, Epoch: 1}
	for i, data := range r.payloads() {
		one.Records = append(one.Records, record(7, len(one.Records), keys()[i%len(keys())], data))
	}
	for _, key := range keys() {
		one.Records = append(one.Records, record(7, len(one.Records), key, `{"a":1}`))
	}
	r.deliver(s, one)
	r.check(r.t, one)

	batches := []leat.Batch{one}
	for i := range one.Records {
		b := leat.Batch{Stream: streamName, Shard: 8, Epoch: 1}
		b.Records = []leat.Record{record(8, i, one.Records[i].PartitionKey, string(one.Records[i].Data))}
		r.deliver(s, b)
		batches = append(batches, b)
	}
	r.check(r.t, batches...)
}

func testLarge(r *rig) {
	size := r.MaxRecord
	if size == 0 {
		size = 4 << 20
	}
	b := r.batch(0, 0, 12)
	b.Records[3].Data = []byte(`{"large":"` + strings.Repeat("x", size-12) + `"}`)
	b.Records[7].Data = []byte(`["` + strings.Repeat("ü\\n", (size-4)/4) + `"]`)
	if !r.OnlyJSON {
		b.Records[9].Data = []byte(strings.Repeat("\x00\xff", size/2))
	}
	s := r.fresh()
	r.deliver(s, b)
	r.check(r.t, b)
	r.deliver(s, b)
	r.check(r.t, b)
}

func testRepeat(r *rig) {
	s := r.fresh()
	first, second := r.batch(0, 0, 60), r.batch(0, 60, 75)
	r.deliver(s, first)
	r.deliver(s, first)
	r.check(r.t, first)
	r.deliver(s, second)
	r.deliver(s, first)
	r.deliver(s, second)
	r.check(r.t, first, second)
	s = r.reopen(s)
	r.deliver(s, second)
	r.deliver(s, first)
	r.check(r.t, first, second)
	if err := s.Deliver(r.t.Context(), own(second)); err != nil {
		r.t.Errorf("Deliver: %v", err)
	}
	r.check(r.t, first, second)
}

func testShifted(r *rig) {
	s := r.fresh()
	if _, ok := s.(sink.Planner); ok {
		r.t.Skip("the boundaries of a sink.Planner are frozen by its plans")
	}
	r.deliver(s, r.batch(0, 0, 100))
	for _, bounds := range [][2]int{{0, 1}, {0, 99}, {99, 100}, {50, 100}, {13, 57}, {90, 130}, {0, 131}, {130, 140}, {139, 150}} {
		r.deliver(s, r.batch(0, bounds[0], bounds[1]))
	}
	r.check(r.t, r.batch(0, 0, 150))
	s = r.reopen(s)
	r.deliver(s, r.batch(0, 100, 170))
	r.check(r.t, r.batch(0, 0, 170))
}

func testUnknown(r *rig) {
	var all []leat.Batch
	for i := range 4 {
		b := r.batch(0, i*20, i*20+20)
		all = append(all, b)
		r.deliver(r.fresh(), b) // and the process ends before the checkpoint moves
		s := r.fresh()
		r.deliver(s, b)
		r.check(r.t, all...)
		r.reopen(s)
	}
	r.check(r.t, all...)
}

func testShards(r *rig) {
	const shards, rounds, n = 8, 5, 23
	s := r.fresh()
	var all []leat.Batch
	var workers sync.WaitGroup
	for shard := range leat.ShardID(shards) {
		for i := range rounds {
			all = append(all, r.batch(shard, i*n, i*n+n))
		}
		mine := all[len(all)-rounds:]
		workers.Go(func() {
			for _, b := range mine {
				for range 2 {
					if err := r.try(r.t.Context(), s, b); err != nil {
						r.t.Errorf("deliver %s: %v", describe(b), err)
						return
					}
				}
			}
		})
	}
	workers.Wait()
	r.check(r.t, all...)
}

func testFence(r *rig) {
	if !r.Fences {
		r.t.Skip("the destination does not compare epochs")
	}
	older, newer := r.fresh(), r.fresh()
	first, second, third := r.batch(0, 0, 10), r.batch(0, 10, 20), r.batch(0, 20, 30)
	other := r.batch(1, 0, 10)
	first.Epoch, second.Epoch, third.Epoch, other.Epoch = 1, 1, 2, 1
	r.deliver(older, first)

	// The newer one repeats what is there already: that alone must fence.
	first.Epoch = 2
	r.deliver(newer, first)
	r.fenced(older, second)
	r.check(r.t, first)
	second.Epoch = 2
	r.deliver(newer, second)
	r.deliver(newer, third)
	third.Epoch = 1
	r.fenced(older, third)
	r.deliver(older, other) // another shard has an epoch of its own
	r.fenced(r.reopen(older), third)
	r.check(r.t, first, second, third, other)
}

func (r *rig) fenced(s sink.Sink, b leat.Batch) {
	r.t.Helper()
	err := r.try(r.t.Context(), s, b)
	if !errors.Is(err, stream.ErrFenced) || sink.IsPermanent(err) {
		r.t.Errorf("a batch of an older epoch: got %v, want an error that wraps stream.ErrFenced and is not Permanent", err)
	}
}

func testBehind(r *rig) {
	if !r.Remembers {
		r.t.Skip("the destination does not keep its position")
	}
	s := r.fresh()
	first, second, third := r.batch(0, 0, 10), r.batch(0, 10, 20), r.batch(0, 20, 30)
	third.After = second.Last() // which this destination has never seen
	r.behind(s, third, leat.SequenceNumber{})
	r.deliver(s, first)
	r.behind(s, third, first.Last())
	r.check(r.t, first)
	second.After = first.Last()
	r.deliver(s, second)
	r.deliver(s, third)
	r.deliver(r.fresh(), third)
	r.check(r.t, first, second, third)
	r.position(r.fresh(), 0, third.Last())
	r.position(s, 1, leat.SequenceNumber{})
}

// position wants the position of a shard, if the sink tells it.
func (r *rig) position(s sink.Sink, shard leat.ShardID, want leat.SequenceNumber) {
	r.t.Helper()
	p, ok := s.(sink.Positioner)
	if !ok {
		return
	}
	if got, err := p.Position(r.t.Context(), streamName, shard); got != want || err != nil {
		r.t.Errorf("position of %s: %s, %v; want %s", shard, got, err, want)
	}
}

func (r *rig) behind(s sink.Sink, b leat.Batch, want leat.SequenceNumber) {
	r.t.Helper()
	err := r.try(r.t.Context(), s, b)
	var behind *sink.BehindError
	if !errors.As(err, &behind) || behind.Position != want || sink.IsPermanent(err) || sink.IsHalt(err) {
		r.t.Errorf("got %v, want a *sink.BehindError at %s", err, want)
	}
}

func testReplaced(r *rig) {
	if !r.Remembers {
		r.t.Skip("the destination does not keep its position")
	}
	s := r.fresh()
	old := r.batch(0, 0, 50)
	old.Epoch = 5
	r.deliver(s, old)
	again := own(old)
	for i := range again.Records { // another stream of the same name, made a day later
		rec := &again.Records[i]
		rec.Sequence = leat.NewSequence(0, created.AddDate(0, 0, 1), rec.Sequence.Index(), rec.Arrived)
	}
	again.Epoch = 1
	r.deliver(s, again)
	r.check(r.t, old, again)
	late := r.batch(0, 50, 60) // the old one once more: it must not be taken for delivered
	late.Epoch = 9
	if err := r.try(r.t.Context(), s, late); !sink.IsHalt(err) {
		r.t.Errorf("records of a stream that was replaced: got %v, want sink.Halt", err)
	}
	r.check(r.t, old, again)
}

func testUnused(r *rig) {
	r.reopen(r.fresh())
	r.check(r.t)
}

package sinktest

import (
	"context"
	"errors"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/sink"
)

func testCancel(r *rig) {
	s := r.fresh()
	r.deliver(s, r.batch(0, 0, 30))
	at := 30
	for looks := 0; ; looks++ {
		b := r.batch(0, at, at+60)
		ctx := cancelAfter(r.t.Context(), looks)
		err := r.try(ctx, s, b)
		ctx.cancel()
		r.whole(err, r.batch(0, 0, at), b)
		if err != nil && !errors.Is(err, context.Canceled) {
			r.t.Errorf("cancelled at look %d: got %v, want an error that wraps context.Canceled", looks, err)
		}
		if err != nil && (sink.IsPermanent(err) || sink.IsHalt(err)) {
			r.t.Errorf("cancelled at look %d: %v is Permanent or Halt", looks, err)
		}
		r.deliver(s, b)
		at += 60
		r.check(r.t, r.batch(0, 0, at))
		if err == nil || looks > 200 {
			return
		}
	}
}

// whole fails the test unless the destination shows what was there before and of b everything or
// nothing; everything if err is nil.
func (r *rig) whole(err error, before, b leat.Batch) {
	r.t.Helper()
	with := r.differs(before, b)
	if with == "" || err != nil && (r.Partial || r.differs(before) == "") {
		return
	}
	r.t.Fatalf("after a delivery that returned %v: %s", err, with)
}

func testCrash(r *rig) {
	if r.Broken == nil {
		r.t.Skip("steps cannot be broken")
	}
	r.deliver(r.fresh(), r.batch(0, 0, 30))
	at := 30
	for step := 0; ; step++ {
		b := r.batch(0, at, at+60)
		err := r.try(r.t.Context(), r.keep(r.Broken(step)), b)
		r.whole(err, r.batch(0, 0, at), b)
		r.deliver(r.fresh(), b)
		at += 60
		r.check(r.t, r.batch(0, 0, at))
		if err == nil {
			r.t.Logf("%d steps", step)
			return
		}
		if step > 200 {
			r.t.Fatal("a delivery has more than 200 steps")
		}
	}
}

func testRefused(r *rig) {
	if r.Refused == nil {
		r.t.Skip("the destination refuses no payload")
	}
	s := r.fresh()
	first := r.batch(0, 0, 10)
	r.deliver(s, first)
	b := r.batch(0, 10, 43)
	b.Records[21].Data = r.Refused
	if err := r.try(r.t.Context(), s, b); !sink.IsPermanent(err) || sink.IsHalt(err) {
		r.t.Fatalf("a batch with a record that is refused: got %v, want it Permanent and not Halt", err)
	}
	r.whole(errors.ErrUnsupported, first, b)
	letters := r.bisect(s, b)
	if len(letters) != 1 || letters[0].Sequence != b.Records[21].Sequence {
		r.t.Fatalf("%d records were dead-lettered, want one, the one that is refused", len(letters))
	}
	b.Records = append(b.Records[:21:21], b.Records[22:]...)
	r.check(r.t, first, b)
}

// bisect delivers b as a consumer does after a Permanent error and returns the records that remain.
func (r *rig) bisect(s sink.Sink, b leat.Batch) []leat.Record {
	if len(b.Records) == 1 {
		if err := r.try(r.t.Context(), s, b); err == nil {
			return nil
		} else if !sink.IsPermanent(err) {
			r.t.Fatalf("deliver %s: %v is not Permanent", describe(b), err)
		}
		return b.Records
	}
	var letters []leat.Record
	half := len(b.Records) / 2
	for _, part := range [][]leat.Record{b.Records[:half], b.Records[half:]} {
		p := b
		p.Records = part
		err := r.try(r.t.Context(), s, p)
		if sink.IsPermanent(err) {
			letters = append(letters, r.bisect(s, p)...)
		} else if err != nil {
			r.t.Fatalf("deliver %s: %v", describe(p), err)
		}
	}
	return letters
}

func testHalt(r *rig) {
	if r.Misconfigured == nil {
		r.t.Skip("there is nothing to misconfigure")
	}
	for range 2 { // and again: the answer does not depend on what an earlier attempt left
		s := r.keep(r.Misconfigured())
		for range 2 {
			if err := r.try(r.t.Context(), s, r.batch(0, 0, 3)); !sink.IsHalt(err) || sink.IsPermanent(err) {
				r.t.Errorf("got %v, want an error that is Halt and not Permanent", err)
			}
		}
	}
}

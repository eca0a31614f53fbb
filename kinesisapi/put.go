package kinesisapi

import (
	"errors"
	"math/rand/v2"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// maxPut is how many bytes of keys and payloads one PutRecords may have.
const maxPut = 10 << 20

// puts is what PutRecord and PutRecords do: the records are in scratch.events.
type puts struct {
	c      *call
	stream *streamView
	at     func(i int) string // where record i stands in the request, in the words of validation messages

	placed  []stream.Placed // of all records
	refused []refusal       // of all records; nil: none was refused
	failed  int             // how many were refused
}

// internalFailure is the code of a record that is refused for no fault of its own.
const internalFailure = "InternalFailure"

// refusal says why one record was not stored; the zero refusal is none.
type refusal struct{ code, text string }

// write checks the records against the stream and stores them, all of them durable when it returns.
func (p *puts) write() (err error) {
	c := p.c
	if p.stream, err = c.stream(); err != nil {
		return err
	}
	if p.stream.meta.status(c.now) == statusCreating {
		return c.noStream()
	}
	if err := p.check(); err != nil {
		return err
	}
	if c.in.bool("DryRun") {
		return errDryRun
	}
	if err := p.throttle(); err != nil {
		return err
	}
	return p.commit()
}

// check applies the rules that depend on the stream.
func (p *puts) check() error {
	events := p.c.scratch.events
	automatic := p.stream.meta.strategy() == auto
	limit, total := p.stream.meta.maxRecord(), 0
	for i := range events {
		e := &events[i]
		size := e.Size()
		total += size
		switch {
		case size > limit:
			return tooLarge(e, limit, p.at(i))
		case automatic:
			e.HashKey = &leat.Hash{Hi: rand.Uint64(), Lo: rand.Uint64()}
		case e.PartitionKey == "":
			return validation("1 validation error detected: Value null at '%spartitionKey' failed to satisfy constraint: Member must not be null", p.at(i))
		}
	}
	if total > maxPut && len(events) > 1 {
		return invalid("Records size exceeds 10 MB limit")
	}
	return nil
}

// tooLarge refuses a record that is over the limit of its stream. The text is the one AWS had while 1 MiB was the limit of the model.
func tooLarge(e *leat.Event, limit int, at string) error {
	v := blobOf(e.Data)
	return validation("1 validation error detected: Value '%s' at '%sdata' failed to satisfy constraint: "+
		"Member must have length less than or equal to %d", v.java(data), at, limit)
}

// throttle refuses the records that are over the rates of their shards, and those that a fault is to hit.
func (p *puts) throttle() error {
	s := p.c.s
	if s.cfg.Faults.Partial > 0 && len(p.c.scratch.events) > 1 {
		for i := range p.c.scratch.events {
			if s.cfg.Faults.partial() {
				p.refuse(i, refusal{"ProvisionedThroughputExceededException", "Rate exceeded. Injected fault."})
			}
		}
	}
	if s.cfg.Throttle {
		return s.throttle.puts(p)
	}
	return nil
}

func (p *puts) refuse(i int, why refusal) {
	if p.refused == nil {
		p.refused = make([]refusal, len(p.c.scratch.events))
	}
	if p.refused[i].code == "" {
		p.failed++
	}
	p.refused[i] = why
}

// commit stores the records that are not refused.
func (p *puts) commit() error {
	c := p.c
	taken, events := c.scratch.events, c.scratch.events
	if p.failed > 0 {
		taken = make([]leat.Event, 0, len(events)-p.failed)
		for i := range events {
			if p.refused[i].code == "" {
				taken = append(taken, events[i])
			}
		}
	}
	if len(taken) == 0 {
		p.placed = make([]stream.Placed, len(events))
		return nil
	}
	receipt, err := c.s.cfg.Engine.Commit(c.ctx(), stream.Commit{Puts: []stream.Put{{Stream: p.stream.full, Events: taken}}, Placed: true})
	partial := (*stream.PartialError)(nil)
	switch {
	case errors.As(err, &partial):
	case err != nil:
		c.keep = !stream.Refused(err)
		return err
	}
	if len(receipt.Puts) != 1 || len(receipt.Puts[0]) != len(taken) {
		return errors.New("the engine does not say where it has put the records")
	}
	p.spread(receipt.Puts[0], partial)
	return nil
}

// spread brings what the engine says of the records it was given back to the order of the request.
func (p *puts) spread(placed []stream.Placed, partial *stream.PartialError) {
	if p.failed == 0 && partial == nil {
		p.placed = placed
		return
	}
	p.placed = make([]stream.Placed, len(p.c.scratch.events))
	index := make([]int, 0, len(placed))
	for i := range p.placed {
		if p.refused == nil || p.refused[i].code == "" {
			p.placed[i] = placed[len(index)]
			index = append(index, i)
		}
	}
	if partial == nil {
		return
	}
	for _, put := range partial.Refused {
		for _, i := range put {
			p.refuse(index[i], refusal{internalFailure, "Internal service failure."})
		}
	}
}

// addEvent appends a record of the request, which the model has found good, to scratch.events.
func (c *call) addEvent(record *value) error {
	e := leat.Event{PartitionKey: record.str("PartitionKey"), Data: record.get("Data").blob}
	if text := record.str("ExplicitHashKey"); text != "" {
		hash, err := leat.ParseHash(text)
		if err != nil {
			return invalid("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", text)
		}
		e.HashKey = &hash
	}
	c.scratch.events = append(c.scratch.events, e)
	return nil
}

// Package decode turns what a provider sends into what can be looked into, step by step: it unpacks, and makes JSON of other formats.
//
// Every step is bounded: neither what a message unpacks to nor what is kept between messages can be larger than
// the limit and a constant, whatever a provider sends.
package decode

import (
	"errors"
	"fmt"
)

// keptScratch is how much memory for what stands between two steps a Decoder keeps for the next message.
const keptScratch = 1 << 20

// Decoder decodes the messages of one connection, in their order: some steps have a context that all messages share. It is used by one goroutine.
type Decoder struct {
	stages  []namedStage
	limit   int
	scratch [2][]byte // what a step reads, and what it writes
	cut     slab
}

type namedStage struct {
	name string
	stage
}

// stage is a Step that works. It belongs to one Decoder.
type stage interface {
	// run returns what in says. Either it appends that to out, which is empty, and reports true; or it returns in or a part of it. nil means that the message
	// is not whole yet.
	run(in, out []byte) (data []byte, written bool, err error)
}

// The errors of stages that are more than errors of the message.
var (
	errLarge = errors.New("it is larger than the limit")
	errAsIs  = errors.New("the message is none for this step and those behind it")
)

// lostError says that the context of all messages is lost.
type lostError struct{ err error }

// Error implements error.
func (e *lostError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.err }

// Error says why a message was not decoded.
type Error struct {
	Step  string // the name of the step
	Large bool   // it would be larger than the limit
	Lost  bool   // the context that messages share is lost with it: no later message can be decoded
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return "decode " + e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// NewDecoder returns the Decoder of a new connection. What a step makes of a message may have limit bytes. It reads the files that the
// steps need. Close frees it.
func NewDecoder(steps []Step, limit int) (*Decoder, error) {
	d := &Decoder{limit: limit}
	for i := range steps {
		if steps[i].build == nil {
			continue // the zero Step
		}
		s, err := steps[i].build(limit)
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("decode %s: %w", steps[i].name, err)
		}
		d.stages = append(d.stages, namedStage{steps[i].name, s})
	}
	return d, nil
}

// Decode returns what a message says; nil if it is the beginning of one that is not whole yet. The result is never written again, and shares memory with
// the message where no step has changed it. An error is an *Error.
func (d *Decoder) Decode(message []byte) ([]byte, error) {
	if len(d.stages) == 0 {
		return message, nil
	}
	data, in := message, -1 // in: the scratch memory that holds data
	for i := range d.stages {
		s, out := &d.stages[i], 0
		if in == 0 {
			out = 1
		}
		next, written, err := s.run(data, d.scratch[out][:0])
		if written && cap(next) > cap(d.scratch[out]) {
			d.scratch[out] = next
		}
		if err == nil && len(next) > d.limit {
			err = errLarge
		}
		switch {
		case errors.Is(err, errAsIs):
			return d.own(data, in), nil
		case err != nil:
			d.trim()
			return nil, failed(s.name, err)
		case next == nil:
			return nil, nil
		case written:
			in = out
		}
		data = next
	}
	return d.own(data, in), nil
}

// own returns data for good.
func (d *Decoder) own(data []byte, in int) []byte {
	if in >= 0 {
		data = d.cut.keep(data)
	}
	d.trim()
	return data
}

// trim gives up memory that a large message needed.
func (d *Decoder) trim() {
	for i := range d.scratch {
		if cap(d.scratch[i]) > keptScratch {
			d.scratch[i] = nil
		}
	}
}

func failed(step string, err error) *Error {
	var lost *lostError
	return &Error{Step: step, Large: errors.Is(err, errLarge), Lost: errors.As(err, &lost), Err: err}
}

// Close frees the Decoder. It may be called more than once, and Decode not after it.
func (d *Decoder) Close() {
	for _, s := range d.stages {
		if c, ok := s.stage.(interface{ close() }); ok {
			c.close()
		}
	}
	d.stages = nil
}

// slabSize is how much memory is taken at once for what is handed out.
const slabSize = 64 << 10

// slab is memory that is handed out piece by piece, so that small messages need no allocation each.
type slab []byte

// keep returns a copy of data that is never written again.
func (s *slab) keep(data []byte) []byte {
	if len(data) > slabSize/8 {
		return append(make([]byte, 0, len(data)), data...)
	}
	if *s == nil || cap(*s)-len(*s) < len(data) {
		*s = make([]byte, 0, slabSize)
	}
	start := len(*s)
	*s = append(*s, data...)
	return (*s)[start:len(*s):len(*s)]
}

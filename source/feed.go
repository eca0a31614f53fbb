package source

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/leatstream/leat"
)

// eventSize is what a message takes beside its bytes.
const eventSize = int(unsafe.Sizeof(leat.Event{}))

// Feed is the read-ahead that every transport has: one goroutine reads from the provider and offers what it has read, while
// the caller of Next works. A Conn embeds it and has Next, Wait and Signs from it. What is held is bounded: behind that
// the offering goroutine waits, and with it the provider. NewFeed makes one.
type Feed struct {
	// Tape records the end, and is Left by Abort of Reading; nil: nothing is recorded. It is set before reading begins.
	Tape *Taping

	settle  time.Duration
	over    chan struct{} // closed when err is set
	expiry  chan struct{} // closed when why is set
	changed chan struct{} // buffered by one: something to hand out
	room    chan struct{} // buffered by one: something was handed out
	read    atomic.Int64  // when a part of a message was last read, in Unix nanoseconds
	inside  atomic.Bool   // a message
	share   share

	mu    sync.Mutex
	why   string       // the connection is to be replaced
	ready []leat.Event // read and not yet handed out
	spare []leat.Event // for the next ready
	bytes int          // of ready
	skip  *SkipError
	err   error     // why reading ended
	idle  bool      // Next was called when there was nothing to hand out: what was, is done with
	held  bool      // reading waits for room: nothing can be read
	part  bool      // it waits with the rest of a message, of which some is ready or was handed out
	freed time.Time // when it last stopped waiting
	life  life
}

// life is what a Feed knows of its provider. Messages that are read after reading was held may have been sent long before: they
// prove nothing until the answer to a later ping does. The Feed's mutex guards it.
type life struct {
	signs  Signs
	bound  time.Time // reading proves nothing beyond it; zero: reading keeps up
	event  time.Time // up to when the last event that was read proves something
	skip   time.Time // the same of a message that was left out
	end    time.Time // the same of the goodbye; zero: there was none, or nothing before it
	answer time.Time // the same of the last answer to a ping, or keep-alive
	closed bool      // the provider has not taken us up: nothing is a sign of life
	spoke  bool      // it sent something meanwhile
}

// NewFeed returns the Feed of one connection. Once reading had to wait for the caller of Next, what is read later may have been
// sent long before. Where the transport has pings that is over when Answered shows it, and settle is 0; where it has
// none, when reading has kept up for the settle time.
func NewFeed(settle time.Duration) *Feed {
	return &Feed{settle: settle, over: make(chan struct{}), expiry: make(chan struct{}), changed: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// Next implements Conn.
func (f *Feed) Next(ctx context.Context) ([]leat.Event, error) {
	for {
		events, err := f.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what is ready: events first, then a message that was left out, then the end.
func (f *Feed) take() ([]leat.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.ready
	f.idle = false
	switch {
	case len(events) > 0:
		f.ready, f.spare, f.bytes = f.spare[:0], events, 0
		f.life.signs.Data, f.life.signs.Part = f.life.event, f.part
	case f.skip != nil:
		skip := f.skip
		f.skip = nil
		f.life.signs.Data = f.life.skip
		signal(f.room)
		return nil, skip
	case f.err != nil:
		if !f.life.end.IsZero() {
			f.life.signs.Data = f.life.end
		}
		return nil, f.err
	default:
		f.idle = true
	}
	signal(f.room)
	return events, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Offer adds events, which arrived at a time, to what is ready, once there is room. The Feed keeps what they refer to. Those of one message
// are offered at once: an error, which is that of ctx, says that none of them is added, or all are, for nobody could ask for the rest of
// a message. Offer and Skip are called by one goroutine.
func (f *Feed) Offer(ctx context.Context, arrived time.Time, events ...leat.Event) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range events {
		for err == nil && f.bytes >= f.share.bytes() {
			f.part = i > 0
			err = f.wait(ctx)
			f.part = false
		}
		if err != nil && i == 0 {
			return err
		}
		if proves := f.heard(arrived); isCounter(&events[i]) {
			f.life.answer = proves
		} else {
			f.life.event = proves
		}
		f.ready = append(f.ready, events[i])
		f.bytes += len(events[i].Data) + eventSize
		if len(f.ready) == 1 {
			signal(f.changed)
		}
	}
	return err
}

// Skip tells of a message that was left out, in its place between the others, and returns once Next has told it.
func (f *Feed) Skip(ctx context.Context, arrived time.Time, skip *SkipError) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skip, f.life.skip = skip, f.heard(arrived)
	signal(f.changed)
	for f.skip != nil {
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait waits until something was handed out. The caller holds mu, which is released meanwhile.
func (f *Feed) wait(ctx context.Context) error {
	f.held = true
	f.life.behind(time.Now())
	f.mu.Unlock()
	var err error
	select {
	case <-f.room:
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.mu.Lock()
	f.held, f.freed = false, time.Now()
	return err
}

// End tells why nothing more will be received. It is called once, behind all that was offered.
func (f *Feed) End(err error) {
	f.Tape.Ended(err)
	f.share.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	var end *EndError
	if errors.As(err, &end) && end.goodbye() && !f.life.signs.First.IsZero() {
		f.life.end = f.life.proves(time.Now())
	}
	close(f.over)
	signal(f.changed)
}

// Ended returns what End was called with; nil before that.
func (f *Feed) Ended() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Wait implements Watched.
func (f *Feed) Wait(ctx context.Context) error {
	select {
	case <-f.over:
		return f.Ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

package provider

import (
	"context"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Replay is an http.Handler that plays the inbound messages of a Session to each
// connecting client. Text stays text and binary stays binary. What the client says is read and
// counted but changes nothing, and pings are answered.
//
// Where a connection begins:
//
//   - By default the session is a live feed. Its clock starts with the first connection, at the time
//     the recording was opened, runs at Speed, and never stops. The first connection gets all
//     messages, a later one those that the clock has not passed: what passed while nobody
//     was connected is missed.
//   - With Hold the clock runs only while a connection is open that is not half-open, and a
//     connection begins behind the furthest message that was sent on any: nothing is missed.
//     A connection that begins while others are open gets the rest too.
//   - Without a Speed there is no clock. With Hold a connection begins as above;
//     otherwise each connection gets the whole recording from its beginning.
//
// A client that reads slowly gets messages late, never fewer.
//
// The faults count the messages sent on one connection, and the first that is due ends it.
type Replay struct {
	// Session is what is played.
	Session *Session

	// Speed is how much faster than recorded; 1 is the recorded speed. 0 and infinity: as fast
	// as the client takes it.
	Speed float64

	// Hold makes the recording wait for the client, see above.
	Hold bool

	// DropEvery leaves out the messages number n, 2n, 3n … of the recording, counted from 1
	// over its inbound messages, on all connections. 0: none.
	DropEvery int

	// CutEvery ends each connection after so many messages, all of which arrive, without a close
	// frame. 0: never.
	CutEvery int

	// StallAfter and StallAfterTime make a connection half-open after so many messages or so
	// much time since it was opened: nothing is sent any more, not even a pong, until the
	// client leaves. 0: never.
	StallAfter     int
	StallAfterTime time.Duration

	// CloseAfter ends each connection after so many messages with a close frame of CloseCode,
	// by default 1000, and CloseReason, at most 123 bytes. 0: never.
	CloseAfter  int
	CloseCode   int
	CloseReason string

	// CloseAtEnd ends a connection behind the last message with a close frame as CloseAfter
	// does; otherwise it stays open without messages.
	CloseAtEnd bool

	// Rules, if it is not nil, are what the provider demands of its clients, and further faults. Then the recording is a dialogue: what the client said is
	// waited for, and connections end where they ended.
	Rules *Rules

	Clients

	once sync.Once
	feed []Message // what is sent, with At never falling
	tape tape
}

// ServeHTTP implements http.Handler.
func (p *Replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.once.Do(p.prepare)
	if p.Rules != nil {
		p.perform(w, r)
		return
	}
	p.serve(w, r, p.play)
}

func (p *Replay) prepare() {
	if p.Session == nil {
		return
	}
	p.feed = p.sent()
	if p.Speed > 0 && !math.IsInf(p.Speed, 1) {
		p.tape.speed = p.Speed
	}
	p.tape.hold = p.Hold
	if p.Rules != nil && p.tape.speed == 0 && !p.Hold && slices.ContainsFunc(p.feed, func(m Message) bool { return m.End != nil && !m.End.Ours }) {
		p.tape.hold, p.tape.again = true, true
	}
}

// sent returns what is played.
func (p *Replay) sent() (feed []Message) {
	all := p.Session.Messages
	if p.Rules == nil {
		all = p.Session.Inbound()
	}
	var tip time.Duration
	n := 0
	for _, m := range all {
		tip = max(tip, m.At)
		m.At = tip
		if !m.Out && m.End == nil {
			if n++; p.DropEvery > 0 && n%p.DropEvery == 0 {
				continue
			}
		}
		feed = append(feed, m)
	}
	return feed
}

func (p *Replay) play(ctx context.Context, c *conn) error {
	finish, err := p.roll(ctx, c)
	if err != nil {
		return err
	}
	return finish(ctx, c)
}

// roll sends messages until the connection is to end, and returns in which way.
func (p *Replay) roll(ctx context.Context, c *conn) (finish func(context.Context, *conn) error, err error) {
	next := p.tape.join(p.feed)
	defer p.tape.leave()
	stall := time.Now().Add(p.StallAfterTime)
	for sent := 1; next < len(p.feed); sent++ {
		m := p.feed[next]
		due := p.tape.due(m.At)
		if p.StallAfterTime > 0 && !latest(due, time.Now()).Before(stall) {
			return p.stall, c.wait(ctx, stall)
		}
		if err := c.wait(ctx, due); err != nil {
			return nil, err
		}
		if err := c.send(m.opcode(), m.Data); err != nil {
			return nil, err
		}
		next++
		p.tape.passed(next)
		switch sent {
		case p.StallAfter:
			return p.stall, nil
		case p.CutEvery:
			return p.cut, nil
		case p.CloseAfter:
			return p.close, nil
		}
	}
	switch {
	case p.CloseAtEnd:
		return p.close, nil
	case p.StallAfterTime > 0:
		return p.stall, c.wait(ctx, stall)
	}
	return p.idle, nil
}

func (p *Replay) idle(ctx context.Context, c *conn) error { return c.idle(ctx) }

func (p *Replay) cut(ctx context.Context, c *conn) error { return c.cut(ctx) }

func (p *Replay) stall(_ context.Context, c *conn) error {
	return c.stall()
}

func (p *Replay) close(ctx context.Context, c *conn) error {
	return c.close(ctx, p.CloseCode, p.CloseReason)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *Message) opcode() byte {
	if m.Binary {
		return opBinary
	}
	return opText
}

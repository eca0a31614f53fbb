package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// errLifetime is what waiting answers when a connection is as old as it may become.
var errLifetime = errors.New("the connection is too old")

// wire is how a Replay with Rules talks to a client.
type wire interface {
	send(ctx context.Context, m *Message) error
	bomb(ctx context.Context) error
	close(ctx context.Context, code int, reason string) error
	cut(ctx context.Context) error
	stall(ctx context.Context) error
	hear() <-chan []byte // what the client says; nil: it cannot say anything
}

// perform serves a request by the Rules.
func (p *Replay) perform(w http.ResponseWriter, r *http.Request) {
	u := p.Rules
	if u.As == "sse" || u.As == "ndjson" {
		if p.admit(w, r) {
			defer u.leave()
			p.answer(w, r)
		}
		return
	}
	answer, err := shake(w, r)
	if err != nil || !p.admit(w, r) {
		return
	}
	defer u.leave()
	answer.deflate = u.Bomb > 0
	next, _ := p.begin(r)
	p.upgrade(w, r, answer, func(ctx context.Context, c *conn) error {
		return p.dialogue(ctx, &socket{c, u}, next)
	})
}

// dialogue is one connection that is played by the Rules.
type dialogue struct {
	p     *Replay
	w     wire
	next  int
	past  int // up to here the client catches up: connections have ended there already
	began time.Time
	sent  int
	mute  bool // the client does not say what is expected: nothing more is
	apart bool // the client of the recording has connected again here, ours has not
}

// dialogue plays to one client, which begins where the others are if next is negative.
func (p *Replay) dialogue(ctx context.Context, w wire, next int) error {
	at := p.tape.join(p.feed)
	defer p.tape.leave()
	d := &dialogue{p: p, w: w, next: next, began: time.Now()}
	if next < 0 {
		d.next = at
	} else {
		d.past = p.tape.furthest()
	}
	err := d.greet(ctx)
	for err == nil && d.next < len(p.feed) {
		err = d.step(ctx, &p.feed[d.next])
	}
	if err == nil {
		err = d.rest(ctx)
	}
	var over *overError
	switch {
	case errors.Is(err, errLifetime):
		return w.close(ctx, p.CloseCode, "the connection is as old as it may become")
	case errors.As(err, &over):
		return over.end(ctx)
	}
	return err
}

// overError ends a connection in some way.
type overError struct {
	end func(context.Context) error
}

// Error implements error.
func (*overError) Error() string { return "the connection is over" }

// greet plays how the recorded connection began, where the client begins in the middle of it: without a hello and an answer to its key a client
// would never get further.
func (d *dialogue) greet(ctx context.Context) error {
	start := min(d.next, len(d.p.feed))
	for start > 0 && d.p.feed[start-1].End == nil {
		start--
	}
	for i := start; i < d.head(start); i++ {
		m := &d.p.feed[i]
		var err error
		if m.Out {
			err = d.expect(ctx, m)
		} else {
			err = d.w.send(ctx, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// head returns where the beginning of a recorded connection ends that a client has missed: at the first message with a position. Where positions are not
// known it is what the client said before anything else.
func (d *dialogue) head(start int) int {
	feed := d.p.feed
	for i := start; i < len(feed) && feed[i].End == nil && d.w.hear() != nil; i++ {
		if !feed[i].Out && d.p.Rules.cursorOf(&feed[i]) != "" {
			return min(i, d.next)
		}
	}
	i := start
	for i < d.next && feed[i].Out {
		i++
	}
	return i
}

// step plays one entry of the recording.
func (d *dialogue) step(ctx context.Context, m *Message) error {
	p := d.p
	if !m.Out || d.mute {
		due := p.tape.due(m.At)
		if p.StallAfterTime > 0 && !latest(due, time.Now()).Before(d.began.Add(p.StallAfterTime)) {
			return d.silence(ctx)
		}
		if err := p.until(ctx, due, d.began); err != nil {
			return err
		}
	}
	d.next++
	defer func() { p.tape.passed(d.next) }()
	switch {
	case m.End != nil && d.next <= d.past:
		d.apart = true
		return nil
	case m.End != nil:
		return d.ended(m.End)
	case m.Out && d.apart:
		return nil
	case m.Out:
		return d.expect(ctx, m)
	}
	d.apart = false
	if err := d.w.send(ctx, m); err != nil {
		return err
	}
	return d.fault(ctx)
}

// ended ends the connection as it ended in the recording.
func (d *dialogue) ended(end *End) error {
	switch {
	case end.Ours:
		d.apart = true
		return nil
	case end.Broken:
		return &overError{d.w.cut}
	case end.Silent:
		return &overError{d.w.stall}
	}
	return &overError{func(ctx context.Context) error { return d.w.close(ctx, end.Code, end.Reason) }}
}

// fault does what is due behind a message.
func (d *dialogue) fault(ctx context.Context) error {
	p := d.p
	d.sent++
	if g := p.Rules.Garbage; g > 0 && d.sent%g == 0 {
		if err := d.w.send(ctx, &Message{Data: garbage(d.sent)}); err != nil {
			return err
		}
	}
	switch d.sent {
	case p.Rules.Bomb:
		return d.w.bomb(ctx)
	case p.StallAfter:
		return &overError{d.w.stall}
	case p.CutEvery:
		return &overError{d.w.cut}
	case p.CloseAfter:
		return d.goodbye()
	}
	return nil
}

func (d *dialogue) goodbye() error {
	return &overError{func(ctx context.Context) error { return d.w.close(ctx, d.p.CloseCode, d.p.CloseReason) }}
}

// silence makes the connection half-open when it is old enough.
func (d *dialogue) silence(ctx context.Context) error {
	if err := d.p.until(ctx, d.began.Add(d.p.StallAfterTime), d.began); err != nil {
		return err
	}
	return &overError{d.w.stall}
}

// rest is what happens behind the recording.
func (d *dialogue) rest(ctx context.Context) error {
	switch {
	case d.p.CloseAtEnd:
		return d.goodbye()
	case d.p.StallAfterTime > 0:
		return d.silence(ctx)
	case d.p.Rules.Lifetime > 0:
		return d.p.until(ctx, d.began.Add(d.p.Rules.Lifetime), d.began)
	}
	<-ctx.Done()
	return ctx.Err()
}

// expect waits for the client to say what it said in the recording.
func (d *dialogue) expect(ctx context.Context, m *Message) error {
	u := d.p.Rules
	heard := d.w.hear()
	if heard == nil || u.Expect <= 0 || d.mute {
		return nil
	}
	timer := time.NewTimer(time.Until(latest(d.p.tape.due(m.At), time.Now())) + u.Expect)
	defer timer.Stop()
	select {
	case got := <-heard:
		if u.Strict && !says(got, m.Data) {
			return d.refuse("this is not what the client said in the recording")
		}
	case <-timer.C:
		if u.Strict {
			return d.refuse(fmt.Sprintf("nothing was said within %s", u.Expect))
		}
		d.mute = true
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (d *dialogue) refuse(reason string) error {
	return &overError{func(ctx context.Context) error { return d.w.close(ctx, 1008, reason) }}
}

// socket is the wire of WebSocket.
type socket struct {
	c     *conn
	rules *Rules
}

func (s *socket) send(ctx context.Context, m *Message) error {
	if s.rules.SlowDrip > 0 {
		return s.c.drip(ctx, appendFrame(nil, m.opcode(), m.Data), s.rules.SlowDrip)
	}
	return s.c.send(m.opcode(), m.Data)
}

func (s *socket) bomb(context.Context) error { return s.c.send(opText|bitRSV1, bomb()) }

func (s *socket) close(ctx context.Context, code int, reason string) error {
	return s.c.close(ctx, code, reason)
}

func (s *socket) cut(ctx context.Context) error { return s.c.cut(ctx) }

func (s *socket) stall(context.Context) error { return s.c.stall() }

func (s *socket) hear() <-chan []byte { return s.c.heard }

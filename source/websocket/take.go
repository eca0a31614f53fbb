package websocket

import (
	"context"
	"errors"
	"slices"
	"time"
	"unsafe"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
)

// parcel is what a message turned out to be.
type parcel struct {
	arrived time.Time
	events  []leat.Event
	message []byte // as decoded; nil: nothing that can be looked into
	skip    *source.SkipError
	end     error  // why the connection is over with it
	ack     string // empty: it is not acknowledged
}

// take takes a message apart, and remembers what it says. Afterwards look looks into it, if there is something to be looked into.
func (c *conn) take(data []byte) (p parcel, err error) {
	p.arrived = c.arrived
	taken, err := c.intake.Take(data)
	switch {
	case errors.As(err, &p.skip):
		p.end = c.intake.Lost()
	case err != nil:
		p.end = err
	}
	p.events, p.message = taken.Events, taken.Message
	if p.message == nil {
		return p, nil
	}
	c.look.Reset(p.message)
	c.remember()
	if c.session != nil && c.session.mark(c.look.Message(), p.events, &c.vars) {
		c.Opened()
	}
	if a := c.config.Ack; c.acks != nil && a.When.Holds(&c.look) {
		p.ack, err = c.vars.expand(&a.Send.text, c.look.Message().Members())
		if err != nil {
			return p, unsaid("ack", err)
		}
	}
	return p, nil
}

// remember changes the variables as the message says that look looks into.
func (c *conn) remember() {
	for i := range c.config.Remember {
		r := &c.config.Remember[i]
		if !r.When.Holds(&c.look) {
			continue
		}
		for name, v := range r.Set {
			if value, ok := v.Evaluate(c.look.Message()); ok {
				c.set(name, value)
			}
		}
		c.age()
	}
}

// set sets a variable.
func (c *conn) set(name string, value any) {
	c.vars.set(name, value)
	if c.session != nil {
		c.session.changed(name)
	}
}

// hand hands a message on.
func (c *conn) hand(ctx context.Context, p *parcel) error {
	wanted, err := c.expects(p)
	switch {
	case err != nil:
		return err
	case !wanted:
		return p.end
	case p.skip != nil:
		err = c.Skip(ctx, p.arrived, p.skip)
	case len(p.events) == 0:
		c.Alive(p.arrived)
		if p.ack != "" {
			c.acknowledge(ctx, c.acks.idle())
		}
	default:
		err = c.Offer(ctx, p.arrived, p.events...)
	}
	if err == nil {
		err = p.end
	}
	return err
}

// maxEarly is how many bytes of messages may arrive during the handshake.
const maxEarly = 4 << 20

// keep keeps a message for later.
func (c *conn) keep(p parcel) error {
	p.events, p.message = slices.Clone(p.events), nil
	c.early = append(c.early, p)
	c.heard += int(unsafe.Sizeof(p)) + len(p.ack)
	for i := range p.events {
		c.heard += len(p.events[i].Data) + len(p.events[i].Cursor) + int(unsafe.Sizeof(p.events[i]))
	}
	if c.heard > maxEarly {
		return errEarly
	}
	return p.end
}

// catchUp hands on what arrived during the handshake.
func (c *conn) catchUp(ctx context.Context) error {
	for i := range c.early {
		if err := c.hand(ctx, &c.early[i]); err != nil {
			return err
		}
	}
	c.early = nil
	return nil
}

// answer does what the settings say about the message that look looks into, beside taking it.
func (c *conn) answer(ctx context.Context) error {
	ping := c.config.PingMessage
	if ping != nil && ping.Answer.Holds(&c.look) {
		if sent := c.asked.Swap(0); sent != 0 {
			c.Answered(time.Unix(0, sent))
		}
	}
	for i := range c.config.Reply {
		r := &c.config.Reply[i]
		if !r.When.Holds(&c.look) {
			continue
		}
		if err := c.say(ctx, &r.Send, c.look.Message().Members()); err != nil {
			return unsaid("reply", err)
		}
	}
	return nil
}

package websocket

import (
	"context"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/source"
)

// Ack is how a message is acknowledged, to a provider that sends again what is not. It is said once the record of the message is durable, and of a
// message that becomes no record at once. What is only recorded, with leat record, is not acknowledged.
type Ack struct {
	// The messages that are acknowledged, such as envelope_id != nil.
	When expression.Condition `yaml:"when,required"`

	// The acknowledgement: a text, or a mapping or list that is sent as JSON. It may use the members of the message, and the variables that are not among
	// them: {envelope_id: "{{envelope_id}}"}.
	Send Message `yaml:"send,required"`

	// How long the provider waits for it, from the arrival of the message. Those that come later are counted and told in the log.
	Deadline time.Duration `yaml:"deadline" default:"3s" min:"100ms" max:"1h"`
}

// acks are the messages of one connection that are to be acknowledged.
type acks struct {
	mu      sync.Mutex
	pending source.Unsettled[acknowledgement]
	saying  int           // calls of done and idle without said
	leaving bool          // nothing more is taken
	drained chan struct{} // closed when leaving and nothing is pending, or nothing more can be said
}

// acknowledgement is what is said of a message.
type acknowledgement struct {
	text string    // empty: the provider wants none
	due  time.Time // when it wants it
}

// expect notes a message before its events are handed on, of which there are so many. It reports false once we are leaving: then the provider sends it again, and
// it must not be handed on.
func (a *acks) expect(events int, what acknowledgement) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.leaving && what.text != "":
		return false, nil
	case (events > 0 || what.text != "") && !a.pending.Expect(events, what):
		return false, source.ErrUnsettled
	}
	return true, nil
}

// returned notes what Next returns.
func (a *acks) returned(events []leat.Event, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending.Returned(events, err)
}

// done returns what can be acknowledged: the caller of Next is done with all that it has returned. said is called behind it.
func (a *acks) done() []acknowledgement {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saying++
	return a.pending.Settle()
}

// idle is done for messages without events, when the caller of Next may still work.
func (a *acks) idle() []acknowledgement {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saying++
	return a.pending.SettleEmpty()
}

// said is called when what done or idle returned has been said.
func (a *acks) said() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saying--
	a.left()
}

// busy reports whether something is being said.
func (a *acks) busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.saying > 0
}

// leave makes expect take nothing more.
func (a *acks) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaving = true
	a.left()
}

// left closes drained, if that is due. The caller holds mu.
func (a *acks) left() {
	if a.leaving && a.saying == 0 && a.pending.Len() == 0 {
		a.drain()
	}
}

// over tells that nothing more can be said.
func (a *acks) over() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drain()
}

func (a *acks) drain() {
	select {
	case <-a.drained:
	default:
		close(a.drained)
	}
}

// Next implements source.Conn. What it returned before is durable now, and is acknowledged.
func (c *conn) Next(ctx context.Context) ([]leat.Event, error) {
	if c.acks == nil {
		return c.Feed.Next(ctx)
	}
	c.acknowledge(ctx, c.acks.done())
	events, err := c.Feed.Next(ctx)
	c.acks.returned(events, err)
	return events, err
}

// Signs implements source.Watched. While acknowledgements wait for the limits nothing is asked of the provider, and each has a time limit of its own.
func (c *conn) Signs() source.Signs {
	signs := c.Feed.Signs()
	signs.Resting = c.acks != nil && c.acks.busy()
	return signs
}

// acknowledge says acknowledgements. Whoever reads knows when the connection is over.
func (c *conn) acknowledge(ctx context.Context, list []acknowledgement) {
	defer c.acks.said()
	for _, p := range list {
		if p.text == "" {
			continue
		}
		if c.write(ctx, p.text) != nil {
			return
		}
		if time.Now().After(p.due) {
			c.Late()
		}
	}
}

// expects notes that a message is to be acknowledged. It reports false where it must not be handed on.
func (c *conn) expects(p *parcel) (bool, error) {
	if c.acks == nil {
		return true, nil
	}
	left := len(p.events)
	if p.skip != nil {
		left = 1
	}
	return c.acks.expect(left, acknowledgement{p.ack, p.arrived.Add(c.config.Ack.Deadline)})
}

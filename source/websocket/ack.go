package websocket

import (
	"context"
	"errors"
	"fmt"
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

// mostPending is how many messages may wait for their acknowledgement, beside what the Feed holds.
const mostPending = 1 << 16

var errPending = &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("more than %d messages wait for their acknowledgement", mostPending)}

// acks are the messages of one connection that are to be acknowledged.
type acks struct {
	mu      sync.Mutex
	pending []pending
	handed  int           // how many events Next has handed out in its last call
	saying  int           // calls of done and idle without said
	leaving bool          // nothing more is taken
	drained chan struct{} // closed when leaving and nothing is pending, or nothing more can be said
}

// pending is a message that is to be acknowledged when it is durable.
type pending struct {
	left int       // how many events Next has still to hand out of it; what is left out counts as one
	text string    // empty: the provider wants no acknowledgement
	due  time.Time // when it wants it
}

// expect notes a message before its events are handed on. It reports false once we are leaving: then the provider sends it again, and it must not
// be handed on.
func (a *acks) expect(p pending) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.leaving && p.text != "":
		return false, nil
	case len(a.pending) >= mostPending:
		return false, errPending
	case p.left > 0 || p.text != "":
		a.pending = append(a.pending, p)
	}
	return true, nil
}

// handedOut notes what Next returns.
func (a *acks) handedOut(events int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handed = events
}

// done returns what can be acknowledged: the caller of Next is done with all that it has returned. said is called behind it.
func (a *acks) done() (list []pending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saying++
	return a.settled()
}

// settled takes off what nothing is left of. The caller holds mu.
func (a *acks) settled() (list []pending) {
	n := 0
	for i := range a.pending {
		p := &a.pending[i]
		done := min(p.left, a.handed)
		p.left, a.handed = p.left-done, a.handed-done
		if p.left > 0 {
			break
		}
		if p.text != "" {
			list = append(list, *p)
		}
		n++
	}
	rest := copy(a.pending, a.pending[n:])
	clear(a.pending[rest:])
	a.pending = a.pending[:rest]
	return list
}

// idle is done for messages without events, when the caller of Next may still work.
func (a *acks) idle() (list []pending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saying++
	handed := a.handed
	a.handed = 0
	list = a.settled()
	a.handed = handed
	return list
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
	if a.leaving && a.saying == 0 && len(a.pending) == 0 {
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
	handed := len(events)
	var skip *source.SkipError
	if errors.As(err, &skip) {
		handed = 1
	}
	c.acks.handedOut(handed)
	return events, err
}

// Signs implements source.Watched. While acknowledgements wait for the limits nothing is asked of the provider, and each has a time limit of its own.
func (c *conn) Signs() source.Signs {
	signs := c.Feed.Signs()
	signs.Resting = c.acks != nil && c.acks.busy()
	return signs
}

// acknowledge says acknowledgements. Whoever reads knows when the connection is over.
func (c *conn) acknowledge(ctx context.Context, list []pending) {
	defer c.acks.said()
	for _, p := range list {
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
	return c.acks.expect(pending{left, p.ack, p.arrived.Add(c.config.Ack.Deadline)})
}

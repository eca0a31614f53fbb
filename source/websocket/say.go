package websocket

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
)

// maxEarly is how many bytes of messages may arrive during the handshake.
const maxEarly = 4 << 20

var errEarly = fmt.Errorf("more than %d bytes of messages arrived before the handshake was over", maxEarly)

// early is a message that arrived during the handshake.
type early struct {
	arrived time.Time
	events  []leat.Event
	skip    *source.SkipError
}

// greet says and hears all that is to be said and heard before the connection counts as open.
func (c *conn) greet(ctx context.Context) error {
	steps := c.config.Handshake.Steps
	if c.vars["cursor"] != "" && len(c.config.Handshake.Resume) > 0 {
		steps = c.config.Handshake.Resume
	}
	if len(steps) > 0 {
		limited, cancel := context.WithTimeout(ctx, c.config.Handshake.Deadline)
		defer cancel()
		var heard []byte
		for i := range steps {
			var err error
			if heard, err = c.step(limited, &steps[i], heard); err != nil {
				return unsaid(fmt.Sprintf("handshake, step %d", i+1), err)
			}
		}
	}
	if err := c.say(ctx, &c.config.Subscribe, c.vars); err != nil {
		return unsaid("", err)
	}
	for i := range c.config.Subscriptions {
		if i > 0 && c.config.Pace > 0 {
			if err := wait.For(ctx, c.config.Pace); err != nil {
				return err
			}
		}
		if err := c.say(ctx, &c.config.Subscriptions[i], c.vars); err != nil {
			return unsaid(fmt.Sprintf("subscriptions[%d]", i), err)
		}
	}
	return nil
}

// unsaid says why a connection came to nothing.
func unsaid(where string, err error) error {
	var end *source.EndError
	if errors.As(err, &end) {
		return end
	}
	return &source.EndError{Kind: source.EndSubscribe, Reason: where, Err: err}
}

// step does one step, and returns the message that was expected last.
func (c *conn) step(ctx context.Context, s *Step, heard []byte) ([]byte, error) {
	if !s.Expect.IsZero() {
		var err error
		if heard, err = c.expect(ctx, s); err != nil {
			return nil, err
		}
	}
	m := expression.NewMessage(heard)
	for _, name := range slices.Sorted(maps.Keys(s.Set)) {
		v := s.Set[name]
		value, ok := v.Evaluate(&m)
		if !ok {
			return nil, fmt.Errorf("the message that was expected has no %s", v.String())
		}
		c.vars[name] = value
	}
	return heard, c.say(ctx, &s.Send, c.vars)
}

// expect reads until the message that a step waits for.
func (c *conn) expect(ctx context.Context, s *Step) ([]byte, error) {
	patience := s.Timeout
	if patience == 0 {
		patience = c.config.Timeout
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(limited, func() { _ = c.raw.Close() })
	defer stop()
	for {
		message, err := c.hear(limited)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("wait for %s: %w", s.Expect.String(), ctx.Err())
		case err != nil && limited.Err() != nil:
			return nil, fmt.Errorf("wait for %s: it did not come within %s", s.Expect.String(), setting.FormatDuration(patience))
		case err != nil:
			return nil, c.why(err)
		case message == nil:
			continue
		}
		if c.look.Reset(message); s.Expect.Holds(&c.look) {
			c.early = c.early[:len(c.early)-1]
			return message, nil
		}
	}
}

// hear reads a message and keeps it for later. It returns the message as decoded; nil if it is none that can be looked into.
func (c *conn) hear(ctx context.Context) ([]byte, error) {
	data, skip, err := c.message()
	switch {
	case err != nil:
		return nil, err
	case skip != nil:
		return nil, c.keep(nil, skip)
	case len(data) == 0:
		c.Empty()
		return nil, nil
	}
	taken, err := c.intake.Take(data)
	if errors.As(err, &skip) {
		return nil, c.keep(nil, skip)
	}
	if err == nil {
		err = c.keep(taken.Events, nil)
	}
	if err == nil {
		err = c.answer(ctx, taken.Message)
	}
	return taken.Message, err
}

// keep keeps a message for later.
func (c *conn) keep(events []leat.Event, skip *source.SkipError) error {
	e := early{arrived: c.arrived, events: slices.Clone(events), skip: skip}
	c.early = append(c.early, e)
	c.heard += int(unsafe.Sizeof(e))
	for i := range events {
		c.heard += len(events[i].Data) + int(unsafe.Sizeof(events[i]))
	}
	if c.heard > maxEarly {
		return errEarly
	}
	return nil
}

// catchUp hands on what arrived during the handshake.
func (c *conn) catchUp(ctx context.Context) error {
	for _, e := range c.early {
		var err error
		switch {
		case e.skip != nil:
			err = c.Skip(ctx, e.arrived, e.skip)
		case len(e.events) == 0:
			c.Alive(e.arrived)
		default:
			err = c.Offer(ctx, e.arrived, e.events...)
		}
		if err != nil {
			return err
		}
	}
	c.early = nil
	return nil
}

// answer does what the settings say about a message, beside taking it.
func (c *conn) answer(ctx context.Context, message []byte) error {
	ping := c.config.PingMessage
	if message == nil || len(c.config.Reply) == 0 && (ping == nil || ping.Answer.IsZero()) {
		return nil
	}
	c.look.Reset(message)
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
		vars := maps.Clone(c.vars)
		maps.Copy(vars, c.look.Message().Members())
		if err := c.say(ctx, &r.Send, vars); err != nil {
			return unsaid("reply", err)
		}
	}
	return nil
}

// say sends a message; nothing, if there is none.
func (c *conn) say(ctx context.Context, m *Message, vars map[string]any) error {
	if m.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	text, err := m.text.Expand(vars, nil)
	if err == nil {
		c.Tape.Out([]byte(text), false) // before the answer can be there
		err = c.ws.Write(ctx, websocket.MessageText, []byte(text))
	}
	return err
}

// interval returns how often the provider's own ping is sent.
func (c *conn) interval() (time.Duration, error) {
	p := c.config.PingMessage
	if p.EveryMS.IsZero() {
		return p.Every, nil
	}
	text, err := p.EveryMS.Expand(c.vars, nil)
	if err != nil {
		return 0, err
	}
	ms, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(ms > 0) {
		return 0, errors.New("ping_message.every_ms is no number of milliseconds")
	}
	return time.Duration(min(max(ms, 1000), 86_400_000)) * time.Millisecond, nil
}

// pingMessage sends the provider's own ping, and ends the connection when it is not answered.
func (c *conn) pingMessage(ctx context.Context, every time.Duration) {
	p := c.config.PingMessage
	for pause := rand.N(every); wait.For(ctx, pause) == nil; {
		now := time.Now()
		if c.say(ctx, &p.Send, c.vars) != nil {
			_ = c.raw.Close()
			return
		}
		if pause = every; p.Answer.IsZero() {
			continue
		}
		c.asked.CompareAndSwap(0, now.UnixNano())
		first := min(every, c.config.PongWait)
		if wait.For(ctx, first) != nil {
			return
		}
		pause -= first
		if sent := c.asked.Load(); sent != 0 && time.Since(time.Unix(0, sent)) >= c.config.PongWait && !c.Moving(time.Unix(0, sent)) {
			c.dead.Store(true)
			_ = c.raw.Close()
			return
		}
	}
}

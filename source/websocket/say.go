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

	"github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
)

var errEarly = fmt.Errorf("more than %d bytes of messages arrived before the handshake was over", maxEarly)

// greet says and hears what comes before the subscription.
func (c *conn) greet(ctx context.Context) error {
	steps := c.config.Handshake.Steps
	if c.cursor() && len(c.config.Handshake.Resume) > 0 {
		steps = c.config.Handshake.Resume
	}
	if len(steps) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Handshake.Deadline)
	defer cancel()
	var heard []byte
	for i := range steps {
		var err error
		if heard, err = c.step(limited, &steps[i], heard); err != nil {
			return unsaid(fmt.Sprintf("handshake, step %d", i+1), err)
		}
	}
	return nil
}

// cursor reports whether there is one to resume from.
func (c *conn) cursor() bool {
	cursor, _ := c.vars.some([]string{"cursor"})
	return cursor["cursor"] != ""
}

// subscribe says what we want, while the connection is being read already.
func (c *conn) subscribe(ctx context.Context, chunks [][]string) error {
	for i, m := range c.config.said() {
		where := ""
		if i > 0 {
			where = fmt.Sprintf("subscriptions[%d]", i-1)
		}
		parts := chunks
		if !m.text.Uses("symbols") {
			parts = [][]string{nil}
		}
		for j, part := range parts {
			if i > 1 || j > 0 {
				if err := wait.For(ctx, c.config.Pace); err != nil {
					return err
				}
			}
			if err := c.say(ctx, m, map[string]any{"symbols": part}); err != nil {
				return unsaid(where, err)
			}
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
		c.set(name, value)
	}
	return heard, c.say(ctx, &s.Send, nil)
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
		if s.Expect.Holds(&c.look) {
			c.early[len(c.early)-1].events = nil
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
		return nil, c.keep(parcel{arrived: c.arrived, skip: skip})
	case len(data) == 0:
		c.Empty()
		return nil, nil
	}
	p, err := c.take(data)
	if err == nil {
		err = c.keep(p)
	}
	if err == nil && p.message != nil {
		err = c.answer(ctx)
	}
	return p.message, err
}

// say sends a message, which may use more than the variables of the connection; nothing, if there is none.
func (c *conn) say(ctx context.Context, m *Message, more map[string]any) error {
	if m.IsZero() {
		return nil
	}
	if err := c.pace.wait(ctx); err != nil {
		return err
	}
	text, err := c.vars.expand(&m.text, more) // as late as can be: it may hold the time
	if err != nil {
		return err
	}
	return c.send(ctx, text)
}

// write sends an acknowledgement in its turn, unless the connection is over before.
func (c *conn) write(ctx context.Context, text string) error {
	if err := c.pace.waitUnless(ctx, c.acks.drained); err != nil {
		return err
	}
	return c.send(ctx, text)
}

func (c *conn) send(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	c.Tape.Out([]byte(text), false) // before the answer can be there
	return c.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// interval returns how often the provider's own ping is sent.
func (c *conn) interval() (time.Duration, error) {
	p := c.config.PingMessage
	if p.EveryMS.IsZero() {
		return p.Every, nil
	}
	text, err := c.vars.expand(&p.EveryMS, nil)
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
		if c.say(ctx, &p.Send, nil) != nil {
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

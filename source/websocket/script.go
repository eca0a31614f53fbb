package websocket

import (
	"errors"
	"fmt"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Handshake is what is said and heard before a connection counts as open.
type Handshake struct {
	// The steps, in their order.
	Steps []Step `yaml:"steps"`

	// The steps where there is a cursor to resume from, instead of steps.
	Resume []Step `yaml:"resume"`

	// How long all of them may take.
	Deadline time.Duration `yaml:"deadline" default:"30s" min:"100ms"`
}

// Step is one step of a Handshake. What it has of expect, set and send happens in this order.
type Step struct {
	// Waits for a message for which this holds, such as msg[0].T == "success". It is no event. What else arrives meanwhile is taken as ever: a
	// rule of classify may end the handshake.
	Expect expression.Condition `yaml:"expect"`

	// How long to wait for it. Default: timeout.
	Timeout time.Duration `yaml:"timeout" min:"100ms"`

	// Variables for all texts behind it, {{NAME}}, by what they are in the message that was expected last: {interval: d.heartbeat_interval}. It must have them.
	Set map[string]expression.Value `yaml:"set"`

	// What is said then: a text, or a mapping or list that is sent as JSON.
	Send Message `yaml:"send"`
}

// Reply is an answer to a message.
type Reply struct {
	// The messages that are answered, such as ping != nil. Whether they are events is said by classify.
	When expression.Condition `yaml:"when,required"`

	// The answer: a text, or a mapping or list that is sent as JSON. It may use the members of the message, and the variables of the handshake that
	// are not among them: {pong: "{{ping}}"} is a text there, and '{"pong":{{ping}}}' a number.
	Send Message `yaml:"send,required"`
}

// PingMessage is a ping in the provider's own form.
type PingMessage struct {
	// What is sent: a text, or a mapping or list that is sent as JSON.
	Send Message `yaml:"send,required"`

	// How often. The first one is sent after a part of that, by chance.
	Every time.Duration `yaml:"every" default:"30s" min:"1s"`

	// How many milliseconds there are between two, instead of every, such as "{{interval}}" from the handshake. Less than a second counts as one.
	EveryMS expression.Template `yaml:"every_ms"`

	// The messages that answer it. Without one for pong_wait the connection counts as dead, if nothing else arrives meanwhile. Default: no answer is
	// expected.
	Answer expression.Condition `yaml:"answer"`
}

// checkScript returns what is wrong with what is said and heard.
func (c *Config) checkScript() error {
	var wrong []error
	h := &c.Handshake
	wrong = append(wrong, checkSteps("handshake.steps", h.Steps), checkSteps("handshake.resume", h.Resume))
	if len(h.Resume) > 0 && len(h.Steps) == 0 {
		wrong = append(wrong, setting.FieldErrorf("handshake.resume", "steps is missing: what happens where there is no cursor"))
	}
	if c.Pace > 0 && len(c.Subscriptions) == 0 && !c.Symbols.given() {
		wrong = append(wrong, setting.FieldErrorf("pace", "is the pause between subscriptions or chunks of symbols, and there are none"))
	}
	for i := range c.Subscriptions {
		if c.Subscriptions[i].IsZero() {
			wrong = append(wrong, setting.FieldErrorf(fmt.Sprintf("subscriptions[%d]", i), "it is empty"))
		}
	}
	return errors.Join(wrong...)
}

func checkSteps(field string, steps []Step) error {
	var wrong []error
	heard := false
	for i := range steps {
		s := &steps[i]
		at := fmt.Sprintf("%s[%d]", field, i)
		heard = heard || !s.Expect.IsZero()
		switch {
		case s.Expect.IsZero() && s.Send.IsZero() && len(s.Set) == 0:
			wrong = append(wrong, &setting.FieldError{Field: at, Err: errors.New("it does nothing"), Hint: "write expect, set or send"})
		case s.Expect.IsZero() && s.Timeout != 0:
			wrong = append(wrong, setting.FieldErrorf(at+".timeout", "is for expect, which is not set"))
		case len(s.Set) > 0 && !heard:
			wrong = append(wrong, setting.FieldErrorf(at+".set", "there is no expect before it, so that there is nothing to take it from"))
		}
		if _, ok := s.Set["cursor"]; ok {
			wrong = append(wrong, setting.FieldErrorf(at+".set", "cursor is the position to resume from"))
		}
	}
	return errors.Join(wrong...)
}

// messages returns everything that is said, but for replies.
func (c *Config) messages() []*Message {
	list := c.said()
	for _, steps := range [][]Step{c.Handshake.Steps, c.Handshake.Resume} {
		for i := range steps {
			list = append(list, &steps[i].Send)
		}
	}
	return list
}

// Package websocket connects to providers that push events over a WebSocket.
package websocket

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Config are the settings of one provider. Texts may contain {{cursor}}, the position to
// resume from, which is empty at the first connection, and the variables of Before. They are evaluated again at every attempt.
type Config struct {
	// The address, ws:// or wss://. It may begin with {{…}} that is an address; behind that, what {{…}} inserts is escaped.
	URL expression.Template `yaml:"url,required"`

	// Query parameters that are added to the address, escaped. One whose value is empty is left out, such as a cursor at the
	// first connection.
	Query map[string]expression.Template `yaml:"query"`

	// Header fields of the handshake, such as an API key: {Authorization: "Bearer ${TOKEN}"}. They may contain {{…}}, too; one whose value is empty
	// is left out.
	Headers source.Headers `yaml:"headers"`

	// What to say once the connection is open, in one message: a text, or a mapping or list that is sent as JSON. Default: nothing.
	Subscribe Message `yaml:"subscribe"`

	// What to say behind that, each in a message of its own, for providers that take one channel or only a few symbols at a time.
	Subscriptions []Message `yaml:"subscriptions"`

	// Names that subscribe and subscriptions are about, many in each message.
	Symbols Symbols `yaml:",inline"`

	// The pause between two of subscriptions, or two chunks of symbols, such as 50ms. Default: none.
	Pace time.Duration `yaml:"pace" max:"1m"`

	// What is said and heard before subscribe, where a provider wants a dialogue: {steps: [{expect: 'type == "hello"', set: {id: session}}, {send:
	// {op: auth, id: "{{id}}"}}]}. Default: nothing.
	Handshake Handshake `yaml:"handshake"`

	// Messages that are answered, such as the pings of providers that have their own: {when: ping != nil, send: '{"pong":{{ping}}}'}.
	Reply []Reply `yaml:"reply"`

	// Variables that messages change while the connection lives, for all texts that are said later, such as the position in a heartbeat: [{when: s != nil, set: {seq: s}}],
	// and {{seq ?? "null"}} in ping_message. {{cursor}} is no such variable.
	Remember []Remember `yaml:"remember"`

	// How to go on with a session that outlives its connections. Default: a session ends with its connection.
	Session *Session `yaml:"session"`

	// How messages are acknowledged, where the provider wants that. Default: they are not.
	Ack *Ack `yaml:"ack"`

	// For how many seconds the provider lets a connection live, where it says so: {{lifetime}}, a variable of remember or the handshake. The connection is replaced
	// when nine tenths of them are over, or up to a twentieth before, as with max_age.
	Lifetime expression.Template `yaml:"lifetime"`

	// How much the provider takes from us.
	Limits Limits `yaml:"limits"`

	// The close code that we say goodbye with: 1000, or one from 3000 to 4999, such as 4000 where a provider ends the session with 1000.
	CloseCode int `yaml:"close_code" default:"1000"`

	// A ping in the provider's own form, beside ping. Default: none.
	PingMessage *PingMessage `yaml:"ping_message"`

	// How long the TLS handshake, the answer to the upgrade, and subscribing may take, each; connecting and upgrading together
	// twice as long.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// How often a ping is sent. At least 1s. "off": never.
	Ping time.Duration `yaml:"ping" default:"15s"`

	// How long to wait for the answer to a ping before the connection counts as dead, if nothing else arrives meanwhile.
	PongWait time.Duration `yaml:"pong_wait" default:"10s" min:"100ms"`

	// The largest message, after decompression. A larger one is left out and becomes a gap record; the
	// connection goes on.
	MaxMessage setting.Size `yaml:"max_message" default:"16MiB" min:"1KiB" max:"16MiB"`

	// Whether to offer compression (permessage-deflate) to the provider, which decides whether to use it.
	Compression string `yaml:"compression" default:"offer" enum:"offer,off"`

	// What the source finds out before it connects.
	Before source.Before `yaml:",inline"`

	// What happens to a message before it is an event.
	Intake source.Intake `yaml:",inline"`
}

// Prepares implements source.Preparer.
func (c *Config) Prepares() *source.Before { return &c.Before }

// TakesIn implements source.Taker.
func (c *Config) TakesIn() *source.Intake { return &c.Intake }

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (c *Config) Check() error {
	return errors.Join(
		c.Before.CheckAddress(&c.URL, "ws", "wss"), c.Headers.Check(), c.Before.CheckUse("url", c.names()), c.checkNames(),
		c.checkPing(), c.checkCloseCode(), c.checkSymbols(), c.checkScript(), errors.Join(c.checkSession()...),
	)
}

// checkNames returns which variables are set nowhere: of texts that are used before anything is heard, and of what is said.
func (c *Config) checkNames() error {
	var kept []string
	if c.Session != nil {
		kept = c.Session.Keep
	}
	wrong := []error{
		c.Before.CheckNames("url", c.URL.Names(), kept...), c.Before.CheckNames("headers", c.Headers.Names(), kept...), c.Before.CheckNames("query", c.queryNames(), kept...),
	}
	heard := append(c.remembered(), "symbols")
	said := func(field string, m *Message) {
		wrong = append(wrong, c.Before.CheckSaid(field, m.text.Names(), heard))
	}
	said("subscribe", &c.Subscribe)
	for i := range c.Subscriptions {
		said(fmt.Sprintf("subscriptions[%d]", i), &c.Subscriptions[i])
	}
	for i := range c.Handshake.Steps {
		said(fmt.Sprintf("handshake.steps[%d].send", i), &c.Handshake.Steps[i].Send)
	}
	for i := range c.Handshake.Resume {
		said(fmt.Sprintf("handshake.resume[%d].send", i), &c.Handshake.Resume[i].Send)
	}
	if c.PingMessage != nil {
		said("ping_message.send", &c.PingMessage.Send)
		wrong = append(wrong, c.Before.CheckSaid("ping_message.every_ms", c.PingMessage.EveryMS.Names(), heard))
	}
	return errors.Join(append(wrong, c.Before.CheckSaid("lifetime", c.Lifetime.Names(), heard))...)
}

func (c *Config) checkPing() error {
	if c.Ping == setting.Off || c.Ping == 0 || c.Ping >= time.Second {
		return nil
	}
	return &setting.FieldError{Field: "ping", Err: fmt.Errorf("at least 1s, got %s", setting.FormatDuration(c.Ping)), Hint: `write 1s or more, or "off" to switch it off`}
}

func (c *Config) checkCloseCode() error {
	if code := c.CloseCode; code == 0 || code == 1000 || code >= 3000 && code <= 4999 {
		return nil
	}
	return setting.FieldErrorf("close_code", "expected 1000, or a code from 3000 to 4999, got %d", c.CloseCode)
}

// UsesCursor implements source.Resumer.
func (c *Config) UsesCursor() bool {
	return slices.Contains(c.names(), "cursor") || c.Before.Uses("cursor")
}

// names returns the variables that the texts name, but for those of replies.
func (c *Config) names() []string {
	names := slices.Concat(c.URL.Names(), c.Headers.Names(), c.queryNames())
	for _, m := range c.messages() {
		names = append(names, m.text.Names()...)
	}
	return names
}

func (c *Config) queryNames() (names []string) {
	for _, t := range c.Query {
		names = append(names, t.Names()...)
	}
	return names
}

// Message is a text to be sent. In YAML it is a text, or a mapping or list that is sent as JSON.
type Message struct {
	text expression.Template
	set  bool
}

// NewMessage returns the Message of a text.
func NewMessage(text string) (Message, error) {
	t, err := expression.ParseTemplate(text)
	return Message{t, err == nil}, err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Message) UnmarshalText(text []byte) (err error) {
	*m, err = NewMessage(string(text))
	return err
}

// UnmarshalValue takes a mapping or list as plain Go values; package config calls it.
func (m *Message) UnmarshalValue(value any) error {
	t, err := expression.JSONTemplate(value)
	*m = Message{t, err == nil}
	return err
}

// IsZero reports whether there is nothing to be sent.
func (m *Message) IsZero() bool { return !m.set }

// Package tcp connects to providers that send lines over TCP or TLS, such as receivers of NMEA sentences.
package tcp

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Config are the settings of one provider.
type Config struct {
	// The address: host:port. It may contain {{…}}.
	Address string `yaml:"address,required"`

	// Whether the connection is encrypted with TLS.
	TLS bool `yaml:"tls"`

	// The lines to send once the connection is open, in their order, each with CRLF behind it. They may contain {{cursor}}, the position to
	// resume from, which is empty at the first connection, and the variables of Before. A line that comes out empty is left out. Default: nothing is sent.
	Send []setting.Secret `yaml:"send"`

	// How long connecting, the TLS handshake and sending may take, each.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// The longest line; it ends in LF or CRLF. A longer one is left out and becomes a gap record; the connection goes on. An empty line is a
	// keep-alive and no event.
	MaxMessage setting.Size `yaml:"max_message" default:"64KiB" min:"64" max:"16MiB"`

	// How long the provider may send nothing at all before the connection counts as dead. Beside that, the network is asked every 15s whether
	// the other side is still there, and three questions without an answer end the connection. "off": for ever.
	Silence time.Duration `yaml:"silence" default:"off" min:"1s"`

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
	var wrong []error
	address, err := expression.ParseTemplate(c.Address)
	if host, port, hostErr := net.SplitHostPort(c.Address); err == nil && len(address.Names()) == 0 && (hostErr != nil || host == "" || port == "") {
		err = errors.New("expected host:port")
	}
	if err != nil {
		wrong = append(wrong, &setting.FieldError{Field: "address", Err: err})
	}
	if _, err := c.templates(); err != nil {
		wrong = append(wrong, &setting.FieldError{Field: "send", Err: err})
	}
	return errors.Join(append(wrong, c.Before.CheckUse("address", c.names()), c.Before.CheckNames("address", c.names()))...)
}

// UsesCursor implements source.Resumer.
func (c *Config) UsesCursor() bool {
	_, err := c.templates()
	return slices.Contains(c.names(), "cursor") || c.Before.Uses("cursor") || err != nil // Check tells that
}

// names returns the variables that the texts name.
func (c *Config) names() []string {
	address, _ := expression.ParseTemplate(c.Address) // Check tells
	names := address.Names()
	lines, _ := c.templates()
	for _, t := range lines {
		names = append(names, t.Names()...)
	}
	return names
}

func (c *Config) templates() ([]expression.Template, error) {
	lines := make([]expression.Template, 0, len(c.Send))
	for _, line := range c.Send {
		t, err := expression.ParseTemplate(line.Reveal())
		if err != nil {
			return nil, err
		}
		lines = append(lines, t)
	}
	return lines, nil
}

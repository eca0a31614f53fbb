// Package httpstream connects to providers whose answer to an HTTP request never ends: newline-delimited JSON,
// JSON values one behind the other, and messages with their length before them.
package httpstream

import (
	"time"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Config are the settings of one provider.
type Config struct {
	source.Request

	// How the messages in the answer are told apart. "ndjson": lines that end in LF or CRLF; an empty line is a keep-alive. "json": JSON
	// values one behind the other; white space between them is a keep-alive. "length": the length in bytes as decimal digits and a line
	// end before each message, as the APIs of X send it with delimited=length; an empty line is a keep-alive. "length32": the length as 4 bytes, the
	// highest first. "varint": the length as a varint of Protocol Buffers. A message of length 0 is a keep-alive.
	Framing string `yaml:"framing" default:"ndjson" enum:"ndjson,json,length,length32,varint"`

	// The largest message, after decompression. A larger one is left out and becomes a gap record; the connection goes on.
	MaxMessage setting.Size `yaml:"max_message" default:"16MiB" min:"1KiB" max:"16MiB"`

	// How long the provider may send nothing at all, not even a keep-alive, before the connection counts as dead. Set it a little
	// longer than the provider's keep-alive, above all where stall is off: X sends one every 20s. "off": for ever.
	Silence time.Duration `yaml:"silence" default:"off" min:"1s"`

	// What happens to a message before it is an event.
	Intake source.Intake `yaml:",inline"`
}

// TakesIn implements source.Taker.
func (c *Config) TakesIn() *source.Intake { return &c.Intake }

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (c *Config) Check() error { return c.Request.Check() }

// Package sse connects to providers that push Server-Sent Events.
package sse

import (
	"errors"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Config are the settings of one provider.
type Config struct {
	source.Request

	// What the id of an event is. "cursor": the provider's position behind it, which is sent as Last-Event-ID when a connection resumes; what
	// follows is taken on the provider's word. "event_id": that, and the identity of the event, where event_id is not set: only where no
	// two events share an id, as those of Wikimedia do. "none": it is not used; then cursor may say where the position is.
	ID string `yaml:"id" default:"cursor" enum:"cursor,event_id,none"`

	// Which types of events are events, such as [message, update]; one without a type is a message. Others are signs of life only. Default: all.
	Events []string `yaml:"events"`

	// Which types of events end the connection, such as [error]; the reason is what they say. Default: none.
	EndEvents []string `yaml:"end_events"`

	// Whether a record is {"event": …, "id": …, "data": …}, where data is the JSON of the event, or a text if it is none, and id is left out if
	// there is none. Default: it is the data alone.
	Envelope bool `yaml:"envelope"`

	// The largest event, after decompression. A larger one is left out and becomes a gap record; the connection goes on.
	MaxMessage setting.Size `yaml:"max_message" default:"16MiB" min:"1KiB" max:"16MiB"`

	// How long the provider may send nothing at all, not even a comment, before the connection counts as dead. Set it a little
	// longer than the provider's keep-alive, above all where stall is off. "off": for ever.
	Silence time.Duration `yaml:"silence" default:"off" min:"1s"`

	// What happens to a message before it is an event.
	Intake source.Intake `yaml:",inline"`
}

// TakesIn implements source.Taker.
func (c *Config) TakesIn() *source.Intake { return &c.Intake }

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (c *Config) Check() error {
	wrong := []error{c.Request.Check()}
	if len(c.Before.Hosts) > 1 && c.Returns() && !c.Before.SharedCursor {
		wrong = append(wrong, &setting.FieldError{
			Field: "hosts", Err: errors.New("the id of an event may be another position on the next host"), Hint: "add shared_cursor: true where all hosts count alike, or id: none",
		})
	}
	for _, name := range c.EndEvents {
		if slices.Contains(c.Events, name) {
			wrong = append(wrong, setting.FieldErrorf("end_events", "%q is one of events, too", name))
		}
	}
	return errors.Join(wrong...)
}

// Returns implements source.Returner.
func (c *Config) Returns() bool { return c.ID != "none" }

// Identifies implements source.Identifier.
func (c *Config) Identifies() bool { return c.ID == "event_id" }

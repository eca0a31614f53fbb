// Package poll asks providers again and again over HTTP, and hands on what is new in their answers.
package poll

import (
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Config are the settings of one provider. Where {{cursor}} is used in the request, the provider answers what follows it. Where it is not, each
// answer is a window over the last events, and what was in an answer before is left out; an answer with events of which none is known says
// that some may have passed between two answers, which becomes a gap record (overrun). Answers that are not new (304, or the same events)
// are signs of life: stall ends no connection of this type, and with stall: off they show in covered, too.
type Config struct {
	source.Request

	// How often the provider is asked, from one request to the next.
	Interval time.Duration `yaml:"interval" default:"60s" min:"1s"`

	// A header field of the answer that says how many seconds to wait before the next request; a shorter time than interval does not count, and one of more than an hour counts as an hour.
	IntervalHeader string `yaml:"interval_header" default:"X-Poll-Interval"`

	source.Pages

	// How many pages are asked for at a time.
	MaxPages int `yaml:"max_pages" default:"10" min:"1" max:"1000"`

	// Whether the first event of an answer is the newest. Events are handed on from the oldest to the newest. Pages
	// are asked for until an event is known.
	NewestFirst bool `yaml:"newest_first"`

	// Whether an answer says how things are now, and is no window over what has happened. Then one without any event of the answers before it is
	// no sign that something was missed, and what happened while nobody asked is lost in any case.
	Snapshot bool `yaml:"snapshot"`

	// The largest event. A larger one is left out and becomes a gap record.
	MaxMessage setting.Size `yaml:"max_message" default:"16MiB" min:"1KiB" max:"16MiB"`

	// The identity of an event, as for every source. Here it also tells whether an event was in an answer before. Without it, equal
	// bytes are the same event, and after a restart an answer counts from behind the last event that is known.
	EventID expression.Value `yaml:"event_id"`

	// The provider's position behind an event, as for every source: where {{cursor}} is used.
	Cursor expression.Value `yaml:"cursor"`

	// What happens to an answer before it is events: decode takes it whole; classify looks at it, and at each of its items; split takes each of its
	// items, or the whole where items is not set.
	Intake source.Intake `yaml:",inline"`
}

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (c *Config) Check() error {
	if err := c.Request.Check(); err != nil {
		return err
	}
	if c.Uses("page") && c.Next == "" {
		return setting.FieldErrorf("next", "{{page}} is used: expected the member path of what it stands for")
	}
	if c.Snapshot && c.UsesCursor() {
		return setting.FieldErrorf("snapshot", "how things are now does not follow a position, and {{cursor}} is used")
	}
	return c.CheckPages(&c.Request)
}

// TakesIn implements source.Taker.
func (c *Config) TakesIn() *source.Intake { return &c.Intake }

// Returns implements source.Returner.
func (c *Config) Returns() bool { return !c.UsesCursor() && !c.Snapshot }

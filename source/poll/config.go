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

	// A header field of the answer that says how many seconds to wait before the next request; a shorter time than interval does not count.
	IntervalHeader string `yaml:"interval_header" default:"X-Poll-Interval"`

	// Where the events are in an answer: the member path of a list, such as states or data.items. Default: the answer is the list, or is
	// one event if it is none.
	Items expression.Path `yaml:"items"`

	// Whether the first event of an answer is the newest. Events are handed on from the oldest to the newest.
	NewestFirst bool `yaml:"newest_first"`

	// Where an answer says that there is more of it: the word link for the header field Link with rel="next", or the member path of an
	// address, or of a text that is used as {{page}} in the request. Addresses on another host are refused. With newest_first, pages are
	// asked for until an event is known. Default: an answer is all there is.
	Next string `yaml:"next"`

	// How many pages are asked for at a time.
	MaxPages int `yaml:"max_pages" default:"10" min:"1" max:"1000"`

	// The largest answer, all its pages together, after decompression. A larger one is left out and becomes a gap record.
	MaxAnswer setting.Size `yaml:"max_answer" default:"16MiB" min:"1KiB" max:"256MiB"`

	// The largest event. A larger one is left out and becomes a gap record.
	MaxMessage setting.Size `yaml:"max_message" default:"16MiB" min:"1KiB" max:"16MiB"`

	// The identity of an event, as for every source. Here it also tells whether an event was in an answer before. Without it, equal
	// bytes are the same event, and after a restart an answer counts from behind the last event that is known.
	EventID expression.Value `yaml:"event_id"`

	// The provider's position behind an event, as for every source: where {{cursor}} is used.
	Cursor expression.Value `yaml:"cursor"`
}

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (c *Config) Check() error {
	if err := c.Request.Check(); err != nil {
		return err
	}
	if c.Items.Arrays() > 0 {
		return setting.FieldErrorf("items", "expected the path of the list itself, without []")
	}
	if c.Uses("page") && (c.Next == "" || c.Next == nextLink) {
		return setting.FieldErrorf("next", "{{page}} is used: expected the member path of what it stands for")
	}
	if c.Next != "" && c.Next != nextLink {
		p, err := expression.ParsePath(c.Next)
		if err != nil {
			return &setting.FieldError{Field: "next", Err: err}
		}
		if p.Arrays() > 0 {
			return setting.FieldErrorf("next", "expected the path of one value, without []")
		}
	}
	return nil
}

// nextLink is the Next of a header field.
const nextLink = "link"

// Returns implements source.Returner.
func (c *Config) Returns() bool { return !c.UsesCursor() }

// Package producer takes events to a stream: it gathers what arrives into commits, keeps the
// order of every key, and repeats only what was refused.
package producer

import (
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/setting"
)

// Settings say how much is gathered into one commit. Events that arrive while a commit is under
// way are gathered in any case, so that the defaults suit slow and fast sources alike.
type Settings struct {
	// At most so many events in one commit.
	Records int `yaml:"records" default:"10000" min:"1" max:"100000"`

	// At most so many bytes in one commit: keys, event_ids and payloads, and 48 bytes for each event. A larger event goes alone.
	Bytes setting.Size `yaml:"bytes" default:"4MiB" min:"1KiB" max:"8MiB"`

	// How long to wait for more events before a commit that is not full. It delays every event by as much; 0s is right
	// unless the disk is worn by many small commits.
	Wait time.Duration `yaml:"wait" default:"0s" max:"60s"`
}

// Filtering says which events of a source are stored. It is done here and not in the source, behind the de-duplication and in the order of durability, so that an
// event that is dropped moves the cursor and the coverage as any other, counts as having come for the gap rule, and is counted once, over however
// many connections it comes.
type Filtering struct {
	// Which events are stored: an event pattern, or a list of patterns of which one must fit, in the language of EventBridge and AWS Lambda, such as
	// {data: {type: [trade], price: [{numeric: [">", 0]}]}}, or the same as a text in JSON. The others are dropped, and counted by cause; no gap record tells of them.
	// A pattern may name data, partitionKey, id (the event_id) and time (the event_time, in seconds since 1970). What is dropped here is nowhere: the filter of a
	// consumer leaves it in the stream. docs/filters.md explains patterns. Default: all.
	Filter filter.Filter `yaml:"filter"`

	// What to do with an event whose payload the filter looks into, and which is not JSON, or nested more than 64 deep. "pass":
	// store it. "drop": drop it.
	NotJSON string `yaml:"not_json" default:"pass" enum:"pass,drop"`
}

// Check returns what is wrong with the settings.
func (f *Filtering) Check() error { return f.Filter.Early("filter") }

// drops judges an event, and reports whether it is dropped.
func (f *Filtering) drops(e *leat.Event) (filter.Verdict, bool) {
	v := f.Filter.Event(e)
	return v, v != filter.Pass && !(v.Unreadable() && f.NotJSON != "drop")
}

package source

import (
	"time"

	"github.com/leatstream/leat/internal/expression"
)

// Settings are the fields that every source has, whatever its transport.
type Settings struct {
	// How many connections are held at the same time. They are staggered over max_age,
	// and what arrives over more than one of them is stored once, by event_id. More than one
	// needs event_id.
	Connections int `yaml:"connections" default:"1" min:"1" max:"16"`

	// A connection is replaced at this age, the new one opened before the old one is closed.
	// Choose a little less than the provider's limit. "off": never.
	MaxAge time.Duration `yaml:"max_age" default:"off"`

	// A connection that brings no data for so long is replaced. "off": never.
	Stall time.Duration `yaml:"stall" default:"60s"`

	// The longest pause between two attempts to connect.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"30s" min:"1s"`

	// The identity of an event: a member path (trade_id) or an expression
	// ([type, product_id, trade_id]). A second event with the same identity is dropped.
	EventID expression.Value `yaml:"event_id"`

	// When an event happened: RFC 3339, or a number of seconds, milliseconds, microseconds
	// or nanoseconds since 1970, told apart by its size.
	EventTime expression.Value `yaml:"event_time"`

	// The provider's position behind an event, to be used as {{cursor}} in the next connection.
	// It becomes durable together with the event.
	Cursor expression.Value `yaml:"cursor"`

	// The partition key: events of one key keep their order and share a shard. Without it
	// every event of the source has the source's name as its key.
	PartitionKey expression.Value `yaml:"partition_key"`

	// How long an event_id is remembered.
	DedupeWindow time.Duration `yaml:"dedupe_window" default:"10m" min:"10s"`

	// How many event_ids are remembered; 24 bytes of memory each. Whichever of the two limits is reached first counts.
	DedupeEvents int `yaml:"dedupe_events" default:"1000000" min:"1000" max:"100000000"`
}

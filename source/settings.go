package source

import (
	"time"

	"github.com/leatstream/leat/internal/expression"
)

// Settings are the fields that every source has, whatever its transport.
type Settings struct {
	// How many connections are held at the same time. Their ages are spread over max_age,
	// and what arrives over more than one of them is stored once, by event_id. More than one
	// needs event_id.
	Connections int `yaml:"connections" default:"1" min:"1" max:"16"`

	// A connection is replaced at this age, or up to a twentieth before it. With event_id the new one is opened before the
	// old one is closed; without, after, because both would be stored. Choose a little less than the provider's limit.
	// "off": never.
	MaxAge time.Duration `yaml:"max_age" default:"off" min:"1s"`

	// A connection that brings no data for so long is replaced, and the time since its last data counts as a gap unless another
	// connection covers it. "off": never; for feeds that may be silent, where answers to pings have to do.
	Stall time.Duration `yaml:"stall" default:"60s"`

	// The longest pause between two attempts to connect. After a refusal (close code 1008, most HTTP statuses from 400 to 499)
	// the pause is at least a minute, and up to an hour if the provider asks for it with Retry-After.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"30s" min:"1s"`

	// The identity of an event: a member path (trade_id) or an expression
	// ([type, product_id, trade_id]). A second event of this source with the same identity is dropped within dedupe_window.
	// Without it, and for an event that lacks it, nothing is dropped.
	EventID expression.Value `yaml:"event_id"`

	// When an event happened: RFC 3339, or a number of seconds, milliseconds, microseconds
	// or nanoseconds since 1970, told apart by its size. It is stored to the millisecond. Default: unknown.
	EventTime expression.Value `yaml:"event_time"`

	// The provider's position behind an event, to be used as {{cursor}} in the next connection.
	// It becomes durable together with the event. Default: a connection begins where the provider begins.
	Cursor expression.Value `yaml:"cursor"`

	// The partition key: events of one key keep their order and share a shard. Without it
	// every event of the source has the source's name as its key.
	PartitionKey expression.Value `yaml:"partition_key"`

	// How long an event_id is remembered, also over restarts.
	DedupeWindow time.Duration `yaml:"dedupe_window" default:"10m" min:"10s"`

	// How many event_ids are remembered, at 40 to 80 bytes of memory each. Whichever of the two limits is reached first counts.
	DedupeEvents int `yaml:"dedupe_events" default:"1000000" min:"1000" max:"100000000"`
}

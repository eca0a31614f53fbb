// Package consumer takes the records of a stream to a destination: shard by shard, parents
// before children, in batches, with retries, bisection, dead letters, and one durable checkpoint.
package consumer

import (
	"time"

	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/setting"
)

// Settings are the fields that every consumer has, whatever its destination.
type Settings struct {
	// Where a consumer begins that has no checkpoint yet: with the oldest record that is kept, or with what arrives from now on.
	Start string `yaml:"start" default:"oldest" enum:"oldest,latest"`

	// Which records are delivered: an event pattern, or a list of patterns of which one must fit, in the language of EventBridge and AWS Lambda, such as
	// {data: {event: [final], cadence: [{numeric: [">", 50]}]}}, or the same as a text in JSON. The others are passed over, and counted by cause.
	// docs/filters.md explains patterns. Default: all.
	Filter filter.Filter `yaml:"filter"`

	// What to do with a record whose payload the filter looks into, and which is not JSON, or nested more than 64 deep. "dead-letter":
	// put it into dead_letters. "drop": pass over it, as AWS Lambda does. "pass": deliver it.
	NotJSON string `yaml:"not_json" default:"dead-letter" enum:"dead-letter,drop,pass"`

	// How records are gathered into one delivery. What is left out is chosen by the destination.
	Batch Batch `yaml:"batch"`

	// How often a delivery is tried before its batch is halved, again and again, and the records that fail alone go to
	// dead_letters. 0: without end, so that a destination that is away loses nothing. Records that the destination calls wrong
	// are halved and dead-lettered in any case, at once.
	// A destination of files named after their records tries without end in any case: where it is not known whether
	// a file was written, its records must not go elsewhere.
	MaxAttempts int `yaml:"max_attempts" default:"0" min:"0" max:"1000000"`

	// The longest pause between two attempts.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"60s" min:"1s"`

	// The stream for records that cannot be delivered. It is made if it does not exist.
	// Default: NAME.dlq.
	DeadLetters string `yaml:"dead_letters"`

	// What to do where records expired or were damaged before they were read. "continue": write the gap to dead_letters and go
	// on behind it. "stop": the shard halts there until the setting is changed.
	OnGap string `yaml:"on_gap" default:"continue" enum:"continue,stop"`
}

// Batch says how many records are delivered together. Whichever limit is reached first closes a batch.
type Batch struct {
	// At most so many records. Default: what the destination recommends: sqlite 10,000, jsonl 100,000.
	Records int `yaml:"records" min:"1" max:"1000000"`

	// At most so many bytes of keys and payloads; one record is delivered however large it is. Default: what the destination
	// recommends: sqlite 4MiB, jsonl 16MiB.
	Bytes setting.Size `yaml:"bytes" min:"1KiB" max:"64MiB"`

	// How long to wait, from the first record, for a batch to fill. "off": not at all. Default: what the
	// destination recommends: sqlite 0s, jsonl 1m, so that its files appear after a minute.
	Wait time.Duration `yaml:"wait" max:"1h"`
}

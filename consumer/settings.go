// Package consumer takes the records of a stream to a destination: shard by shard, parents
// before children, in batches, with retries, bisection, dead letters, and one durable checkpoint.
package consumer

import (
	"time"

	"github.com/leatstream/leat/internal/setting"
)

// Settings are the fields that every consumer has, whatever its destination.
type Settings struct {
	// Where a consumer begins that has no checkpoint yet.
	Start string `yaml:"start" default:"oldest" enum:"oldest,latest"`

	// How records are gathered into one delivery. What is left out is chosen by the destination.
	Batch Batch `yaml:"batch"`

	// How often a delivery is tried before its records are split and dead-lettered. 0: without end,
	// so that a destination that is away loses nothing; records that the destination calls wrong
	// are dead-lettered in any case.
	MaxAttempts int `yaml:"max_attempts" default:"0" min:"0" max:"1000000"`

	// The longest pause between two attempts.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"60s" min:"1s"`

	// The stream for records that cannot be delivered. It is created if it does not exist.
	// Default: the consumer's name and .dlq.
	DeadLetters string `yaml:"dead_letters"`

	// What to do where records are missing that the consumer had not read: stop and say so, or write
	// the gap to the dead-letter stream and go on behind it.
	OnGap string `yaml:"on_gap" default:"continue" enum:"continue,stop"`
}

// Batch says how many records are delivered together. Whichever limit is reached first closes a batch.
type Batch struct {
	// At most so many records. Default: what the destination recommends.
	Records int `yaml:"records" min:"1" max:"1000000"`

	// At most so many bytes of keys and payloads. Default: what the destination recommends.
	Bytes setting.Size `yaml:"bytes" min:"1KiB" max:"64MiB"`

	// How long to wait, from the first record, for a batch to fill. Default: what the
	// destination recommends.
	Wait time.Duration `yaml:"wait" max:"1h"`
}

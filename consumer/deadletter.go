package consumer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Letter is the payload of a record in a dead-letter stream, as JSON: the record that could not be delivered, and why.
type Letter struct {
	Version int    `json:"v"`
	ID      string `json:"id"` // consumer/stream/shard/sequence number/sub
	Origin  Origin `json:"origin"`

	// Through is the last missing record, where the letter stands for a gap instead of a record.
	Through leat.SequenceNumber `json:"through,omitzero"`

	Consumer    string `json:"consumer"`
	Stage       string `json:"stage"` // sink, filter, or read for a gap
	Destination string `json:"destination"`

	// Condition is Permanent, RetryAttemptsExhausted, Undecodable, Expired or Damaged.
	Condition string `json:"condition"`

	Error        LetterError `json:"error"`
	Attempts     int         `json:"attempts"`
	FirstAttempt time.Time   `json:"first_attempt"`
	LastAttempt  time.Time   `json:"last_attempt"`
	Epoch        uint64      `json:"epoch"`
	Data         []byte      `json:"data"` // the original bytes, in base64
}

// Origin is where the record lies.
type Origin struct {
	Stream       string              `json:"stream"`
	Shard        string              `json:"shard"`
	Sequence     leat.SequenceNumber `json:"sequence_number"`
	Sub          int                 `json:"sub"`
	PartitionKey string              `json:"partition_key"`
	HashKey      *leat.Hash          `json:"explicit_hash_key"`
	Arrived      time.Time           `json:"arrived,omitzero"`
}

// LetterError is why.
type LetterError struct {
	Type    string `json:"type"`
	Message string `json:"message"` // at most 8 KiB
}

const maxMessage = 8 << 10

// end is how a record ended that was not delivered.
type end struct {
	stage     string
	condition string
	cause     error
	attempts  int // to deliver it
	begun     time.Time
}

func (s *shard) letter(r leat.Record, e end) Letter {
	message := e.cause.Error()
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return Letter{
		Version: 1, ID: fmt.Sprintf("%s/%s/%s/%s/0", s.c.Name, s.c.Stream, s.id, r.Sequence),
		Origin: Origin{
			Stream: s.c.Stream, Shard: s.id.String(), Sequence: r.Sequence,
			PartitionKey: r.PartitionKey, HashKey: r.HashKey, Arrived: r.Arrived.UTC(),
		},
		Consumer: s.c.Name, Stage: e.stage, Destination: s.c.Destination, Condition: e.condition,
		Error: LetterError{Type: fmt.Sprintf("%T", e.cause), Message: message}, Attempts: e.attempts,
		FirstAttempt: e.begun.UTC(), LastAttempt: time.Now().UTC(), Epoch: s.epoch, Data: r.Data,
	}
}

// dead returns the put of a letter. It has the key of its record, so that letters keep the order of their keys.
func (s *shard) dead(l Letter) stream.Put {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // a plain struct
	}
	event := leat.Event{ID: l.ID, PartitionKey: l.Origin.PartitionKey, HashKey: l.Origin.HashKey, Time: l.LastAttempt, Data: text}
	return stream.Put{Stream: s.c.Settings.DeadLetters, Source: s.c.Name, Events: []leat.Event{event}}
}

package source

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Producer is what a Manager hands its events to. Package producer has the one of the house.
type Producer interface {
	// Begin takes the source over from whoever had it and returns the mark as that one left it; the zero Mark if nobody had.
	Begin(ctx context.Context) (Mark, error)

	// Put returns nil once the delivery is durable.
	Put(ctx context.Context, d Delivery) error
}

// Delivery is what a source hands over at once.
type Delivery struct {
	// Events become records of the stream, in their order, unless the stream has them already.
	Events []leat.Event

	// Move changes the source's mark, which is stored in the same commit, and returns further records that belong to
	// this commit, such as gap records. known tells that the stream has the first of Events already. It is called once, and in the
	// order in which deliveries become durable; it must not block. Nil leaves the mark as it is.
	Move func(mark *Mark, known bool) []stream.Put

	// Dropped, if it is not nil, is called before Move with the index of each of Events that the stream has already.
	Dropped func(event int)

	// State, if it is not nil, returns what the source keeps beside its mark, as far as it has changed since State was called
	// last. It is called once after the Move of one or more deliveries, and what it returns is stored in their commit. Every key begins with
	// StateKey of the source.
	State func() []stream.Entry
}

// MaxCursor is how many bytes the cursor of a Mark may have. A longer one is not used: the mark keeps the one before it.
const MaxCursor = 64 << 10

// MarkKey is the key of the mark of a source.
func MarkKey(source string) string { return "source/" + source }

// Mark is where a source is. It is stored together with the records before it.
type Mark struct {
	// Cursor is the provider's position to resume from.
	Cursor leat.Cursor `json:"cursor,omitempty"`

	// Time is when the event of Cursor happened; zero: unknown.
	Time time.Time `json:"time,omitzero"`

	// Covered is the time up to which everything the provider sent is stored, or reported as a gap.
	Covered time.Time `json:"covered,omitzero"`

	// Attempts are the attempts to connect that are bounded by the settings.
	Attempts []Tried `json:"attempts,omitempty"`

	// State is what Delivery.State returned before; only in what Producer.Begin returns.
	State []stream.Entry `json:"-"`
}

// Encode returns the stored form of m.
func (m Mark) Encode() []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // a plain struct
	}
	return text
}

// DecodeMark reads what Encode made. Nothing at all is the zero Mark.
func DecodeMark(text []byte) (m Mark, err error) {
	if len(text) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("stored mark of a source: %w", err)
	}
	return m, nil
}

package source

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
)

// mapping fills the fields of an event from its payload. What the transport has set already stays.
type mapping struct {
	name     string
	settings *Settings
}

// apply also returns the message, which others may look into.
func (m mapping) apply(e *leat.Event) (msg expression.Message) {
	msg = expression.NewMessage(e.Data)
	if e.ID == "" {
		e.ID, _ = m.settings.EventID.Identity(&msg)
	}
	if e.PartitionKey == "" {
		e.PartitionKey, _ = m.settings.PartitionKey.Text(&msg)
		if e.PartitionKey == "" {
			e.PartitionKey = m.name
		}
	}
	if e.Cursor == "" {
		text, _ := m.settings.Cursor.Text(&msg)
		e.Cursor = leat.Cursor(text)
	}
	if e.Time.IsZero() {
		if text, ok := m.settings.EventTime.Text(&msg); ok {
			e.Time = parseTime(text)
		}
	}
	return msg
}

// progress returns an event that has the position of a mark, if that has one.
func (m mapping) progress(mark *leat.Event) *leat.Event {
	msg := expression.NewMessage(mark.Data)
	text, _ := m.settings.Cursor.Text(&msg)
	return &leat.Event{Cursor: leat.Cursor(text)}
}

// parseTime reads RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970, which it
// tells apart by size: the ranges do not meet between the years 1973 and 5138. What is neither is the zero time, and so is what lies
// in no year from 1 to 9999 of UTC: it could not be written down.
func parseTime(text string) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
			return time.Time{}
		}
		return t
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1e11 {
			seconds, part := math.Modf(f)
			return time.Unix(int64(seconds), int64(part*1e9))
		}
		return time.Time{}
	}
	switch {
	case n <= 0:
		return time.Time{}
	case n < 1e11:
		nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		return time.Unix(n, nanos)
	case n < 1e14:
		return time.UnixMilli(n)
	case n < 1e17:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}

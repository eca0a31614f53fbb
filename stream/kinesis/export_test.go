package kinesis

import "github.com/leatstream/leat"

// Parts returns the events that a record of Kinesis holds.
func Parts(whole leat.Record) []leat.Record { return appendParts(nil, whole) }

// Package leat holds the words of the house: the values that pass between its
// stages and nothing else.
//
// An [Event] is what a provider said. Once it is durable in a stream it is a
// [Record]; records of one shard travel in a [Batch]. A [SequenceNumber] names
// a record within its shard, a [Hash] places a partition key on the ring of a
// stream, and a [Cursor] is the provider's own position.
//
// Everything here is a plain value: no value holds a lock, a context or a
// goroutine. Byte slices and strings inside events and records may share one
// larger buffer; that buffer is never written again once the value has been
// handed over, so they may be kept and read by any number of goroutines, and
// must not be modified by any of them.
package leat

// Package function is the contract between a consumer and the code of users that it calls with records.
//
// A Function neither buffers nor repeats: the consumer gathers batches, keeps windows and their state, repeats, halves and
// dead-letters, and makes what a call returned durable in one commit with its checkpoint.
package function

import (
	"context"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Function calls the code of a user. Invoke may be called by several goroutines at once, for different shards and
// lanes; those calls that find no room wait until there is some. A Function starts what it needs at the first call, and implements io.Closer if it
// holds something open; Close is called once, after the last Invoke has returned.
type Function interface {
	// Invoke calls the code once and returns what it answered. The code may have seen any record before: after a crash, or after an
	// error, a batch comes again.
	//
	// An error means that nothing of the batch is done. The consumer acts on it, never the Function:
	//
	//	*TooLargeError  the code was not called: the consumer divides the batch, and counts no attempt
	//	Gone            the code cannot be called at all: the consumer tries the batch again, without end, and counts no attempt
	//	Permanent       repeating will not cure it: the consumer halves the batch at once, and dead-letters a single record
	//	error of ctx    the call was cut off: its outcome is unknown, the batch comes again
	//	any other       the call failed: the whole batch comes again, as often as the settings of the consumer say
	//
	// What the code said is found with errors.As as a *Error. After any error the Function can be called again.
	Invoke(ctx context.Context, in Input) (Result, error)
}

// Input is what one call hands to the code.
type Input struct {
	// Batch holds the records, all of one shard and in order. The Function owns the slice, not what the records point into. It is empty in the final
	// call of a window and has at least one record in any other; its Stream and Shard are always set.
	Batch leat.Batch

	// Window is the window that the records belong to; nil: they are not gathered in windows.
	Window *Window
}

// Window is a tumbling window of one shard, by the arrival of its records. Every window has one or more calls with records,
// then one that is final.
type Window struct {
	// Start and End bound it: the records arrived at Start or later, and before End.
	Start, End time.Time

	// State is what the call before returned in Result.State, byte for byte; nil: this is the first call of the window, or the
	// first after one that was Early. It must not be changed.
	State []byte

	// Final says that this is the last call of the window. It has no records, so that code that returns early loses none.
	Final bool

	// Early says that this call ends the window before its time, because the state has grown too large: the next call
	// goes on in the same window without state.
	Early bool
}

// Result is what the code answered.
type Result struct {
	// Failed are the records of the batch that failed although the call succeeded, in no order. The lowest counts: the records
	// before it are done, it and all behind it come again in a batch with a new count of attempts. Empty: all records are done.
	Failed []leat.SequenceNumber

	// Reason is why the lowest of Failed failed, if the code said so, for its dead letter. It is at most MaxMessage bytes.
	Reason string

	// State is for the next call of the window, byte for byte what the code returned: a JSON object. It is never nil after a call with a
	// Window that is neither Final nor Early; else it may be, and counts for nothing. How large it may be is the consumer's to say.
	State []byte

	// Puts are records for other streams. They stem only from records before the lowest of Failed, and become durable in the
	// commit that moves the checkpoint. The consumer sets their Source.
	Puts []stream.Put
}

// Observed is a Function that runs processes and counts what becomes of them.
type Observed interface {
	Function

	// Status returns the counts since the Function was made. It may be called at any time by any goroutine.
	Status() Status
}

// Status is what a Function that runs processes has counted.
type Status struct {
	Processes  int   // that run now
	Starts     int64 // processes that were started: cold starts
	Calls      int64 // that were handed to a process
	Failures   int64 // calls that failed, whatever the reason
	Crashes    int64 // processes that ended by themselves
	Timeouts   int64 // processes that were ended because a call, or the start, took too long
	Memory     int64 // processes that were ended because they used too much memory
	LogDropped int64 // bytes of output that did not go into the log
}

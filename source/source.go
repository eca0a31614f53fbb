// Package source is the contract between a provider and the house, and the
// Manager that keeps connections: opens, resumes, staggers, rotates, backs off,
// de-duplicates, and writes down what the provider did not deliver.
package source

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/leatstream/leat"
)

// Source opens connections to one provider. Open may be called any number of
// times and from any number of goroutines: redundancy is calling it more than once.
type Source interface {
	// Open connects and asks the provider for what follows the cursor; with the empty cursor for
	// what it sends by itself. It returns once the provider has accepted the connection and all
	// that is to be said first has been said. An error is best an *EndError.
	Open(ctx context.Context, after leat.Cursor) (Conn, error)
}

// Conn is one live connection. It is used by one goroutine at a time, but for Close.
type Conn interface {
	// Next waits for the provider and returns what is ready, at least one event.
	// An *EndError says why the connection ended; a *SkipError tells of a message
	// that is left out, and the next call goes on behind it. Any other error ends the
	// connection too. The caller owns the slice until the next call, and the events for good.
	Next(ctx context.Context) ([]leat.Event, error)

	// Close ends the connection and frees everything. It may be called at any time and more than once,
	// also while Next waits. Next then returns what had been received, and an error after that.
	Close() error
}

// Watched is implemented by a Conn that knows more of its provider than the events it hands out. Its methods may be
// called at any time.
type Watched interface {
	// Signs returns the signs of life up to now.
	Signs() Signs

	// Wait returns why the connection has ended as soon as nothing more will be received, though Next may still have
	// something to hand out; or the error of ctx if that ends before.
	Wait(ctx context.Context) error
}

// Signs are the signs of life of a connection. A zero time means none yet. By calling Next the caller says that
// it is done with what Next returned before.
type Signs struct {
	// First is when the provider had taken the connection up: it sent something, or answered a ping.
	First time.Time

	// Data is the time up to which what the provider sent has been handed out, as far as its messages and its goodbye show.
	Data time.Time

	// Answer is the time up to which what the provider sent is done with, as its answer to a ping shows.
	Answer time.Time

	// Progress is when a part of the message that is being read arrived; zero between messages.
	Progress time.Time

	// Resting tells that nothing is expected of the provider, as between two requests, and that the time of a request has a limit of its own.
	Resting bool

	// Behind tells that the provider says when it has sent all of the past, and that cursors do not count before; Marked, that it tells positions
	// without an event. They do not change.
	Behind, Marked bool

	// Part tells that the last of the events that were handed out last is followed by others of the same message, so that a position which they share is
	// not true yet.
	Part bool

	// Empty is how many messages without content were dropped.
	Empty int64

	// Unknown is how many messages came for which no rule of classify holds, though one says what is data.
	Unknown int64

	// Late is how many messages were acknowledged after their deadline.
	Late int64
}

// Expiring is implemented by a Conn that can know that its end is near. Its method may be called at any time.
type Expiring interface {
	// Expire waits until the connection is to be replaced, and returns why. An error is why it has ended before that, or that of ctx.
	Expire(ctx context.Context) (why string, err error)
}

// Resumer is implemented by the settings of a Source that can ask its provider for what follows a cursor.
type Resumer interface {
	// UsesCursor reports whether the settings do.
	UsesCursor() bool
}

// Returner is implemented by a Source, and by its settings, that can go on where the last connection was left without the cursor of
// Settings.
type Returner interface {
	// Returns reports whether it does: its connections set the cursor of their events, or the provider keeps for us
	// what is not done with.
	Returns() bool
}

// Identifier is implemented by a Source, and by its settings, whose connections may set the identity of their events without the event_id of Settings.
type Identifier interface {
	// Identifies reports whether they do.
	Identifies() bool
}

// Forgetful is implemented by the settings of a Source whose positions are those of a session: it has one connection, and its provider forgets it after a
// while.
type Forgetful interface {
	// Forgets reports whether it is.
	Forgets() bool
}

// Continuer is implemented by a Conn that can know whether the provider goes on where the last connection was left.
type Continuer interface {
	// Continues reports whether it does, if that is known. Where it is not, a cursor that was asked for has to do.
	Continues() (does, known bool)
}

// Aborter is implemented by a Conn that can be ended at once, without the goodbye of Close.
type Aborter interface {
	// Abort frees everything. It may be called at any time, and Close after it.
	Abort()
}

// EndError says why a connection ended, or why none came about.
type EndError struct {
	Kind EndKind

	// Code is the WebSocket close code or the HTTP status; 0 if there is none.
	Code int

	// Reason is what the provider said, already bounded and fit for a log.
	Reason string

	// RetryAfter is how long the provider wants to be left alone; 0 if it did not say.
	RetryAfter time.Duration

	// Hints are the header fields of an answer that may say when to come again, by their names in small letters; bounded.
	Hints map[string]string

	// Err is the cause; may be nil.
	Err error
}

// EndKind is the kind of an EndError. It is a metric label, so there are few.
type EndKind string

// The kinds of an EndError.
const (
	EndDial      EndKind = "dial"      // no connection: name, network, TLS, handshake
	EndHTTP      EndKind = "http"      // refused with an HTTP status
	EndClose     EndKind = "close"     // the provider said goodbye: what it sent before has arrived
	EndRead      EndKind = "read"      // broken off without goodbye
	EndPing      EndKind = "ping"      // no answer to a ping
	EndStall     EndKind = "stall"     // no data for the stall time
	EndProtocol  EndKind = "protocol"  // the provider broke the protocol
	EndRotation  EndKind = "rotation"  // replaced by a younger connection, by plan
	EndShutdown  EndKind = "shutdown"  // we are leaving
	EndSubscribe EndKind = "subscribe" // what is to be said first could not be said

	EndReconnect EndKind = "reconnect"    // the provider wants us to connect anew
	EndLimited   EndKind = "rate_limited" // it wants us to ask less
	EndFatal     EndKind = "fatal"        // it says that it will not serve us
)

// Error implements error.
func (e *EndError) Error() string {
	text := "connection ended: " + string(e.Kind)
	if e.Code != 0 {
		text += " " + strconv.Itoa(e.Code)
	}
	if e.Reason != "" {
		text += fmt.Sprintf(" %q", e.Reason)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *EndError) Unwrap() error { return e.Err }

// Refused reports whether the provider turned us away, so that trying again soon
// does not help: close code 1008, an HTTP status from 400 to 499 other than 408, 425 and 429, or a message that says so.
func (e *EndError) Refused() bool {
	switch e.Kind {
	case EndClose:
		return e.Code == 1008
	case EndHTTP:
		return e.Code >= 400 && e.Code < 500 && e.Code != 408 && e.Code != 425 && e.Code != 429
	case EndFatal:
		return true
	}
	return false
}

// goodbye reports whether the provider ended the connection by saying so: what it sent before has arrived.
func (e *EndError) goodbye() bool {
	switch e.Kind {
	case EndClose, EndReconnect, EndLimited, EndFatal:
		return true
	}
	return false
}

// SkipError tells of one message that a connection left out. The connection goes on.
type SkipError struct {
	Reason string // such as "too_large"; it becomes the reason of a gap record
	Bytes  int64  // size of the message, as far as it was read
	Detail string // for the log, bounded
}

// Error implements error.
func (e *SkipError) Error() string {
	return fmt.Sprintf("message of %d bytes left out: %s: %s", e.Bytes, e.Reason, e.Detail)
}

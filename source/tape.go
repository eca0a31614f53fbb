package source

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Tape is told what goes over the wire of every connection that a Source opens under the context of WithTape. Its method is called
// by several goroutines at a time, and holds the connection up while it runs.
type Tape interface {
	// Record takes one entry. It must not change Data, nor keep it.
	Record(e TapeEntry)
}

// SecretKeeper is implemented by a Tape that keeps secrets out of what it records.
type SecretKeeper interface {
	// KeepSecret tells of a secret that was found out. It may be called at any time, and more than once for one secret.
	KeepSecret(secret string)
}

// TapeEntry is one thing that happened on a connection.
type TapeEntry struct {
	Time time.Time
	Conn int64 // counts the connections of this process from 1
	Kind TapeKind

	// Data is the message, decompressed; of TapeOpen the address, without the values of its query and without credentials. An empty message is
	// a keep-alive.
	Data   []byte
	Binary bool

	// Event and ID are those of a Server-Sent Event.
	Event, ID string

	// Code is the close code, or the HTTP status; 0 if there is none. Note says in words what cannot be said otherwise: why a connection ended, or that
	// a message was left out.
	Code int
	Note string
}

// TapeKind is what a TapeEntry tells of.
type TapeKind string

// The kinds of a TapeEntry.
const (
	TapeOpen  TapeKind = "open"  // the connection is there
	TapeIn    TapeKind = "in"    // the provider sent a message
	TapeOut   TapeKind = "out"   // we did
	TapeClose TapeKind = "close" // the connection is over
)

// NoteOurs is the Note of a TapeClose where we ended the connection.
const NoteOurs = "ours"

type tapeKey struct{}

// WithTape returns a context under which connections are recorded.
func WithTape(ctx context.Context, t Tape) context.Context {
	return context.WithValue(ctx, tapeKey{}, t)
}

// TapeOf returns the Tape of a context; nil if there is none.
func TapeOf(ctx context.Context) Tape {
	t, _ := ctx.Value(tapeKey{}).(Tape)
	return t
}

type unstoredKey struct{}

// Unstored returns a context for connections whose events are stored nowhere, so that nothing is to be acknowledged.
func Unstored(ctx context.Context) context.Context {
	return context.WithValue(ctx, unstoredKey{}, true)
}

// IsUnstored reports whether Unstored returned ctx, or one above it.
func IsUnstored(ctx context.Context) bool {
	is, _ := ctx.Value(unstoredKey{}).(bool)
	return is
}

// Taping records one connection. Without a Tape it is nil, and its methods do nothing. They may be called from several goroutines.
type Taping struct {
	tape Tape
	conn int64
	over atomic.Bool
}

var tapedConnections atomic.Int64

// StartTaping tells the Tape of a context that a connection is there. It returns nil where there is no Tape.
func StartTaping(ctx context.Context, address string) *Taping {
	tape := TapeOf(ctx)
	if tape == nil {
		return nil
	}
	t := &Taping{tape: tape, conn: tapedConnections.Add(1)}
	t.record(TapeEntry{Kind: TapeOpen, Data: []byte(bareAddress(address))})
	return t
}

func (t *Taping) record(e TapeEntry) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Conn = t.conn
	t.tape.Record(e)
}

// In records a message of the provider: Time, Data, Binary, Event and ID of e count.
func (t *Taping) In(e TapeEntry) {
	if t != nil && !t.over.Load() {
		e.Kind = TapeIn
		t.record(e)
	}
}

// Out records a message of ours.
func (t *Taping) Out(data []byte, binary bool) {
	if t != nil && !t.over.Load() {
		t.record(TapeEntry{Kind: TapeOut, Data: data, Binary: binary})
	}
}

// Skipped records that a message was left out.
func (t *Taping) Skipped(skip *SkipError) {
	if t != nil {
		t.In(TapeEntry{Note: skip.Error()})
	}
}

// Ended records why the connection is over. Only what is told first counts.
func (t *Taping) Ended(err error) {
	if t == nil || t.over.Swap(true) {
		return
	}
	e := TapeEntry{Kind: TapeClose, Note: string(EndRead)}
	var end *EndError
	if errors.As(err, &end) {
		e.Code, e.Note = end.Code, strings.TrimSpace(string(end.Kind)+" "+end.Reason)
	}
	t.record(e)
}

// Left records that we end the connection, if it is not over.
func (t *Taping) Left() {
	if t != nil && !t.over.Swap(true) {
		t.record(TapeEntry{Kind: TapeClose, Note: NoteOurs})
	}
}

// bareAddress returns an address without what may be secret in it.
func bareAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.Fragment = nil, ""
	names := []string{}
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if name, _, _ := strings.Cut(part, "="); name != "" {
			names = append(names, name+"=")
		}
	}
	u.RawQuery = strings.Join(names, "&")
	return u.String()
}

package source

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/decode"
	"github.com/leatstream/leat/internal/expression"
)

// Intaking takes the messages of one connection, in their order. One goroutine uses it. Its zero value hands messages on as they are.
type Intaking struct {
	decoder *decode.Decoder // nil: there is nothing to decode
	rules   []Class
	telling bool      // somebody counts messages that are no events, too
	known   bool      // the rules say what is data
	labels  *labeler  // nil: events get none
	split   *splitter // nil: a message is one event
	limit   int
	look    expression.Look
	one     [1]leat.Event
	many    []leat.Event
	feed    *Feed // nil: nobody is told
	log     *slog.Logger
	warned  time.Time // when a warning was last told
	lost    error     // why nothing more can be decoded
}

// Taken is what a message turned out to be.
type Taken struct {
	// Events are those that it holds, in their order, with their Data, which is theirs for good. The slice is valid until the next
	// Take. None: the message is a sign of life, or the beginning of one.
	Events []leat.Event

	// Message is the message as it was decoded, for those that look into it; nil if it is not whole yet.
	Message []byte
}

// Take takes one message, which must not be changed afterwards. A *SkipError says that it is left out, an *EndError that
// the connection is over with it. Messages of no content are none; the caller drops them before.
func (t *Intaking) Take(raw []byte) (Taken, error) {
	data, err := t.decoded(raw)
	if err != nil || len(data) == 0 {
		return Taken{}, err
	}
	return t.part(data, true)
}

// Answer takes a whole answer of a provider that is asked for many messages at once, and returns it decoded. It is nothing where a rule of
// classify holds for it that makes it none of data. Errors are those of Take.
func (t *Intaking) Answer(raw []byte) ([]byte, error) {
	data, err := t.decoded(raw)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	is, err := t.is(data)
	if is != classData && is != "" {
		return nil, err
	}
	return data, nil
}

func (t *Intaking) decoded(raw []byte) ([]byte, error) {
	if t.lost != nil {
		return nil, t.lost
	}
	if t.decoder == nil {
		return raw, nil
	}
	data, err := t.decoder.Decode(raw)
	if err != nil {
		return nil, t.undecoded(raw, err)
	}
	return data, nil
}

// is returns what the rules make of a message, and what follows from it; nothing where there are rules for data, too, and none holds.
func (t *Intaking) is(data []byte) (string, error) {
	if len(t.rules) == 0 {
		return classData, nil
	}
	t.look.Reset(data)
	for i := range t.rules {
		c := &t.rules[i]
		if !c.When.Holds(&t.look) {
			continue
		}
		if c.Is == classData {
			return classData, nil
		}
		return c.Is, t.classified(c, data)
	}
	if t.known {
		return "", nil
	}
	return classData, nil
}

// part takes a message that is decoded, or what is left of it.
func (t *Intaking) part(data []byte, classify bool) (Taken, error) {
	if t.labels != nil {
		t.look.Reset(data)
		t.labels.learn(&t.look)
	}
	if classify {
		switch is, err := t.is(data); {
		case is == "" && t.feed != nil:
			t.feed.unknown()
		case is != classData && is != "":
			return Taken{Events: t.mark(is, data), Message: data}, err
		}
	}
	if t.split == nil {
		t.one[0] = leat.Event{Data: data}
		return t.labeled(Taken{Events: t.one[:], Message: data}), nil
	}
	return t.parts(data)
}

func (t *Intaking) labeled(taken Taken) Taken {
	if t.labels != nil {
		t.labels.add(t.look.Message(), taken.Events)
	}
	return taken
}

// Lost returns why nothing more can be decoded; nil if there is no such reason.
func (t *Intaking) Lost() error { return t.lost }

// Tell makes f the Feed that learns what messages say about the connection, before the first one is taken.
func (t *Intaking) Tell(f *Feed) {
	t.feed = f
	has := func(is string) bool {
		return slices.ContainsFunc(t.rules, func(c Class) bool { return c.Is == is })
	}
	f.marks(has(classCaughtUp), has(classProgress))
}

// The ids of marks: events that are none, and tell the Manager something about positions, or how many events there were. No id of a provider
// begins so.
const (
	markProgress = "\x00progress"
	markCaughtUp = "\x00caught_up"
	markCounter  = "\x00counter"
)

// isMark reports whether an event is a mark. It has no id of the settings yet.
func isMark(e *leat.Event) bool {
	return e.ID == markProgress || e.ID == markCaughtUp || isCounter(e)
}

// isCounter reports whether an event is a mark that is no data either: a sign of life with a number.
func isCounter(e *leat.Event) bool { return e.ID == markCounter }

// mark returns the mark that a message is; nil if it is none, or nobody is told.
func (t *Intaking) mark(is string, data []byte) []leat.Event {
	switch {
	case t.telling && (is == classHeartbeat || is == classAck || is == classControl):
		t.one[0] = leat.Event{ID: markCounter, Data: data}
	case t.feed == nil:
		return nil
	case is == classProgress:
		t.one[0] = leat.Event{ID: markProgress, Data: data}
	case is == classCaughtUp:
		t.one[0] = leat.Event{ID: markCaughtUp}
	default:
		return nil
	}
	return t.one[:]
}

// keptEvents is for how many events of a message the memory is kept for the next one.
const keptEvents = 4096

func (t *Intaking) parts(data []byte) (Taken, error) {
	clear(t.many)
	if cap(t.many) > keptEvents {
		t.many = nil
	}
	var err error
	if t.many, err = t.split.split(t.many[:0], data); err != nil {
		return Taken{}, &SkipError{Reason: skipLarge, Bytes: int64(len(data)), Detail: Clean("split: " + err.Error())}
	}
	return t.labeled(Taken{Events: t.many, Message: data}), nil
}

// The reasons of a SkipError.
const (
	skipLarge    = "too_large"
	skipDecode   = "decode"
	skipProvider = "provider"
)

// undecoded says that a message is left out, and remembers if all behind it are lost.
func (t *Intaking) undecoded(raw []byte, err error) error {
	skip := &SkipError{Reason: skipDecode, Bytes: int64(len(raw)), Detail: Clean(err.Error())}
	var wrong *decode.Error
	if errors.As(err, &wrong) {
		if wrong.Large {
			skip.Reason = skipLarge
		}
		if wrong.Lost {
			t.lost = &EndError{Kind: EndProtocol, Reason: Clean(err.Error())}
		}
	}
	return skip
}

// classified does what a rule says of a message that is no data.
func (t *Intaking) classified(c *Class, data []byte) error {
	switch c.Is {
	case classWarn:
		t.warn(c.why(&t.look))
	case classReplace:
		if t.feed != nil {
			t.feed.Expires(c.why(&t.look))
		}
	case classGap:
		return &SkipError{Reason: skipProvider, Bytes: int64(len(data)), Detail: c.why(&t.look)}
	case classReconnect, classFatal, classLimited:
		return c.end(&t.look)
	}
	return nil
}

// warnEvery bounds how often a connection tells a warning.
const warnEvery = 10 * time.Second

func (t *Intaking) warn(why string) {
	if now := time.Now(); now.Sub(t.warned) >= warnEvery {
		t.warned = now
		t.log.Warn("the provider warns; further warnings of this connection are not told for 10 s", "reason", why)
	}
}

// end returns why the provider ends the connection.
func (c *Class) end(l *expression.Look) *EndError {
	end := &EndError{Kind: EndReconnect, Reason: c.why(l)}
	switch c.Is {
	case classFatal:
		end.Kind = EndFatal
	case classLimited:
		end.Kind, end.RetryAfter = EndLimited, limitedPause
	}
	if text, ok := c.RetryAfter.Text(l.Message()); ok {
		if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 {
			end.RetryAfter = time.Duration(min(seconds, longestAsked.Seconds()) * float64(time.Second))
		}
	}
	return end
}

// why returns what is told of a message, fit for a log.
func (c *Class) why(l *expression.Look) string {
	if !c.Why.IsZero() {
		if text, err := c.Why.Expand(l.Message().Members(), nil); err == nil {
			return Clean(text)
		}
	}
	whole := expression.MustParse("msg")
	text, _ := whole.Text(l.Message())
	return Clean(text[:min(len(text), 1024)])
}

// Feed takes one message, which arrived at a time, and offers what it is to a Feed. The error says that the connection is over.
func (t *Intaking) Feed(ctx context.Context, f *Feed, arrived time.Time, raw []byte) (Taken, error) {
	taken, err := t.Take(raw)
	var skip *SkipError
	switch {
	case errors.As(err, &skip):
		if err = f.Skip(ctx, arrived, skip); err == nil {
			err = t.lost
		}
	case err != nil:
		f.Alive(arrived) // what came before has arrived
	case len(taken.Events) == 0:
		f.Alive(arrived)
	default:
		err = f.Offer(ctx, arrived, taken.Events...)
	}
	return taken, err
}

// Close frees what decoding needs. It may be called more than once; Take must not be called after it.
func (t *Intaking) Close() {
	if t.decoder != nil {
		t.decoder.Close()
	}
}

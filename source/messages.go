package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
)

const (
	// readSize is how much of a stream of bytes is read at once.
	readSize = 64 << 10

	// maxFrame is what a framing takes beside the content of a message.
	maxFrame = 32

	// maxDiscarded is how many bytes of a message that is too large are read past before the connection is given up.
	maxDiscarded = 1 << 30

	// Settle is for NewFeed, where a transport has no pings.
	Settle = 10 * time.Second
)

// Framing finds where the messages in a stream of bytes end. A value belongs to one connection.
type Framing interface {
	// Scan is given what follows in the stream, at least one byte. It returns how many bytes of it belong to the message that has
	// begun, and whether it ends with them. An error says how the provider broke the protocol.
	Scan(b []byte) (n int, whole bool, err error)

	// Content returns what a whole message says, a part of it. Empty: it is a keep-alive.
	Content(message []byte) []byte

	// Rest reports whether the bytes that a stream ended with are a whole message.
	Rest(b []byte) bool
}

// Messages reads messages out of a stream of bytes and offers them to a Feed. One that is too large is read past and told.
type Messages struct {
	Feed    *Feed
	Framing Framing

	// Limit is how many bytes the content of a message may have.
	Limit setting.Size

	// Silence is how long the provider may send nothing at all, not even a keep-alive. 0 or Off: for ever.
	Silence time.Duration

	// Abort ends the reading when Silence is over.
	Abort func()

	// Message takes the content of a message, which it may keep, and calls Add, Alive and Skip. Nil: it is an event, or a keep-alive if it is empty.
	Message func(ctx context.Context, content []byte) error

	// Intake takes what Take is given, and so the content of messages where there is no Message. Nil: they are events. Run closes it.
	Intake *Intaking

	// TooLarge takes the size of a message that was left out. Nil: Skip is called.
	TooLarge func(ctx context.Context, size int64) error

	chunk    Chunk
	start    int // of the message, in chunk
	at       int // up to where chunk has been scanned
	skipping bool
	size     int64        // of the message that is read past
	batch    []leat.Event // added and not yet offered
	arrived  time.Time    // when something was last read
	silent   atomic.Bool
}

// Run reads until the stream or ctx ends, and returns an *EndError.
func (m *Messages) Run(ctx context.Context, r io.Reader) error {
	timer := m.timer()
	defer timer.Stop()
	if m.Intake != nil {
		m.Intake.Tell(m.Feed)
		defer m.Intake.Close()
	}
	for {
		if err := m.scan(ctx); err != nil {
			return err
		}
		if err := m.flush(ctx); err != nil {
			return err
		}
		m.Feed.Inside(m.start < len(m.chunk) || m.skipping)
		if m.Silence > 0 {
			timer.Reset(m.Silence)
		}
		n, err := r.Read(m.chunk.Room(&m.start, readSize))
		timer.Stop()
		m.at = len(m.chunk)
		m.chunk = m.chunk[:m.at+n]
		if n > 0 {
			m.arrived = time.Now()
			m.Feed.Received(m.arrived)
		}
		if err != nil {
			return m.ended(ctx, err)
		}
	}
}

func (m *Messages) timer() *time.Timer {
	t := time.AfterFunc(time.Hour, func() {
		m.silent.Store(true)
		m.Abort()
	})
	t.Stop()
	return t
}

// ended takes what came last, and says why the stream ended.
func (m *Messages) ended(ctx context.Context, cause error) error {
	if err := m.scan(ctx); err != nil {
		return err
	}
	if m.skipping { // its end has not come, and it is too large all the same
		if err := m.tooLarge(ctx, m.size); err != nil {
			return err
		}
	}
	switch rest := m.chunk[m.start:]; {
	case m.silent.Load():
		cause = &EndError{Kind: EndStall, Reason: "nothing received for " + setting.FormatDuration(m.Silence)}
	case !errors.Is(cause, io.EOF):
		cause = &EndError{Kind: EndRead, Err: cause}
	case m.skipping, len(rest) > 0 && !m.Framing.Rest(rest):
		cause = &EndError{Kind: EndRead, Err: io.ErrUnexpectedEOF}
	default:
		cause = &EndError{Kind: EndClose}
		if len(rest) > 0 {
			if err := m.whole(ctx, len(rest)); err != nil {
				return err
			}
		}
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	m.Feed.Inside(false)
	return cause
}

// scan takes all messages that are whole.
func (m *Messages) scan(ctx context.Context) error {
	for m.at < len(m.chunk) {
		n, whole, err := m.Framing.Scan(m.chunk[m.at:])
		if err != nil {
			return m.behind(ctx, &EndError{Kind: EndProtocol, Reason: Clean(err.Error())})
		}
		m.at += n
		size := m.at - m.start
		switch {
		case m.skipping:
			m.size += int64(size)
			m.start = m.at
			err = m.skipped(ctx, whole)
		case whole:
			err = m.whole(ctx, size)
		case size > int(m.Limit)+maxFrame:
			m.skipping, m.size, m.start = true, int64(size), m.at
		}
		if err != nil {
			return m.behind(ctx, err)
		}
	}
	return nil
}

// whole takes the message of a size that begins at start.
func (m *Messages) whole(ctx context.Context, size int) error {
	message := m.chunk[m.start : m.start+size : m.start+size]
	m.start += size
	m.at = m.start
	content := m.Framing.Content(message)
	if cap(m.chunk) > ChunkSize { // the small messages behind it must not keep it
		m.chunk = append(make(Chunk, 0, ChunkSize), m.chunk[m.start:]...)
		m.start, m.at = 0, 0
	}
	switch {
	case len(content) > int(m.Limit):
		return m.tooLarge(ctx, int64(len(content)))
	case m.Message != nil:
		return m.Message(ctx, content)
	}
	if m.Feed.Tape != nil {
		m.Feed.Tape.In(TapeEntry{Time: m.arrived, Data: content})
	}
	if len(content) == 0 {
		return m.Alive(ctx)
	}
	return m.Take(ctx, leat.Event{Data: content})
}

// Take adds an event, or what the Intake makes of its Data. Of several events the last one has the Cursor, and none the ID: they are not
// the same event.
func (m *Messages) Take(ctx context.Context, e leat.Event) error {
	if m.Intake == nil {
		m.Add(e)
		return nil
	}
	taken, err := m.Intake.Take(e.Data)
	var skip *SkipError
	switch {
	case errors.As(err, &skip):
		if err := m.Skip(ctx, skip); err != nil {
			return err
		}
		return m.Intake.lost
	case err != nil:
		if late := m.Alive(ctx); late != nil {
			return late
		}
		return err
	case len(taken.Events) == 0:
		return m.Alive(ctx)
	}
	if last := &taken.Events[len(taken.Events)-1]; !isMark(last) {
		if last.Cursor = e.Cursor; len(taken.Events) == 1 {
			last.ID = e.ID
		}
	}
	for i := range taken.Events {
		m.Add(taken.Events[i])
	}
	return nil
}

// skipped goes on with a message that is read past.
func (m *Messages) skipped(ctx context.Context, whole bool) error {
	switch {
	case whole:
		m.skipping = false
		return m.tooLarge(ctx, m.size)
	case m.size > maxDiscarded:
		return errors.Join(m.tooLarge(ctx, m.size), &EndError{Kind: EndProtocol, Reason: fmt.Sprintf("a message of more than %d bytes", int64(maxDiscarded))})
	}
	return nil
}

func (m *Messages) tooLarge(ctx context.Context, size int64) error {
	if m.TooLarge != nil {
		return m.TooLarge(ctx, size)
	}
	return m.Skip(ctx, TooLarge(size, m.Limit))
}

// TooLarge returns the SkipError of a message over a limit.
func TooLarge(size int64, limit setting.Size) *SkipError {
	return &SkipError{Reason: "too_large", Bytes: size, Detail: "the limit is " + limit.String()}
}

// Add adds an event. It is offered before the next read.
func (m *Messages) Add(e leat.Event) { m.batch = append(m.batch, e) }

// Alive notes a keep-alive behind what was added.
func (m *Messages) Alive(ctx context.Context) error {
	if err := m.flush(ctx); err != nil {
		return err
	}
	m.Feed.Alive(m.arrived)
	return nil
}

// Skip tells of a message that was left out, behind what was added.
func (m *Messages) Skip(ctx context.Context, skip *SkipError) error {
	m.Feed.Tape.Skipped(skip)
	if err := m.flush(ctx); err != nil {
		return err
	}
	return m.Feed.Skip(ctx, m.arrived, skip)
}

// behind hands on what came before the end.
func (m *Messages) behind(ctx context.Context, end error) error {
	if err := m.flush(ctx); err != nil {
		return err
	}
	return end
}

func (m *Messages) flush(ctx context.Context) error {
	if len(m.batch) == 0 {
		return nil
	}
	err := m.Feed.Offer(ctx, m.arrived, m.batch...)
	clear(m.batch)
	m.batch = m.batch[:0]
	return err
}

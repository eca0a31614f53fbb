package remote

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

const (
	readPath = "/v1/read"

	// One answer holds at most so much, whatever limit the client names, or one record: what 1,000 readers have in
	// hand must stay bounded.
	maxAnswerRecords = 10_000
	maxAnswerBytes   = 1 << 20
)

type readArgs struct {
	Stream string
	Shard  leat.ShardID
	From   stream.Position
}

// ask is a line of the client of a reader.
type ask struct {
	Limit     stream.Limit `json:"limit,omitzero"`
	Interrupt bool         `json:"interrupt,omitempty"` // take back the ask that is not yet answered
}

// answer is what Next returned, or that it was interrupted.
type answer struct {
	Records     []wireRecord  `json:"records,omitempty"`
	Behind      time.Duration `json:"behind,omitempty"` // nanoseconds
	Error       *wireError    `json:"error,omitempty"`
	Interrupted bool          `json:"interrupted,omitempty"`
}

var longAgo = time.Unix(1, 0)

// read serves one reader from its opening to its end.
func (s *server) read(w http.ResponseWriter, r *http.Request) {
	t := &tail{control: http.NewResponseController(w), lines: bufio.NewScanner(r.Body), answers: encoder(w)}
	w.Header().Set("Connection", "close")
	defer t.hangUp()
	defer s.readers.Add(-1)
	err := t.control.EnableFullDuplex()
	if s.readers.Add(1) > maxReaders {
		err = fmt.Errorf("read: %d readers are open, and no more are served", maxReaders)
	}
	if err == nil {
		err = t.open(r.Context(), s.engine)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	defer t.reader.Close()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if t.control.Flush() == nil {
		t.run(r.Context())
	}
}

// tail is the server's end of one reader. It belongs to the goroutine of the request, which reads what the client sends, but
// while an ask is answered, reader and answers belong to the goroutine that answers it.
type tail struct {
	control *http.ResponseController
	lines   *bufio.Scanner
	reader  stream.Reader
	answers *json.Encoder
	asked   atomic.Bool // an ask is not yet answered
}

// open reads the first line and does what it says.
func (t *tail) open(ctx context.Context, e Engine) error {
	_ = t.control.SetReadDeadline(time.Now().Add(transferTime))
	if !t.lines.Scan() {
		return fmt.Errorf("read: %w: the first line is missing: %w", stream.ErrInvalid, cmp.Or(t.lines.Err(), io.ErrUnexpectedEOF))
	}
	_ = t.control.SetReadDeadline(time.Time{})
	var at readArgs
	err := parse(t.lines.Bytes(), &at)
	if err == nil {
		t.reader, err = e.Read(ctx, at.Stream, at.Shard, at.From)
	}
	return err
}

// hangUp makes every read of what the client sends fail, now and from now on: the one under way in run, and that of
// the HTTP server, which would wait for the rest behind the end of the request.
func (t *tail) hangUp() { _ = t.control.SetReadDeadline(longAgo) }

// run answers until the client or ctx ends it. A client that only ends its side still gets the answer that is due.
func (t *tail) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, t.hangUp)
	defer stop()
	var answering sync.WaitGroup
	defer answering.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	interrupt := end
	for t.lines.Scan() {
		var a ask
		if err := json.Unmarshal(t.lines.Bytes(), &a); err != nil {
			return
		}
		if a.Interrupt {
			interrupt()
			continue
		}
		if !t.asked.CompareAndSwap(false, true) {
			return // it does not wait for its answers
		}
		answering.Wait() // for the last few instructions
		next, done := context.WithCancel(ctx)
		interrupt = done
		answering.Go(func() {
			defer done()
			t.answer(next, a.Limit)
		})
	}
	if t.lines.Err() == nil {
		answering.Wait()
	}
}

// answer calls Next and sends what it returns.
func (t *tail) answer(ctx context.Context, limit stream.Limit) {
	limit = limit.WithDefaults()
	limit.Records = min(limit.Records, maxAnswerRecords)
	limit.Bytes = min(limit.Bytes, maxAnswerBytes)
	batch, err := t.reader.Next(ctx, limit)
	a := answer{Records: packEach(batch.Records, packRecord), Behind: batch.Behind}
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		a = answer{Interrupted: true}
	case err != nil:
		a = answer{Error: packError(err)}
	}
	t.asked.Store(false) // before the client can know
	_ = t.control.SetWriteDeadline(time.Now().Add(transferTime))
	if err := t.answers.Encode(a); err != nil || t.control.Flush() != nil {
		t.hangUp()
	}
}

package remote

import (
	"errors"
	"io"
	"net/http"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// sentinels are the errors that keep their identity on the way.
var sentinels = []struct {
	word   string
	err    error
	status int
}{
	{"no_stream", stream.ErrNoStream, http.StatusNotFound},
	{"no_shard", stream.ErrNoShard, http.StatusNotFound},
	{"exists", stream.ErrExists, http.StatusConflict},
	{"fenced", stream.ErrFenced, http.StatusConflict},
	{"too_large", stream.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{"invalid", stream.ErrInvalid, http.StatusBadRequest},
	{"read_only", stream.ErrReadOnly, http.StatusForbidden},
	{"full", stream.ErrFull, http.StatusInsufficientStorage},
	{"stopped", stream.ErrStopped, http.StatusServiceUnavailable},
	{"eof", io.EOF, http.StatusInternalServerError}, // the end of a shard
}

// wireError is an error on its way. An error of a context has no word: the client judges its own.
type wireError struct {
	Text    string       `json:"error"`
	Is      []string     `json:"is,omitempty"` // the words of the sentinels that it wraps
	Gap     *wireGap     `json:"gap,omitempty"`
	Partial *wirePartial `json:"partial,omitempty"`
}

type wireGap struct {
	Stream string              `json:"stream"`
	Shard  leat.ShardID        `json:"shard"`
	From   leat.SequenceNumber `json:"from"`
	To     leat.SequenceNumber `json:"to"`
	Count  int64               `json:"count,omitempty"`
	Reason stream.GapReason    `json:"reason"`
	Cause  *wireError          `json:"cause,omitempty"`
}

type wirePartial struct {
	Refused [][]int    `json:"refused"`
	Err     *wireError `json:"err,omitempty"`
}

func packError(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			w.Is = append(w.Is, s.word)
		}
	}
	if gap := (*stream.GapError)(nil); errors.As(err, &gap) {
		w.Gap = &wireGap{
			Stream: gap.Stream, Shard: gap.Shard, From: gap.From, To: gap.To, Count: gap.Count, Reason: gap.Reason, Cause: packError(gap.Cause),
		}
	}
	if partial := (*stream.PartialError)(nil); errors.As(err, &partial) {
		w.Partial = &wirePartial{Refused: partial.Refused, Err: packError(partial.Err)}
	}
	return w
}

// status is the HTTP status that says most about w.
func (w *wireError) status() int {
	for _, s := range sentinels {
		for _, word := range w.Is {
			if word == s.word {
				return s.status
			}
		}
	}
	return http.StatusInternalServerError
}

// unpack returns the error that w was: its text, and for errors.Is and errors.As what it wrapped of the contract. An error
// that wrapped nothing but had the very text of a sentinel, a gap or a partial refusal is that value itself.
func (w *wireError) unpack() error {
	if w == nil {
		return nil
	}
	var causes []error
	if g := w.Gap; g != nil {
		causes = append(causes, &stream.GapError{
			Stream: g.Stream, Shard: g.Shard, From: g.From, To: g.To, Count: g.Count, Reason: g.Reason, Cause: g.Cause.unpack(),
		})
	}
	if p := w.Partial; p != nil {
		causes = append(causes, &stream.PartialError{Refused: p.Refused, Err: p.Err.unpack()})
	}
	for _, s := range sentinels {
		for _, word := range w.Is {
			if word == s.word {
				causes = append(causes, s.err)
			}
		}
	}
	for _, cause := range causes {
		if cause.Error() == w.Text {
			return cause
		}
	}
	return &failure{text: w.Text, causes: causes}
}

// failure is an error of the engine as the client sees it.
type failure struct {
	text   string
	causes []error
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Unwrap returns what of the contract the error wrapped.
func (f *failure) Unwrap() []error { return f.causes }

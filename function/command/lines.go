package command

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/internal/jsontext"
	"github.com/leatstream/leat/stream"
)

// answers returns how many lines a call is answered with.
func answers(in *function.Input) int {
	if in.Window != nil {
		return len(in.Batch.Records) + 1
	}
	return len(in.Batch.Records)
}

// input appends the lines of a call.
func (c *Config) input(buf []byte, in *function.Input) []byte {
	if w := in.Window; w != nil {
		buf = w.Start.UTC().AppendFormat(append(buf, `{"window":{"start":"`...), time.RFC3339)
		buf = w.End.UTC().AppendFormat(append(buf, `","end":"`...), time.RFC3339)
		buf = strconv.AppendBool(append(buf, `","final":`...), w.Final)
		buf = strconv.AppendBool(append(buf, `,"early":`...), w.Early)
		buf = append(buf, `},"state":`...)
		if w.State == nil {
			buf = append(buf, "{}"...)
		} else {
			buf = appendLine(buf, w.State)
		}
		buf = strconv.AppendInt(append(buf, `,"records":`...), int64(len(in.Batch.Records)), 10)
		buf = append(buf, "}\n"...)
	}
	for i := range in.Batch.Records {
		buf = c.record(buf, &in.Batch.Records[i])
	}
	return buf
}

func (c *Config) record(buf []byte, r *leat.Record) []byte {
	buf, _ = r.Sequence.AppendText(append(buf, `{"sequence":"`...)) // which never fails
	buf = jsontext.AppendString(append(buf, `","key":`...), r.PartitionKey)
	buf = r.Arrived.UTC().AppendFormat(append(buf, `,"arrived":"`...), "2006-01-02T15:04:05.000Z")
	if c.Payload != "base64" && json.Valid(r.Data) {
		buf = appendLine(append(buf, `","data":`...), r.Data)
	} else {
		buf = base64.StdEncoding.AppendEncode(append(buf, `","data_base64":"`...), r.Data)
		buf = append(buf, '"')
	}
	return append(buf, "}\n"...)
}

// appendLine appends JSON on one line. Without line feeds, which it can have only between its parts, it stays byte for byte.
func appendLine(buf, text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return append(buf, text...)
	}
	for _, b := range text {
		if b == '\n' || b == '\r' {
			b = ' '
		}
		buf = append(buf, b)
	}
	return buf
}

// answer is one line of the program.
type answer struct {
	Error *string         `json:"error"`
	Put   []put           `json:"put"`
	State json.RawMessage `json:"state"`
}

type put struct {
	Stream string          `json:"stream"`
	Key    *string         `json:"key"`
	Data   json.RawMessage `json:"data"`
	Base64 []byte          `json:"data_base64"`
}

// result reads the lines of a call. The error is for the consumer to repeat.
func (c *Config) result(in *function.Input, lines [][]byte) (r function.Result, err error) {
	if in.Window != nil {
		last := len(lines) - 1
		if r.State, err = state(in.Window, lines[last]); err != nil {
			return function.Result{}, err
		}
		lines = lines[:last]
	}
	for i, line := range lines {
		rec := &in.Batch.Records[i]
		line = bytes.TrimSpace(line)
		if c.Output != "" {
			if len(line) > 0 {
				r.Puts = appendPut(r.Puts, c.Output, leat.Event{PartitionKey: rec.PartitionKey, Data: line})
			}
			continue
		}
		a, err := read(line)
		if err != nil || a.State != nil {
			return function.Result{}, fmt.Errorf("the answer to a record is wrong: %.200q: %w", line, errors.Join(err, unexpected(a.State)))
		}
		switch {
		case a.Error != nil:
			if r.Failed == nil {
				r.Reason = (&function.Error{Message: *a.Error}).Trim().Message
			}
			r.Failed = append(r.Failed, rec.Sequence)
		case r.Failed == nil: // what stems from records behind one that failed comes again
			if r.Puts, err = a.puts(r.Puts, rec); err != nil {
				return function.Result{}, fmt.Errorf("the answer to a record is wrong: %.200q: %w", line, err)
			}
		}
	}
	return r, nil
}

func unexpected(state json.RawMessage) error {
	if state == nil {
		return nil
	}
	return errors.New("a state answers a window, not a record")
}

// read reads one line, in which every member must be known.
func read(line []byte) (a answer, err error) {
	if len(line) == 0 {
		return a, nil
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return answer{}, err
	}
	if d.More() {
		return answer{}, errors.New("more than one value")
	}
	return a, nil
}

// state reads the line that answers a window.
func state(w *function.Window, line []byte) ([]byte, error) {
	a, err := read(bytes.TrimSpace(line))
	if err != nil || a.Error != nil || a.Put != nil {
		return nil, fmt.Errorf("the answer to a window is wrong: %.200q: expected a state", line)
	}
	if len(a.State) > 0 && a.State[0] == '{' {
		return slices.Clone(a.State), nil
	}
	if w.Final || w.Early {
		return nil, nil
	}
	return nil, errors.New("the answer to a window has no state, which is an object, and the window goes on")
}

func (a *answer) puts(puts []stream.Put, rec *leat.Record) ([]stream.Put, error) {
	for _, p := range a.Put {
		event := leat.Event{PartitionKey: rec.PartitionKey, Data: p.Data}
		if p.Key != nil {
			event.PartitionKey = *p.Key
		}
		if p.Base64 != nil {
			event.Data = p.Base64
		}
		if p.Stream == "" || p.Data == nil && p.Base64 == nil || p.Data != nil && p.Base64 != nil {
			return nil, errors.New("what is put needs a stream, and one of data and data_base64")
		}
		puts = appendPut(puts, p.Stream, event)
	}
	return puts, nil
}

// appendPut appends an event to the puts, in one put with the event before if both are for one stream.
func appendPut(puts []stream.Put, to string, event leat.Event) []stream.Put {
	if n := len(puts); n > 0 && puts[n-1].Stream == to {
		puts[n-1].Events = append(puts[n-1].Events, event)
		return puts
	}
	return append(puts, stream.Put{Stream: to, Events: []leat.Event{event}})
}

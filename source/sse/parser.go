package sse

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
)

// parser makes events of lines, by the rules of WHATWG HTML §9.2.6. The reading goroutine owns it.
type parser struct {
	config    *Config
	out       *source.Messages
	beginning bool          // of the stream: a byte order mark may come
	retry     time.Duration // what the provider asked for last

	// The event that has begun.
	begun bool   // there are fields
	data  []byte // of its lines
	lines int    // of data
	kind  string
	id    string
	hasID bool
	over  int64 // bytes of an event that is too large; 0: it is not
}

func newParser(config *Config, abort func()) *parser {
	p := &parser{config: config, beginning: true}
	p.out = &source.Messages{
		Feed: source.NewFeed(source.Settle), Framing: &lines{}, Limit: config.MaxMessage + maxName,
		Silence: config.Silence, Abort: abort, Message: p.line, TooLarge: p.tooLarge,
	}
	return p
}

// line takes one line without its end; nil is none.
func (p *parser) line(ctx context.Context, line []byte) error {
	if p.beginning && line != nil {
		p.beginning = false
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	switch {
	case line == nil:
		return nil
	case len(line) == 0:
		return p.dispatch(ctx)
	case line[0] == ':':
		if p.begun {
			return nil
		}
		p.out.Feed.Tape.In(source.TapeEntry{})
		return p.out.Alive(ctx)
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	p.begun = true
	switch string(name) {
	case "data":
		p.add(value)
	case "event":
		p.kind = strings.ToValidUTF8(string(value), "�")
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.id, p.hasID = string(value), true
		}
	case "retry":
		if n, err := strconv.ParseUint(string(value), 10, 31); err == nil && value[0] != '+' {
			p.retry = time.Duration(n) * time.Millisecond
		}
	}
	return nil
}

// add adds a line of data. One line alone stays where it is in memory.
func (p *parser) add(value []byte) {
	p.lines++
	switch {
	case p.over > 0:
		p.over += int64(len(value))
	case len(p.data)+min(p.lines-1, 1)+len(value) > int(p.config.MaxMessage):
		p.over, p.data = int64(len(p.data)+1+len(value)), nil
	case p.lines == 1:
		p.data = value[:len(value):len(value)]
	default:
		p.data = append(append(p.data, '\n'), value...)
	}
}

// tooLarge takes the size of a line that was left out: with it goes its event.
func (p *parser) tooLarge(_ context.Context, size int64) error {
	p.beginning, p.begun = false, true
	p.over += int64(len(p.data)) + size
	p.data = nil
	return nil
}

// dispatch ends the event.
func (p *parser) dispatch(ctx context.Context) error {
	q := *p
	p.begun, p.data, p.lines, p.kind, p.id, p.hasID, p.over = false, nil, 0, "", "", false, 0
	kind := cmp.Or(q.kind, "message")
	if q.over > 0 {
		return p.out.Skip(ctx, source.TooLarge(q.over, p.config.MaxMessage))
	}
	p.out.Feed.Tape.In(source.TapeEntry{Data: q.data, Event: q.kind, ID: q.id})
	switch {
	case slices.Contains(p.config.EndEvents, kind):
		return &source.EndError{Kind: source.EndClose, Reason: source.Clean(kind + " " + string(q.data))}
	case q.lines == 0, len(p.config.Events) > 0 && !slices.Contains(p.config.Events, kind):
		return p.out.Alive(ctx)
	case len(q.data) == 0 && !p.config.Envelope:
		p.out.Feed.Empty()
		return nil
	}
	e := leat.Event{Data: q.data}
	if p.config.Envelope {
		e.Data = q.envelope(kind)
	}
	if q.hasID && p.config.ID != "none" && sendable(q.id) {
		e.Cursor = leat.Cursor(q.id)
		if p.config.ID == "event_id" {
			e.ID = q.id
		}
	}
	return p.out.Take(ctx, e)
}

// sendable reports whether an id can stand in a header field.
func sendable(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// envelope returns the event as JSON.
func (p *parser) envelope(kind string) []byte {
	out := make([]byte, 0, len(p.data)+len(kind)+len(p.id)+40)
	out = append(out, `{"event":`...)
	out = quote(out, kind)
	if p.hasID {
		out = append(out, `,"id":`...)
		out = quote(out, p.id)
	}
	out = append(out, `,"data":`...)
	if json.Valid(p.data) {
		out = append(out, p.data...)
	} else {
		out = quote(out, string(p.data))
	}
	return append(out, '}')
}

func quote(out []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text
	}
	return append(out, quoted...)
}

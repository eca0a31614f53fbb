package remote

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// wireCommit is a stream.Commit on its way.
type wireCommit struct {
	Puts   []wirePut   `json:"puts,omitempty"`
	State  []wireEntry `json:"state,omitempty"`
	Marks  []wireSwap  `json:"marks,omitempty"`
	Placed bool        `json:"placed,omitempty"`
}

type wirePut struct {
	Stream string      `json:"stream"`
	Source string      `json:"source,omitempty"`
	Raw    bool        `json:"raw,omitempty"` // of Source; see pack
	Events []wireEvent `json:"events"`
}

// wireEvent lacks the cursor of the event, which no engine stores.
type wireEvent struct {
	ID   string     `json:"id,omitempty"`
	Key  string     `json:"key,omitempty"`
	Raw  bool       `json:"raw,omitempty"` // of ID and Key; see pack
	Hash *leat.Hash `json:"hash,omitempty"`
	Time *int64     `json:"time,omitempty"` // Unix milliseconds
	Data []byte     `json:"data,omitempty"`
}

type wireEntry struct {
	Key   string `json:"key"`
	Raw   bool   `json:"raw,omitempty"`
	Value []byte `json:"value"` // null deletes
}

type wireMark struct {
	Key   string `json:"key"`
	Raw   bool   `json:"raw,omitempty"`
	Epoch uint64 `json:"epoch"`
	Value []byte `json:"value"` // null deletes
}

type wireSwap struct {
	wireMark
	Was uint64 `json:"was"`
}

// keyArgs are the arguments of load, list and state: a key or the beginning of one.
type keyArgs struct {
	Key string `json:"key"`
	Raw bool   `json:"raw,omitempty"`
}

// wireRecord is a leat.Record on its way.
type wireRecord struct {
	Sequence leat.SequenceNumber `json:"seq"`
	Key      string              `json:"key,omitempty"`
	Source   string              `json:"source,omitempty"`
	ID       string              `json:"id,omitempty"`
	Raw      bool                `json:"raw,omitempty"` // of Key, Source and ID; see pack
	Hash     *leat.Hash          `json:"hash,omitempty"`
	Arrived  int64               `json:"arrived"`        // Unix milliseconds
	Time     *int64              `json:"time,omitempty"` // Unix milliseconds
	Data     []byte              `json:"data,omitempty"`
}

// pack makes fields fit for JSON, which holds text and not bytes: if one of them is no UTF-8, or would
// grow sixfold because of control characters, all become base64 and pack reports true.
func pack(fields ...*string) bool {
	plain := true
	for _, f := range fields {
		plain = plain && isPlain(*f)
	}
	if plain {
		return false
	}
	for _, f := range fields {
		*f = base64.StdEncoding.EncodeToString([]byte(*f))
	}
	return true
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' {
			return false
		}
	}
	return utf8.ValidString(s)
}

// unpack undoes pack; raw is what pack reported.
func unpack(raw bool, fields ...*string) error {
	for _, f := range fields {
		if !raw {
			return nil
		}
		b, err := base64.StdEncoding.DecodeString(*f)
		if err != nil {
			return fmt.Errorf("%w: %q is marked as base64: %w", stream.ErrInvalid, *f, err)
		}
		*f = string(b)
	}
	return nil
}

func packEach[T, W any](list []T, pack func(T) W) []W {
	out := make([]W, len(list))
	for i := range list {
		out[i] = pack(list[i])
	}
	return out
}

func unpackEach[W, T any](list []W, unpack func(*W) (T, error)) ([]T, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]T, len(list))
	for i := range list {
		var err error
		if out[i], err = unpack(&list[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func packCommit(c *stream.Commit) wireCommit {
	return wireCommit{
		Puts: packEach(c.Puts, packPut), State: packEach(c.State, packEntry), Marks: packEach(c.Marks, packSwap), Placed: c.Placed,
	}
}

func (w *wireCommit) commit() (c stream.Commit, err error) {
	c.Placed = w.Placed
	if c.Puts, err = unpackEach(w.Puts, (*wirePut).put); err != nil {
		return c, err
	}
	if c.State, err = unpackEach(w.State, (*wireEntry).entry); err != nil {
		return c, err
	}
	c.Marks, err = unpackEach(w.Marks, (*wireSwap).swap)
	return c, err
}

func packPut(p stream.Put) wirePut {
	w := wirePut{Stream: p.Stream, Source: p.Source, Events: packEach(p.Events, packEvent)}
	w.Raw = pack(&w.Source)
	return w
}

func (w *wirePut) put() (stream.Put, error) {
	if err := unpack(w.Raw, &w.Source); err != nil {
		return stream.Put{}, err
	}
	events, err := unpackEach(w.Events, (*wireEvent).event)
	return stream.Put{Stream: w.Stream, Source: w.Source, Events: events}, err
}

func packEvent(e leat.Event) wireEvent {
	w := wireEvent{ID: e.ID, Key: e.PartitionKey, Hash: e.HashKey, Time: packTime(e.Time), Data: e.Data}
	w.Raw = pack(&w.ID, &w.Key)
	return w
}

func (w *wireEvent) event() (leat.Event, error) {
	err := unpack(w.Raw, &w.ID, &w.Key)
	return leat.Event{ID: w.ID, PartitionKey: w.Key, HashKey: w.Hash, Time: unpackTime(w.Time), Data: w.Data}, err
}

func packTime(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func unpackTime(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms)
}

func packEntry(e stream.Entry) wireEntry {
	w := wireEntry{Key: e.Key, Value: e.Value}
	w.Raw = pack(&w.Key)
	return w
}

func (w *wireEntry) entry() (stream.Entry, error) {
	err := unpack(w.Raw, &w.Key)
	return stream.Entry{Key: w.Key, Value: w.Value}, err
}

func packMark(m stream.Mark) wireMark {
	w := wireMark{Key: m.Key, Epoch: m.Epoch, Value: m.Value}
	w.Raw = pack(&w.Key)
	return w
}

func (w *wireMark) mark() (stream.Mark, error) {
	err := unpack(w.Raw, &w.Key)
	return stream.Mark{Key: w.Key, Epoch: w.Epoch, Value: w.Value}, err
}

func packSwap(s stream.Swap) wireSwap { return wireSwap{wireMark: packMark(s.Mark), Was: s.Was} }

func (w *wireSwap) swap() (stream.Swap, error) {
	m, err := w.mark()
	return stream.Swap{Mark: m, Was: w.Was}, err
}

func packKey(key string) keyArgs {
	a := keyArgs{Key: key}
	a.Raw = pack(&a.Key)
	return a
}

func (a keyArgs) key() (string, error) {
	err := unpack(a.Raw, &a.Key)
	return a.Key, err
}

func packRecord(r leat.Record) wireRecord {
	w := wireRecord{
		Sequence: r.Sequence, Key: r.PartitionKey, Source: r.Source, ID: r.ID, Hash: r.HashKey,
		Arrived: r.Arrived.UnixMilli(), Time: packTime(r.Time), Data: r.Data,
	}
	w.Raw = pack(&w.Key, &w.Source, &w.ID)
	return w
}

func (w *wireRecord) record() (leat.Record, error) {
	err := unpack(w.Raw, &w.Key, &w.Source, &w.ID)
	return leat.Record{
		Sequence: w.Sequence, PartitionKey: w.Key, HashKey: w.Hash, Source: w.Source, ID: w.ID,
		Arrived: time.UnixMilli(w.Arrived), Time: unpackTime(w.Time), Data: w.Data,
	}, err
}

// encoder leaves <, > and & as they are: nobody puts this into a web page.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

package producer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// window remembers the identities of the events of the last while. It keeps 128 bits of each, under a seed of its own, so that
// two different identities are as good as never taken for one.
type window struct {
	limit Remember
	seeds [2]maphash.Seed
	known index
	head  uint64 // number of the oldest entry
	next  uint64 // number of the next entry; its place in the ring is the number modulo the length
}

type identity [2]uint64

type entry struct {
	id identity
	at int64 // Unix milliseconds
}

func newWindow(limit Remember) *window {
	return &window{limit: limit, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// add remembers id, which was seen at a time in Unix milliseconds, and reports whether it is new.
func (w *window) add(id string, now int64) bool {
	key := identity{maphash.String(w.seeds[0], id), maphash.String(w.seeds[1], id)}
	if w.known.has(key) {
		return false
	}
	w.forget(now)
	if w.len() == len(w.known.ring) {
		w.known.grow(w.head, w.next)
	}
	w.known.add(w.next, entry{key, now})
	w.next++
	return true
}

// forget drops what is too old or too much.
func (w *window) forget(now int64) {
	oldest := now - w.limit.Window.Milliseconds()
	for w.head < w.next && (w.len() >= w.limit.Events || w.known.at(w.head).at < oldest) {
		w.known.drop(w.head)
		w.head++
	}
}

func (w *window) len() int { return int(w.next - w.head) }

// rebuild fills a window from the tail of the stream: there is no second memory that could disagree with it. It looks back
// in growing steps, so that a fast stream is not read for as long as the window is wide.
func rebuild(ctx context.Context, p *Producer) (*window, error) {
	now := time.Now()
	for span := p.Remember.Window / 64; ; span *= 4 {
		span = min(max(span, time.Second), p.Remember.Window)
		w := newWindow(p.Remember)
		whole, err := w.fill(ctx, p, now.Add(-span))
		if err != nil {
			return nil, fmt.Errorf("rebuild the de-duplication window of source %q: %w", p.Source, err)
		}
		if whole || w.len() >= p.Remember.Events || span == p.Remember.Window {
			return w, nil
		}
	}
}

// fill adds what arrived since a time. whole reports that there was nothing before it.
func (w *window) fill(ctx context.Context, p *Producer, since time.Time) (whole bool, err error) {
	shards, err := p.Engine.Shards(ctx, p.Stream)
	if err != nil {
		return false, err
	}
	var readers []*tail
	defer func() {
		for _, t := range readers {
			_ = t.reader.Close()
		}
	}()
	for i := range shards {
		r, err := p.Engine.Read(ctx, p.Stream, shards[i].ID, stream.AtTime(since))
		if errors.Is(err, stream.ErrNoShard) {
			continue // it expired meanwhile
		}
		if err != nil {
			return false, err
		}
		readers = append(readers, &tail{reader: r})
	}
	for {
		oldest, err := next(ctx, readers)
		if err != nil || oldest == nil {
			return false, err
		}
		for oldest.pos < len(oldest.records) { // a whole run: the order within a millisecond does not matter
			r := &oldest.records[oldest.pos]
			oldest.pos++
			if r.Source == p.Source && r.ID != "" {
				w.add(r.ID, r.Arrived.UnixMilli())
			}
		}
	}
}

// tail reads one shard to its end.
type tail struct {
	reader  stream.Reader
	records []leat.Record
	pos     int
	ended   bool
}

// next returns the tail whose next record is the oldest, or nil if all have ended.
func next(ctx context.Context, tails []*tail) (*tail, error) {
	var oldest *tail
	for _, t := range tails {
		if err := t.fill(ctx); err != nil {
			return nil, err
		}
		if !t.ended && (oldest == nil || t.records[t.pos].Arrived.Before(oldest.records[oldest.pos].Arrived)) {
			oldest = t
		}
	}
	return oldest, nil
}

func (t *tail) fill(ctx context.Context) error {
	for !t.ended && t.pos == len(t.records) {
		b, err := t.reader.Next(ctx, stream.Limit{Records: 1000, NoWait: true})
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			continue // what is lost cannot be a duplicate
		case errors.Is(err, io.EOF), err == nil && len(b.Records) == 0:
			t.ended = true
		case err != nil:
			return err
		}
		t.records, t.pos = b.Records, 0
	}
	return nil
}

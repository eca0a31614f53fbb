package producer

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// lookBack is how many records of other sources are read at most for the sake of what lies further back than the window is
// wide, and how many in a row behind the moment up to which the source was covered. It takes about a second.
const lookBack = 1_000_000

// rebuild fills a window from the tail of the stream: there is no second memory that could disagree with it. It looks back from
// where the source was heard from last, in growing steps, so that a fast stream is not read for as long as the window is wide:
// until the clock of the window has run for that long, the window is full, or there is nothing older.
func rebuild(ctx context.Context, p *Producer) (*window, error) {
	w, err := (&past{Producer: p, limit: lookBack}).window(ctx)
	if err != nil {
		return nil, fmt.Errorf("rebuild the de-duplication window of source %q: %w", p.Source, err)
	}
	return w, nil
}

// past reads what a stream holds.
type past struct {
	*Producer
	limit int       // lookBack
	until time.Time // when the source was heard from last, as far as that is known before reading
}

func (p *past) window(ctx context.Context) (*window, error) {
	found := newWindow(p.Remember)
	begin, err := p.begin(ctx)
	if err != nil || begin.IsZero() {
		return found, err
	}
	p.until = time.Now()
	if covered := p.mark.Covered; !covered.IsZero() && covered.Before(p.until) {
		p.until = covered
	}
	for step := 0; ; step++ {
		since := p.until.Add(-p.span(step))
		w, err := p.read(ctx, since, step > wide)
		if err != nil || w == nil {
			return found, err
		}
		found = w
		if w.len() >= p.Remember.Events || w.clock >= p.Remember.Window || !since.After(begin) {
			return found, nil
		}
	}
}

// wide is the step that reads a little more than the window is wide: enough if the source was heard from all the time.
const wide = 3

// span is how far a step looks back, four times as far as the one before it.
func (p *past) span(step int) time.Duration {
	if step < wide {
		return max(p.Remember.Window>>(2*(wide-step)), time.Second)
	}
	return p.Remember.Window<<(2*(step-wide)) + 2*heard
}

// begin returns when the oldest record of the stream arrived, zero if there is none.
func (p *past) begin(ctx context.Context) (first time.Time, err error) {
	all, err := p.tails(ctx, stream.Oldest(), 1)
	defer all.close()
	if err == nil && len(all) > 0 {
		first = all[0].head().Arrived
	}
	return first, err
}

// read returns the window that results from what arrived since a time. Nil: there is so much of other sources before
// until that it has given up, which it does only if it is bounded.
func (p *past) read(ctx context.Context, since time.Time, bounded bool) (*window, error) {
	w := newWindow(p.Remember)
	open, err := p.tails(ctx, stream.AtTime(since), 1000)
	defer func() { open.close() }()
	if err != nil {
		return nil, err
	}
	before, behind := 0, 0 // records of others
	for len(open) > 0 && behind <= p.limit {
		t, end := open[0], open.second()
		for t.pos < len(t.records) && (end.IsZero() || !t.head().Arrived.After(end)) {
			r := t.head()
			t.pos++
			switch {
			case r.Source == p.Source:
				behind = 0
				w.tick(r.Arrived)
				if r.ID != "" {
					w.add(r.ID)
				}
			case r.Arrived.Before(p.until):
				before++
			default:
				behind++
			}
		}
		if bounded && before > p.limit {
			return nil, nil
		}
		if err := t.fill(ctx); err != nil {
			return nil, err
		}
		if t.ended {
			_ = heap.Pop(&open).(*tail).reader.Close()
		} else {
			heap.Fix(&open, 0)
		}
	}
	return w, nil
}

// tails opens all shards at a position and returns those that have records there. What it returns is to be closed also after an error.
func (p *past) tails(ctx context.Context, from stream.Position, batch int) (tails, error) {
	engine, name := p.Engine, p.Stream
	if r, ok := engine.(stream.Recaller); ok {
		engine, name = r.Recall(name)
	}
	shards, err := engine.Shards(ctx, name)
	if err != nil {
		return nil, err
	}
	batch = min(batch, 10+100_000/max(1, len(shards)))
	var all tails
	for i := range shards {
		r, err := engine.Read(ctx, name, shards[i].ID, from)
		if errors.Is(err, stream.ErrNoShard) {
			continue // it expired meanwhile
		}
		if err != nil {
			return all, err
		}
		t := &tail{reader: r, batch: batch}
		if err := t.fill(ctx); err != nil || t.ended {
			_ = r.Close()
			if err != nil {
				return all, err
			}
			continue
		}
		all = append(all, t)
	}
	heap.Init(&all)
	return all, nil
}

// tail reads one shard to its end.
type tail struct {
	reader  stream.Reader
	batch   int
	records []leat.Record
	pos     int
	ended   bool
}

// head is the next record, which is there unless the tail has ended.
func (t *tail) head() *leat.Record { return &t.records[t.pos] }

// fill sees to it that there is a next record.
func (t *tail) fill(ctx context.Context) error {
	for !t.ended && t.pos == len(t.records) {
		b, err := t.reader.Next(ctx, stream.Limit{Records: t.batch, NoWait: true})
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

// tails is a heap of those that have not ended, by the arrival of their next record.
type tails []*tail

// second returns the arrival of the oldest record outside of the first tail, zero if there is only one.
func (t tails) second() time.Time {
	switch {
	case len(t) < 2:
		return time.Time{}
	case len(t) == 2 || t.Less(1, 2):
		return t[1].head().Arrived
	}
	return t[2].head().Arrived
}

func (t tails) close() {
	for _, tail := range t {
		_ = tail.reader.Close()
	}
}

func (t tails) Len() int           { return len(t) }
func (t tails) Less(i, j int) bool { return t[i].head().Arrived.Before(t[j].head().Arrived) }
func (t tails) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *tails) Push(x any)        { *t = append(*t, x.(*tail)) }
func (t *tails) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

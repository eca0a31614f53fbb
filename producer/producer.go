package producer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/filter"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
)

// Producer takes the events of one source to one stream. It drops events that the stream already has, and those that its filter does not let pass, gathers
// concurrent puts into one commit, and moves the source's mark in the same commit. Fill the exported
// fields, call Begin once, then Put from any number of goroutines.
type Producer struct {
	Engine stream.Engine
	Stream string // where the events go
	Source string // who delivers them; the mark and the identities of the events belong to it

	// Gaps is the stream for a record of every event that is too large for the stream; empty: such an event is only logged and counted.
	Gaps string

	Settings Settings

	// Filtering says which events are stored.
	Filtering Filtering

	// Remember says how long and how many identities are remembered. Zero Events: none are, and nothing is dropped.
	Remember Remember

	Log *slog.Logger // nil: slog.Default

	stats counters
	slot  chan struct{} // holds the right to commit

	mu       sync.Mutex
	window   *window
	queue    []*gathering          // what is not durable yet, the oldest first; only the last one takes more
	mark     source.Mark           // as the last delivery has left it
	long     bool                  // the last cursor was too long
	longTold time.Time             // when that was last told
	state    func() []stream.Entry // of the last delivery that had one
	epoch    uint64
	broken   error // the first failure: what came after it is not stored either
	waiting  int   // how many Puts wait
	call     *call // the commit that is under way
}

// Remember bounds the de-duplication window.
type Remember struct {
	Window time.Duration
	Events int
}

// Stats counts what a Producer has done since it was made.
type Stats struct {
	Records    int64 // events stored
	Bytes      int64 // their keys and payloads
	Duplicates int64 // events that were dropped because the stream has them
	Commits    int64
	Refused    int64         // commits or events that were refused and put again
	TooLarge   int64         // events that were left out because the stream takes none as large
	Filtered   filter.Counts // events that the filter has dropped, by cause
}

type counters struct {
	records, bytes, duplicates, commits, refused, tooLarge atomic.Int64

	filtered [len(filter.Counts{})]atomic.Int64
}

// Stats returns the counts so far.
func (p *Producer) Stats() Stats {
	s := Stats{
		Records: p.stats.records.Load(), Bytes: p.stats.bytes.Load(), Duplicates: p.stats.duplicates.Load(),
		Commits: p.stats.commits.Load(), Refused: p.stats.refused.Load(), TooLarge: p.stats.tooLarge.Load(),
	}
	for v := range p.stats.filtered {
		s.Filtered[v] = p.stats.filtered[v].Load()
	}
	return s
}

// Waiting returns the number of events that wait to be committed.
func (p *Producer) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, g := range p.queue {
		if !g.taken {
			n += len(g.events)
		}
	}
	return n
}

// MarkKey is the key of the mark of a source.
func MarkKey(name string) string { return source.MarkKey(name) }

// Begin takes over the source's mark in a new epoch, from which moment a former owner can store nothing any
// more, and rebuilds the de-duplication window from the tail of the stream. It implements source.Producer.
func (p *Producer) Begin(ctx context.Context) (source.Mark, error) {
	setting.Default(&p.Settings)
	p.slot = make(chan struct{}, 1)
	p.queue, p.broken, p.state = nil, nil, nil
	stored, err := p.Engine.Load(ctx, MarkKey(p.Source))
	if err != nil {
		return source.Mark{}, fmt.Errorf("load the mark of source %q: %w", p.Source, err)
	}
	if p.mark, err = source.DecodeMark(stored.Value); err != nil {
		return source.Mark{}, fmt.Errorf("source %q: %w", p.Source, err)
	}
	p.epoch = stored.Epoch + 1
	swap := stream.Swap{Mark: stream.Mark{Key: MarkKey(p.Source), Epoch: p.epoch, Value: p.mark.Encode()}, Was: stored.Epoch}
	if _, err := p.Engine.Commit(ctx, stream.Commit{Marks: []stream.Swap{swap}}); err != nil {
		return source.Mark{}, fmt.Errorf("take over source %q: %w", p.Source, err)
	}
	taken := p.mark
	if taken.State, err = p.Engine.State(ctx, source.StateKey(p.Source)); err != nil {
		return source.Mark{}, fmt.Errorf("load the state of source %q: %w", p.Source, err)
	}
	if p.Remember.Events > 0 {
		p.window, err = rebuild(ctx, p)
	}
	return taken, err
}

// Put returns nil once the delivery is durable. It blocks while the stream takes no more, and tries again as long as ctx lives where the
// stream refuses for now. Puts that run at the same time become durable in the order in which they were called, and mostly together. One
// delivery may need several commits; its mark moves in the last of them.
//
// A Put whose ctx ends takes nothing back: its events are stored before those of any later Put. After any other error nothing
// further is stored until Begin is called again: what has been dropped as a duplicate may have been a duplicate of what was lost.
//
// What is too long is made to fit. A partition key of more than 256 characters, which is the limit of Kinesis, and an ID of more than 1 KiB
// are replaced by "sha256:" and their hash: equal ones stay equal, and in their order. A mark with a cursor of more than 64 KiB keeps
// the cursor it had. An event that the stream calls too large is left out, and becomes a gap record.
func (p *Producer) Put(ctx context.Context, d source.Delivery) error {
	g, err := p.gather(ctx, d)
	if err != nil {
		return err
	}
	defer p.leave()
	for !g.over() {
		select {
		case <-g.done:
		case <-ctx.Done():
			return ctx.Err()
		case p.slot <- struct{}{}: // whoever waits commits the oldest gathering, which may be that of others
			if !g.over() {
				p.drive(ctx)
			}
			<-p.slot
		}
	}
	return g.err
}

// gather adds d to what is to be committed, and returns the last gathering that has some of it.
func (p *Producer) gather(ctx context.Context, d source.Delivery) (*gathering, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return nil, p.broken
	}
	p.waiting++
	return p.add(d), nil
}

func (p *Producer) add(d source.Delivery) *gathering {
	if p.window != nil {
		p.window.tick(time.Now())
	}
	g := p.open()
	repeats := false // the first event
	for i := range d.Events {
		e := d.Events[i]
		shorten(&e)
		if p.window != nil && e.ID != "" && !p.window.add(e.ID) {
			p.stats.duplicates.Add(1)
			repeats = repeats || i == 0
			if d.Dropped != nil {
				d.Dropped(i)
			}
			continue
		}
		if v, drop := p.Filtering.drops(&e); drop {
			p.stats.filtered[v].Add(1)
			continue
		}
		size := stored(&e)
		if !p.fits(g, size) {
			p.shut(g)
			g = p.open()
		}
		if g.events == nil {
			g.events = make([]leat.Event, 0, min(len(d.Events)-i, p.Settings.Records))
		}
		g.events = append(g.events, e)
		g.bytes += e.Size()
		g.size += size
	}
	if d.Move != nil {
		g.beside = append(g.beside, p.move(d.Move, repeats)...)
		g.moved = true
		if d.State != nil {
			p.state = d.State
		}
	}
	if len(g.events) >= p.Settings.Records || g.size >= int(p.Settings.Bytes) {
		p.shut(g)
	}
	return g
}

// move lets a delivery change the mark, and returns the records that belong to the change. It keeps the cursor where the new one is too long.
func (p *Producer) move(change func(*source.Mark, bool) []stream.Put, repeats bool) []stream.Put {
	before := p.mark
	beside := change(&p.mark, repeats)
	n := len(p.mark.Cursor)
	if n > source.MaxCursor {
		p.mark.Cursor, p.mark.Time = before.Cursor, before.Time
		if now := time.Now(); !p.long && now.Sub(p.longTold) >= time.Minute {
			p.longTold = now
			p.log().Warn("a cursor is too long and is not used; the source resumes from the one before it",
				"source", p.Source, "bytes", n, "limit", source.MaxCursor)
		}
	}
	p.long = n > source.MaxCursor
	return beside
}

// leave tells that a Put no longer waits.
func (p *Producer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	p.interrupt()
}

func (p *Producer) log() *slog.Logger {
	if p.Log == nil {
		return slog.Default()
	}
	return p.Log
}

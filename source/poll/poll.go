package poll

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/source"
)

// Source opens connections to one provider: each asks again and again. Its zero value needs a Config with a URL.
type Source struct {
	Config Config

	// Dial opens the network connections; nil is the network of this machine.
	Dial source.Dialer

	once   sync.Once
	client *source.Client
	window bool // an answer is a window over the last events
}

// Returns implements source.Returner.
func (s *Source) Returns() bool { return s.Config.Returns() }

func (s *Source) prepare() {
	setting.Default(&s.Config)
	s.client = source.NewClient(&s.Config.Request, s.Dial)
	s.window = !s.Config.UsesCursor()
}

// Open implements source.Source. It asks for the first time.
func (s *Source) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.once.Do(s.prepare)
	p := &poller{Source: s, feed: source.NewFeed(source.Settle), cursor: string(after), resuming: after != ""}
	if s.window {
		p.known.recall(after)
		p.cursor = ""
	}
	var err error
	if p.vars, err = s.client.Variables(ctx, after); err != nil {
		return nil, err
	}
	intake, err := s.Config.Intake.Start(ctx)
	if err != nil {
		return nil, err
	}
	intake.Tell(p.feed)
	p.pager = source.NewPager(s.client, &s.Config.Pages, intake)
	address, err := source.Address(&s.Config.URL, s.Config.Query, p.vars)
	if err != nil {
		p.pager.Close()
		return nil, err
	}
	p.feed.Tape = source.StartTaping(ctx, address)
	p.pager.Tape = p.feed.Tape
	first, err := p.ask(ctx)
	if err == nil && len(first.items) == 0 {
		err = first.end
	}
	if err != nil {
		p.feed.Tape.Ended(err)
		p.pager.Close()
		return nil, err
	}
	c := &conn{}
	if s.window && after != "" {
		c.continues, c.asked = !s.Config.Snapshot && p.overlaps(first), true
	}
	c.Reading = source.StartReading(p.feed, func() {}, func(ctx context.Context) error { return p.run(ctx, first) })
	return c, nil
}

// conn implements source.Conn.
type conn struct {
	*source.Reading
	continues, asked bool
}

// Continues implements source.Continuer.
func (c *conn) Continues() (does, known bool) { return c.continues, c.asked }

// Signs implements source.Watched. Each request has a time limit of its own: between them nothing is stalled.
func (c *conn) Signs() source.Signs {
	signs := c.Reading.Signs()
	signs.Resting = true
	return signs
}

// poller asks for one connection. The reading goroutine owns it.
type poller struct {
	*Source
	feed     *source.Feed
	pager    *source.Pager
	known    known
	last     *mark          // the last event
	vars     map[string]any // of templates
	cursor   string         // of the last event
	resuming bool           // no answer has been taken yet, and there was a connection before
	etag     string
	modified string
	pause    time.Duration // before the next request
	batch    []leat.Event  // of an answer, and not yet offered
}

// run hands on the first answer, and all that follow.
func (p *poller) run(ctx context.Context, a *answer) error {
	defer p.client.CloseIdle()
	defer p.pager.Close()
	for {
		if err := p.take(ctx, a); err != nil {
			return err
		}
		if a.end != nil {
			return a.end
		}
		if err := wait.For(ctx, time.Until(a.sent.Add(p.pause))); err != nil {
			return err
		}
		var err error
		if a, err = p.ask(ctx); err != nil {
			var end *source.EndError
			if errors.As(err, &end) && end.Kind == source.EndDial {
				end.Kind = source.EndRead
			}
			return err
		}
	}
}

// take hands on what is new in an answer.
func (p *poller) take(ctx context.Context, a *answer) error {
	if a.skip != nil {
		return p.feed.Skip(ctx, a.sent, a.skip)
	}
	overrun := a.cut || p.window && !p.Config.Snapshot && p.known.any() && len(a.items) > 0 && !p.overlaps(a)
	if overrun && !(p.resuming && p.window) { // after another connection Continues tells
		if err := p.feed.Skip(ctx, a.sent, &source.SkipError{Reason: "overrun", Detail: "no event of the answers before is in this one, or it has more pages than are asked for"}); err != nil {
			return err
		}
	}
	items := a.items
	switch {
	case !p.window && len(items) > 0 && p.last != nil && *p.last == p.identity(&items[0]):
		items = items[1:] // the event of the cursor itself
	case p.resuming && p.window && p.Config.EventID.IsZero():
		items = p.behind(items)
	}
	p.resuming = false
	offered := false
	for i := range items {
		item := &items[i]
		id := p.identity(item)
		if p.window && p.known.has(id) {
			p.known.add(id)
			continue
		}
		if p.window {
			p.known.add(id)
		}
		p.last = &id
		offered = true
		if err := p.offer(ctx, a, item); err != nil {
			return err
		}
	}
	if err := p.flush(ctx, a); err != nil {
		return err
	}
	p.known.rest(len(a.items))
	if !offered {
		p.feed.Alive(a.sent)
	}
	return nil
}

// largeBatch is from how many events on a batch ends where the cursor changes.
const largeBatch = 1024

// flush hands on the events that offer has gathered.
func (p *poller) flush(ctx context.Context, a *answer) error {
	events := p.batch
	p.batch = nil
	return p.feed.Offer(ctx, a.sent, events...)
}

// skip tells of an item that is left out, in its place.
func (p *poller) skip(ctx context.Context, a *answer, skip *source.SkipError) error {
	if err := p.flush(ctx, a); err != nil {
		return err
	}
	return p.feed.Skip(ctx, a.sent, skip)
}

// offer hands on one event, with others: those that share a cursor belong together, for what follows the cursor are none of them.
func (p *poller) offer(ctx context.Context, a *answer, item *source.Item) error {
	switch {
	case item.Skip != nil:
		return p.skip(ctx, a, item.Skip)
	case len(item.Data) > int(p.Config.MaxMessage):
		return p.skip(ctx, a, source.TooLarge(int64(len(item.Data)), p.Config.MaxMessage))
	}
	e := leat.Event{Data: item.Data}
	if p.window {
		e.Cursor = p.known.cursor()
	} else {
		msg := expression.NewMessage(e.Data)
		if text, ok := p.Config.Cursor.Text(&msg); ok && text != "" {
			p.cursor = text
			e.Cursor = leat.Cursor(text)
		}
	}
	if n := len(p.batch); n >= largeBatch && p.batch[n-1].Cursor != e.Cursor {
		if err := p.flush(ctx, a); err != nil {
			return err
		}
	}
	p.batch = append(p.batch, e)
	return nil
}

// overlaps reports whether an answer has an event that is known.
func (p *poller) overlaps(a *answer) bool {
	for i := range a.items {
		if p.known.has(p.identity(&a.items[i])) {
			return true
		}
	}
	return false
}

// behind returns the events behind the last one that is known.
func (p *poller) behind(items []source.Item) []source.Item {
	for i := len(items) - 1; i >= 0; i-- {
		if p.known.has(p.identity(&items[i])) {
			return items[i+1:]
		}
	}
	return items
}

// identity tells events from each other.
func (p *poller) identity(item *source.Item) mark {
	if !p.Config.EventID.IsZero() && item.Skip == nil {
		msg := expression.NewMessage(item.Data)
		if id, ok := p.Config.EventID.Identity(&msg); ok && id != "" {
			return markOf("i" + id)
		}
	}
	return markOf("b" + string(item.Data))
}

// longestAsked is the longest pause that a provider may ask for.
const longestAsked = time.Hour

// waitFor notes when the provider wants to be asked again.
func (p *poller) waitFor(header string) {
	p.pause = p.Config.Interval
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(header), 64); err == nil && seconds > 0 && seconds < 1e6 {
		p.pause = max(p.pause, min(time.Duration(seconds*float64(time.Second)), longestAsked))
	}
}

package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream"
)

// longestRetry bounds the pause behind a request of a Tier that failed, where the provider does not ask for more.
const longestRetry = time.Minute

// repairing asks for what is missing, a page of one gap at a time. One goroutine owns it.
type repairing struct {
	m       *Manager
	clients map[int]*Client // by tier
	asked   time.Time       // when the last request was made
}

// run works until ctx ends.
func (w *repairing) run(ctx, late context.Context) {
	for ctx.Err() == nil {
		job, tier, pause := w.choose()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-w.m.repairs.wake:
			timer.Stop()
			continue
		case <-ctx.Done():
			timer.Stop()
			continue
		}
		if job == nil {
			continue
		}
		if err := w.step(ctx, late, job, tier); err != nil {
			w.m.fail(err)
		}
		w.asked = time.Now()
	}
	for _, c := range w.clients {
		c.CloseIdle()
	}
}

// choose returns what is to be done next, and how long to wait before that.
func (w *repairing) choose() (*repair, *Tier, time.Duration) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	job := w.m.repairs.next()
	if job == nil {
		return nil, nil, 24 * time.Hour
	}
	tier := &w.m.repairs.tiers[job.Tier]
	due := job.due
	if paced := w.asked.Add(tier.Pace); paced.After(due) {
		due = paced
	}
	return job, tier, time.Until(due)
}

// step asks for one page and stores it. An error is one of the Producer.
func (w *repairing) step(ctx, late context.Context, job *repair, tier *Tier) error {
	m := w.m
	m.mu.Lock()
	now := time.Now()
	there, left := m.repairs.waits(job), job.spend(&m.Settings, now, m.status.Events)
	m.mu.Unlock()
	switch {
	case !there:
		return nil // all of it has come meanwhile
	case !left:
		return w.leave(late, job, "what came before the gap will soon be forgotten, and would be stored twice: dedupe_window or dedupe_events is too small for it")
	}
	page, err := w.ask(ctx, job, tier)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // we are leaving: the page is asked for again
	}
	if err == nil && page.Bytes > int64(tier.MaxAnswer) {
		err = TooLarge(page.Bytes, tier.MaxAnswer)
	}
	if err == nil && len(page.Items) == 0 {
		err = page.End
	}
	if err != nil {
		return w.failed(late, job, tier, err)
	}
	return w.take(late, job, tier, page)
}

func (w *repairing) ask(ctx context.Context, job *repair, tier *Tier) (*Page, error) {
	client := w.clients[job.Tier]
	if client == nil {
		client = NewClient(&tier.Request, w.m.Dial)
		w.clients[job.Tier] = client
	}
	intake, err := tier.Intake.Start(ctx)
	if err != nil {
		return nil, err
	}
	pager := NewPager(client, &tier.Pages, intake)
	defer pager.Close()
	w.m.mu.Lock()
	about := tier.variables(job, time.Now())
	w.m.mu.Unlock()
	vars, err := client.Variables(withVariables(ctx, about), job.Cursor)
	if err != nil {
		return nil, err
	}
	return pager.Ask(ctx, Query{Vars: vars, Page: job.Page, Header: http.Header{"Accept": {"application/json, */*;q=0.5"}}, Left: int64(tier.MaxAnswer)})
}

// failed tries again later, or leaves the gap to the next tier.
func (w *repairing) failed(late context.Context, job *repair, tier *Tier, cause error) error {
	m := w.m
	m.mu.Lock()
	job.Tries++
	m.repairs.changed = true
	pause := min(longestRetry, time.Second<<min(job.Tries, 10))
	var end *EndError
	var skip *SkipError
	ended := errors.As(cause, &end)
	if ended {
		pause = max(pause, min(end.RetryAfter, longestAsked))
	}
	over := ended && end.Refused() || errors.As(cause, &skip) || job.Tries >= tier.Tries
	if !over {
		job.due = time.Now().Add(pause)
	}
	tries := job.Tries
	m.mu.Unlock()
	if over {
		return w.leave(late, job, cause.Error())
	}
	m.log.Info("back-fill: a request failed and is made again", "tries", tries, "next_attempt_in", pause, "error", cause)
	return w.store(late)
}

// leave gives a gap to the next tier that fits, or lets it be.
func (w *repairing) leave(late context.Context, job *repair, reason string) error {
	m := w.m
	m.mu.Lock()
	g := job.Gap
	now := time.Now()
	next := m.repairs.tier(job.Tier+1, &g, now)
	if next >= 0 && job.spend(&m.Settings, now, m.status.Events) {
		job.Tier, job.Page, job.Pages, job.Tries, job.Left, job.end = next, "", 0, 0, 0, nil
		job.due = now.Add(m.repairs.tiers[next].Delay)
		m.repairs.changed = true
	} else {
		next = -1
		m.repairs.drop(job)
		m.status.RepairsFailed++
	}
	tier := job.Tier
	m.mu.Unlock()
	if next >= 0 {
		m.log.Warn("back-fill: the tier has failed; the next one is asked", "next", tier, "from", g.From, "to", g.To, "reason", reason)
	} else {
		m.log.Warn("back-fill: the gap stays", "tier", tier, "from", g.From, "to", g.To, "how", g.How, "missing", g.Lost, "came", job.Came, "reason", reason)
	}
	return w.store(late)
}

// store stores the repairs as they are.
func (w *repairing) store(late context.Context) error {
	return w.m.Producer.Put(late, w.m.counted(w.m.settling(), sights{}))
}

// batch is what a page brings for a gap.
type batch struct {
	events   []leat.Event
	seen     []observation // of each event
	known    []bool        // the stream has it already
	nameless int           // without identity
	skipped  int           // could not be taken apart
	foreign  int           // not of the gap
	last     string        // position behind the last item
	first    *int64        // where the first item lies that is known to lie anywhere: its number, or its time; nil: there is none
	end      *int64        // the same of the last one
}

// note notes where an item lies.
func (b *batch) note(at int64) {
	if b.end = &at; b.first == nil {
		b.first = b.end
	}
}

// beyond reports whether a page has left the gap, from lo to hi, on the side to which the pages go, and takes it for the last one.
func (b *batch) beyond(job *repair, lo, hi int64) bool {
	from := b.first
	if job.end != nil {
		from = job.end
	}
	if b.end == nil {
		return false
	}
	job.end = b.end
	return *b.end > *from && *b.end > hi || *b.end < *from && *b.end < lo
}

// next returns which page is asked for next; none: there is no more. cut is why nobody knows, if that is so.
func (b *batch) next(job *repair, tier *Tier, page *Page) (next, cut string) {
	if tier.NextFrom.IsZero() {
		return page.Next, ""
	}
	lo, hi := job.bounds(tier)
	switch {
	case b.beyond(job, lo, hi), len(page.Items) == 0:
		return "", ""
	case b.last == "":
		return "", "no event of an answer has what next_from names"
	case b.last == job.Page:
		return "", ""
	}
	return b.last, ""
}

// take stores the events of a page, and with them how far the repair is.
func (w *repairing) take(late context.Context, job *repair, tier *Tier, page *Page) error {
	b := w.sort(job, tier, page)
	next, cut := b.next(job, tier, page)
	if next != "" && job.Pages+1 >= tier.MaxPages {
		cut = fmt.Sprintf("there are more pages than max_pages (%d)", tier.MaxPages)
	}
	w.warn(&b)
	d := Delivery{Events: b.events, Dropped: func(i int) { b.known[i] = true }, Move: func(mark *Mark, _ bool) []stream.Put {
		w.m.mu.Lock()
		defer w.m.mu.Unlock()
		w.stored(job, &b)
		job.Left += int64(b.nameless + b.skipped)
		job.Page, job.Tries, job.Pages = next, 0, job.Pages+1
		w.m.repairs.changed = true
		puts := w.m.settle(mark)
		if next == "" && cut == "" && page.End == nil {
			puts = w.done(puts, job)
		}
		return puts
	}}
	if err := w.m.Producer.Put(late, w.m.counted(d, sights{})); err != nil {
		return err
	}
	switch {
	case page.End != nil:
		return w.failed(late, job, tier, page.End)
	case cut != "":
		return w.leave(late, job, cut)
	}
	return nil
}

// sort picks out of a page what belongs to a gap.
func (w *repairing) sort(job *repair, tier *Tier, page *Page) (b batch) {
	m := w.m
	lo, hi, numbers := job.Gap.numbers()
	numbers = numbers && job.Gap.How == GapSequence
	vars := tier.variables(job, time.Now())
	earliest := job.Gap.From.Add(-tier.Margin - m.Settings.DedupeWindow/4)
	for i := range page.Items {
		item := &page.Items[i]
		if item.Skip != nil {
			b.skipped++
			continue
		}
		data := tier.added(item.Data, vars)
		msg := expression.NewMessage(data)
		if text, ok := tier.NextFrom.Text(&msg); ok {
			b.last = text
		}
		var o observation
		if m.Settings.GapRule != nil {
			o = m.Settings.GapRule.look(&msg, job.Gap.Key)
		}
		e := leat.Event{Data: data}
		m.mapping.apply(&e)
		e.Cursor = ""
		ours := o.kind == obsEvent && o.key == job.Gap.Key
		switch {
		case numbers && ours:
			b.note(o.lo)
		case !numbers && !e.Time.IsZero():
			b.note(e.Time.UnixNano())
		}
		switch {
		case e.ID == "":
			b.nameless++
		case numbers && (!ours || o.hi < lo || o.lo > hi), !tier.positioned() && !e.Time.IsZero() && e.Time.Before(earliest):
			b.foreign++
		default:
			b.events, b.seen = append(b.events, e), append(b.seen, o)
		}
	}
	b.known = make([]bool, len(b.events))
	return b
}

func (w *repairing) warn(b *batch) {
	if b.nameless+b.skipped+b.foreign > 0 {
		w.m.log.Log(context.Background(), slog.LevelWarn, "back-fill: events are left out", "without_event_id", b.nameless, "not_understood", b.skipped, "not_of_the_gap", b.foreign)
	}
}

// stored takes into account what has come. The caller holds mu.
func (w *repairing) stored(job *repair, b *batch) {
	m := w.m
	now := time.Now()
	for i := range b.events {
		if !b.known[i] {
			job.Came++
			m.status.Backfilled++
		}
		if m.counts != nil {
			m.counts.filled(&b.seen[i], &job.Gap, b.known[i], now)
		}
	}
}

// done ends a repair of which everything has come that the provider has, and adds the record that says so. The caller holds mu.
func (w *repairing) done(puts []stream.Put, job *repair) []stream.Put {
	m := w.m
	if !m.repairs.waits(job) {
		return puts // the gap rule has told of the last number
	}
	m.repairs.drop(job)
	g := job.Gap
	log := m.log.With("tier", job.Tier, "from", g.From, "to", g.To, "how", g.How, "events", job.Came, "pages", job.Pages)
	if g.How == GapSequence {
		m.status.RepairsFailed++
		log.Warn("back-fill: the gap stays", "missing", g.Lost, "reason", "the provider does not have all of it")
		return puts
	}
	if job.Left > 0 {
		m.status.RepairsFailed++
		log.Warn("back-fill: the gap stays", "left_out", job.Left, "reason", "events of the answers were left out")
		return puts
	}
	log.Info("back-fill: the gap is filled")
	m.unsure = slices.DeleteFunc(m.unsure, func(o Gap) bool { return o.From.Equal(g.From) && o.To.Equal(g.To) })
	return m.gap(puts, job.filled(time.Now()))
}

// setTiers fills in the defaults of the tiers.
func (m *Manager) setTiers() {
	for i := range m.Settings.Backfill {
		setting.Default(&m.Settings.Backfill[i])
	}
}

package kinesis

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/outage"
	"github.com/leatstream/leat/stream"
)

// forwarder sends what is in one spool to the stream of that name, in the order of the keys.
//
// A record is in one of these places: not read yet; held behind an earlier record of its key; ready in the lane of its shard; on its way in a
// flight; done. The window holds all that were read, from the oldest that is not done.
type forwarder struct {
	e     *Engine
	name  string // of the stream in Kinesis
	spool string // of the stream in the house
	log   *slog.Logger

	gone chan struct{} // closed when the stream is deleted
	over chan struct{} // closed when it has stopped

	opened time.Time
	first  stream.Mark         // as Run finds it
	from   mark                // what it says
	tip    leat.SequenceNumber // of the spool when it was opened

	silent time.Time // no letter is logged before; keepMark owns it and the next
	unsaid int       // letters that were not logged since

	keeping sync.Mutex // held while the retention of the spool is changed; guards samples
	samples []sample

	wake    chan struct{} // there may be something to send
	room    chan struct{} // there may be room in the window
	moved   chan struct{} // the mark has to be written
	refresh chan struct{} // the shards have changed

	mu      sync.Mutex // guards what follows
	freed   chan struct{}
	keep    int64 // bytes that the house keeps of the spool
	window  []*item
	head    int                 // of the window
	held    int64               // bytes of the window
	through leat.SequenceNumber // everything up to here is done
	tails   map[leat.Hash]*item // the last record of each key that is not done
	shards  shardMap
	lanes   []*lane // in the order of shards.router
	turn    int     // which lane comes first

	flying   int // requests on their way
	limit    int // how many may be
	fails    int
	failed   time.Time     // the last failure
	until    time.Time     // nothing is sent before
	sent     time.Time     // the last request began
	reason   string        // why nothing goes; empty if it does
	outage   outage.Outage // while there is a reason
	unlisted outage.Outage // while the shards cannot be listed
	blind    string        // why, if no shard is known
	renewed  bool          // the credentials were renewed since the last success
	letters  []letter
	suspects []letter // records that were refused one by one since Kinesis has taken one
	row      int      // how many were refused so
	vain     int      // answers in a row that took nothing
	strays   []stray
	waiters  []*waiter // in the order of what they wait for
	early    early
	backlog  backlog
	counters Counters
}

// item is a record of the spool that is not done.
type item struct {
	record  *leat.Record
	hash    leat.Hash
	next    *item // of the same key
	size    int
	most    int  // at most so many records in a request together with it; 0: as many as go
	alone   bool // never in an aggregate
	flying  bool
	doubted bool // a suspect that was tried again
	held    bool // behind an earlier record of its key, not ready
	behind  bool // in an aggregate behind an earlier record of its key
	done    bool
	strays  uint8 // how many times it landed on another shard than was expected, in an aggregate
}

// lane is what is ready for one shard.
type lane struct {
	shard leat.ShardID
	pace  pace
	ready []*item
	head  int
	bytes int
}

func (l *lane) len() int { return len(l.ready) - l.head }

func (l *lane) push(it *item) {
	if l.head > 1024 && l.head > len(l.ready)/2 {
		n := copy(l.ready, l.ready[l.head:])
		clear(l.ready[n:])
		l.ready, l.head = l.ready[:n], 0
	}
	l.ready = append(l.ready, it)
	l.bytes += it.size
}

// pushFront puts what was refused before all that has not been sent.
func (l *lane) pushFront(it *item) {
	l.bytes += it.size
	if l.head > 0 {
		l.head--
		l.ready[l.head] = it
		return
	}
	const spare = 512
	moved := make([]*item, spare+len(l.ready), spare+2*len(l.ready)+1)
	copy(moved[spare:], l.ready)
	l.ready, l.head = moved, spare-1
	l.ready[l.head] = it
}

func (l *lane) last() *item { return l.ready[len(l.ready)-1] }

// popBack takes what came last.
func (l *lane) popBack() *item {
	it := l.last()
	l.ready[len(l.ready)-1] = nil
	l.ready = l.ready[:len(l.ready)-1]
	l.bytes -= it.size
	if l.head == len(l.ready) {
		l.ready, l.head = l.ready[:0], 0
	}
	return it
}

func (l *lane) pop() *item {
	it := l.ready[l.head]
	l.ready[l.head] = nil
	l.head++
	l.bytes -= it.size
	if l.head == len(l.ready) {
		l.ready, l.head = l.ready[:0], 0
	}
	return it
}

// stray is an aggregate that landed on another shard than was expected.
type stray struct {
	items   []*item
	shard   leat.ShardID
	outcome outcome
	stored  time.Time
}

// flight is one request.
type flight struct {
	entries []entry
	size    int
	begun   time.Time
	whole   []*item // the memory of the entries' items
}

// windowRecords and windowBytes bound what is read ahead of the oldest record that is not done.
const (
	windowRecords = 1 << 17
	windowBytes   = 64 << 20
)

// linger is how long a request that is not full waits for more while others are on their way.
const linger = 10 * time.Millisecond

// laneBytes is how much of one shard makes a request full: more in one moment would be refused.
const laneBytes = 256 << 10

// lane returns the lane of a record. The caller holds mu and there is a map.
func (f *forwarder) lane(it *item) *lane {
	if len(f.lanes) == 1 {
		return f.lanes[0]
	}
	return f.lanes[f.shards.router.Slot(&leat.Event{HashKey: &it.hash})]
}

// add takes records of the spool into the window. The caller holds mu.
func (f *forwarder) add(items []item) {
	for i := range items {
		it := &items[i]
		f.window = append(f.window, it)
		f.held += int64(it.size)
		f.backlog.read(it.record.Size())
		if it.done { // before a restart
			f.backlog.done(it.record.Size())
			continue
		}
		if f.e.config.Order == "none" {
			f.prepare(it)
			continue
		}
		last, busy := f.tails[it.hash]
		f.tails[it.hash] = it
		if busy {
			last.next, it.held = it, true
		} else {
			f.prepare(it)
		}
	}
}

// prepare makes a record ready: nothing of its key is before it.
func (f *forwarder) prepare(it *item) {
	it.held = false
	if len(f.lanes) > 0 {
		f.lane(it).push(it)
	}
}

// remap replaces the shards by those of a moment. The caller holds mu.
func (f *forwarder) remap(m shardMap, now time.Time) {
	old := map[leat.ShardID]*lane{}
	var ready []*item
	for _, l := range f.lanes {
		old[l.shard] = l
		ready = append(ready, l.ready[l.head:]...)
	}
	if len(f.lanes) == 0 {
		for _, it := range f.window[f.head:] {
			if !it.held && !it.done { // some are done from before a restart
				ready = append(ready, it)
			}
		}
	}
	slices.SortFunc(ready, func(a, b *item) int { return a.record.Sequence.Compare(b.record.Sequence) })
	f.shards, f.lanes = m, nil
	for i := range m.router.Len() {
		l := &lane{shard: m.router.Shard(i), pace: newPace(m.limited, now)}
		if before := old[l.shard]; before != nil && before.pace.nominal == l.pace.nominal {
			l.pace = before.pace
		}
		f.lanes = append(f.lanes, l)
	}
	for _, it := range ready {
		f.prepare(it)
	}
	f.settleStrays(now)
}

// dispatch sends until ctx ends, and returns when nothing is on its way any more.
func (f *forwarder) dispatch(ctx, late context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		f.mu.Lock()
		b, next := f.pick(time.Now())
		f.mu.Unlock()
		if b != nil {
			flights.Go(func() { f.send(late, b) })
			continue
		}
		pause := time.Hour
		if !next.IsZero() {
			pause = time.Until(next)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-timer.C:
		}
	}
}

// pick returns what is to be sent now, or when it is to be asked again; zero: when something has changed. The caller holds mu.
func (f *forwarder) pick(now time.Time) (*flight, time.Time) {
	if f.flying >= f.limit || len(f.lanes) == 0 {
		return nil, time.Time{}
	}
	if now.Before(f.until) {
		return nil, f.until
	}
	count, full, short, next := f.waiting(now)
	if count == 0 {
		if next.IsZero() && f.flying == 0 && len(f.suspects) > 0 {
			if f.row >= mostRefused {
				f.reconsider()
				return f.pick(now)
			}
			f.condemn() // there is nothing to compare them with
		}
		return nil, next
	}
	if f.row >= mostRefused {
		f.newest(now)
	}
	if at := f.sent.Add(linger); !full && (short || f.flying > 0) && now.Before(at) {
		return nil, at
	}
	b := f.gather(now, count)
	if len(b.entries) == 0 {
		return nil, now.Add(linger)
	}
	f.flying++
	f.sent = now
	b.begun = now
	f.counters.Requests++
	return b, time.Time{}
}

// waiting counts what may be sent, whether it fills a request, whether more is ready than may be sent, and if nothing may be, when that changes.
func (f *forwarder) waiting(now time.Time) (count int, full, short bool, next time.Time) {
	for _, l := range f.lanes {
		n := l.len()
		if n == 0 {
			continue
		}
		l.pace.refill(now)
		if now.Before(l.pace.until) || !l.pace.free() && l.pace.records < 1 {
			if at := l.pace.next(now); next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		if may := int(l.pace.records); !l.pace.free() && may < n {
			n, short = may, true
		}
		count += n
		full = full || l.bytes >= laneBytes && n > 1
	}
	return count, full || count >= maxRecords, short, next
}

// gather takes what goes into one request out of the lanes.
func (f *forwarder) gather(now time.Time, count int) *flight {
	b := &flight{entries: make([]entry, 0, min(count, maxRecords)), whole: make([]*item, 0, min(count, maxRecords))}
	most, least := maxRecords, 0
	if f.e.config.Aggregate {
		least = aggregateTarget
	}
	f.turn++
	for i := range f.lanes {
		l := f.lanes[(f.turn+i)%len(f.lanes)]
		if now.Before(l.pace.until) {
			continue
		}
		for bytes := 0; l.len() > 0 && len(b.entries) < most; {
			it := l.ready[l.head]
			if why := f.shards.unfit(it); why != "" {
				l.pop()
				it.flying = true
				f.letters = append(f.letters, letter{it, why})
				signal(f.moved)
				continue
			}
			if it.most > 0 {
				most = min(most, it.most)
			}
			full := b.size+max(it.size, least) > maxRequest || bytes+it.size > laneBytes && bytes > 0
			if full || len(b.entries) >= most || !l.pace.take(it.size) {
				break
			}
			bytes += f.board(b, l)
		}
	}
	return b
}

// board takes the first record of a lane, and in an aggregate others with it, into a request.
func (f *forwarder) board(b *flight, l *lane) int {
	it := l.pop()
	it.flying = true
	from := len(b.whole)
	b.whole = append(b.whole, it)
	e := entry{key: keyOf(it), data: it.record.Data, lane: l}
	if it.record.HashKey != nil {
		e.hash = it.record.HashKey.String()
	}
	if f.e.config.Aggregate && !f.shards.auto && !it.alone {
		f.aggregate(b, l, &e)
	}
	e.items = b.whole[from:len(b.whole):len(b.whole)]
	b.entries = append(b.entries, e)
	b.size += e.size()
	return e.size()
}

// send sends one request and deals with the answer.
func (f *forwarder) send(ctx context.Context, b *flight) {
	got, err := f.e.wire.put(ctx, f.name, b.entries)
	f.mu.Lock()
	f.flying--
	if err != nil {
		f.refused(b, failure(err), time.Now())
	} else {
		f.accepted(b, got.outcomes, time.Now())
	}
	f.advance()
	f.mu.Unlock()
	f.e.wire.release(got)
	signal(f.wake)
	signal(f.moved)
}

// accepted deals with an answer that tells of each record. The caller holds mu.
func (f *forwarder) accepted(b *flight, outcomes []outcome, now time.Time) {
	f.fails /= 10 // a single success does not make a service well
	f.limit = min(f.e.config.Requests, 2*f.limit)
	elsewhere := false
	if i := slices.IndexFunc(outcomes, func(o outcome) bool { return len(o.code) == 0 }); i >= 0 {
		f.recovered(now)
		f.taken()
	} else {
		f.inVain(&outcomes[0], now)
	}
	for i := range outcomes {
		e, o := &b.entries[i], &outcomes[i]
		if len(o.code) == 0 {
			e.lane.pace.succeed(now)
			elsewhere = f.stored(e, o) || elsewhere
		}
	}
	for i := len(outcomes) - 1; i >= 0; i-- { // in front of each other
		e, o := &b.entries[i], &outcomes[i]
		if len(o.code) == 0 {
			continue
		}
		f.counters.error(string(o.code))
		f.counters.Retries += int64(len(e.items))
		e.lane.pace.fail(classify(string(o.code), 0) == throttled, now)
		f.again(e.items)
	}
	if elsewhere {
		signal(f.refresh)
	}
}

// stored deals with a record that Kinesis has, and reports whether it lies on another shard than was expected.
func (f *forwarder) stored(e *entry, o *outcome) bool {
	f.counters.KinesisRecords++
	number := shardNumber(o.shard)
	elsewhere := !f.shards.auto && number >= 0 && leat.ShardID(number) != e.lane.shard
	if elsewhere && len(e.items) > 1 {
		at := outcome{shard: slices.Clone(o.shard), sequence: slices.Clone(o.sequence)}
		f.strays = append(f.strays, stray{e.items, leat.ShardID(number), at, time.Now()})
		return true
	}
	for part, it := range e.items {
		f.finish(it)
		f.arrived(it, o, part)
	}
	return elsewhere
}

// again makes records ready that were not stored, in front of all others. The caller holds mu.
func (f *forwarder) again(items []*item) {
	for i := len(items) - 1; i >= 0; i-- {
		it := items[i]
		it.flying = false
		if it.behind {
			it.behind = false
			continue
		}
		f.lane(it).pushFront(it)
	}
}

// finish counts a record as done and lets the next one of its key go. The caller holds mu.
func (f *forwarder) finish(it *item) {
	it.done = true
	f.backlog.done(it.record.Size())
	f.counters.Records++
	f.counters.Bytes += int64(it.size)
	if f.e.config.Order == "none" {
		return
	}
	switch next := it.next; {
	case next == nil:
		delete(f.tails, it.hash)
	case !next.flying:
		f.prepare(next)
	}
	it.next = nil
}

// advance moves the head of the window over what is done. The caller holds mu.
func (f *forwarder) advance() {
	for f.head < len(f.window) && f.window[f.head].done {
		it := f.window[f.head]
		f.through = it.record.Sequence
		f.held -= int64(it.size)
		f.window[f.head] = nil
		f.head++
	}
	if f.head == len(f.window) {
		f.window, f.head = f.window[:0], 0
	} else if f.head > 4096 && f.head > len(f.window)/2 {
		n := copy(f.window, f.window[f.head:])
		clear(f.window[n:])
		f.window, f.head = f.window[:n], 0
	}
	f.free()
	signal(f.room)
}

// settleStrays deals with aggregates that landed on another shard than was expected, now that it is known. What belongs to that shard is done. The rest
// is sent again: some readers leave out what lies on the wrong shard. A shard that was not there when Kinesis was asked may be one that was made since.
func (f *forwarder) settleStrays(asked time.Time) {
	strays := f.strays
	f.strays = nil
	for i := range strays {
		e := &strays[i]
		at, known := f.shards.ranges[e.shard]
		if !known && !e.stored.Before(asked) {
			f.strays = append(f.strays, *e)
			signal(f.refresh)
			continue
		}
		var rest []*item
		for part, it := range e.items {
			it.behind = false
			if !known || at.Contains(it.hash) {
				f.finish(it)
				f.arrived(it, &e.outcome, part)
			} else {
				it.strays++
				it.alone = it.alone || it.strays > 2 // where it lies alone is no matter
				rest = append(rest, it)
			}
		}
		for j, it := range rest {
			it.behind = f.e.config.Order != "none" && slices.ContainsFunc(rest[:j], func(before *item) bool { return before.hash == it.hash })
		}
		f.counters.Retries += int64(len(rest))
		f.again(rest)
	}
	f.advance()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

var _ stream.Engine = (*Engine)(nil)

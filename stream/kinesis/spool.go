package kinesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
)

// The names of what a stream of Kinesis has in the house. No stream of a user has a name like them: those have no "/".
func spoolName(name string) string   { return "kinesis/spool/" + name }
func refusedName(name string) string { return "kinesis/refused/" + name }

// refusedAge is how long refused events are kept.
const refusedAge = 14 * 24 * time.Hour

func markKey(name string) string { return "kinesis/forwarded/" + name }

// keyOf returns the partition key that Kinesis gets. It takes none that is empty.
func keyOf(it *item) string {
	if it.record.PartitionKey != "" {
		return it.record.PartitionKey
	}
	return strconv.FormatUint(it.record.Sequence.Index(), 10)
}

// mark is how far a spool is forwarded, as it is stored.
type mark struct {
	// Through is the last record up to which all are forwarded.
	Through leat.SequenceNumber `json:"through,omitzero"`

	// Spool is when the spool was made, in seconds since 1970: the mark says nothing about another one of the same name.
	Spool int64 `json:"spool,omitempty"`

	// Beyond has a bit for each record behind Through that is forwarded too, the lowest bit of the first byte for the next one.
	Beyond []byte `json:"beyond,omitempty"`
}

func (m *mark) has(s leat.SequenceNumber) bool {
	i := s.Index() - m.Through.Index() - 1
	return i/8 < uint64(len(m.Beyond)) && m.Beyond[i/8]>>(i%8)&1 == 1
}

func (m *mark) add(s leat.SequenceNumber) {
	i := s.Index() - m.Through.Index() - 1
	for uint64(len(m.Beyond)) <= i/8 {
		m.Beyond = append(m.Beyond, 0)
	}
	m.Beyond[i/8] |= 1 << (i % 8)
}

// letter is a record that Kinesis will never take, and why.
type letter struct {
	item *item
	why  string
}

// Refused is the payload of a record in the stream kinesis/refused/NAME of the house: an event that Kinesis does not take.
type Refused struct {
	Version      int                 `json:"v"`
	Stream       string              `json:"stream"`
	Reason       string              `json:"reason"`
	Spooled      leat.SequenceNumber `json:"spooled"` // its number in the spool
	PartitionKey string              `json:"partition_key"`
	HashKey      *leat.Hash          `json:"explicit_hash_key,omitempty"`
	Source       string              `json:"source,omitempty"`
	EventID      string              `json:"event_id,omitempty"`
	Time         time.Time           `json:"time,omitzero"`
	Arrived      time.Time           `json:"arrived"`
	Data         []byte              `json:"data"` // the original bytes, in base64
}

func (f *forwarder) envelope(l letter) leat.Event {
	r := l.item.record
	text, err := json.Marshal(Refused{
		Version: 1, Stream: f.name, Reason: l.why, Spooled: r.Sequence, PartitionKey: r.PartitionKey, HashKey: r.HashKey,
		Source: r.Source, EventID: r.ID, Time: r.Time, Arrived: r.Arrived.UTC(), Data: r.Data,
	})
	if err != nil {
		panic(err) // a plain struct
	}
	return leat.Event{ID: r.Sequence.String(), PartitionKey: f.name, Time: r.Time, Data: text}
}

// read takes the spool into the window as there is room.
func (f *forwarder) read(ctx context.Context, from mark, tip leat.SequenceNumber) error {
	position := stream.Oldest()
	if !from.Through.IsZero() {
		position = stream.After(from.Through)
	}
	r, err := f.e.house.Read(ctx, f.spool, 0, position)
	if err != nil {
		return fmt.Errorf("read the spool of stream %q: %w", f.name, err)
	}
	defer r.Close()
	if tip.Compare(from.Through) <= 0 {
		f.caughtUp()
	}
	for {
		if err := f.waitRoom(ctx); err != nil {
			return err
		}
		b, err := r.Next(ctx, stream.Limit{Records: 5000, Bytes: 4 << 20})
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			f.log.Error("events are lost that Kinesis has not got", "stream", f.name, "error", gap)
			f.mu.Lock()
			f.counters.Lost += max(1, gap.Count)
			f.mu.Unlock()
			if gap.To.Compare(tip) >= 0 {
				f.caughtUp() // as far as that is there
			}
			continue
		case err != nil:
			return err
		}
		items := make([]item, len(b.Records))
		cut := 0 // what was there when the spool was opened
		for i := range items {
			items[i] = newItem(&b.Records[i])
			items[i].done = from.has(b.Records[i].Sequence)
			if b.Records[i].Sequence.Compare(tip) <= 0 {
				cut = i + 1
			}
		}
		f.mu.Lock()
		f.add(items[:cut])
		if cut < len(items) || cut > 0 && b.Records[cut-1].Sequence == tip {
			f.backlog.known()
		}
		f.add(items[cut:])
		f.advance()
		f.mu.Unlock()
		signal(f.wake)
	}
}

func newItem(record *leat.Record) item {
	it := item{record: record}
	key := keyOf(&it)
	it.size = len(key) + len(record.Data)
	if record.HashKey != nil {
		it.hash = *record.HashKey
	} else {
		it.hash = leat.HashKey(key)
	}
	return it
}

func (f *forwarder) caughtUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backlog.known()
	f.advance() // wakes whoever waits for room
}

func (f *forwarder) waitRoom(ctx context.Context) error {
	for {
		f.mu.Lock()
		room := len(f.window)-f.head < windowRecords && f.held < windowBytes
		f.mu.Unlock()
		if room {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.room:
		}
	}
}

// markEvery is how often the mark is written: what was forwarded since is sent a second time after a crash.
const markEvery = 10 * time.Millisecond

// keepMark writes the mark whenever it has moved, and letters with it, until ctx ends, and then once more.
func (f *forwarder) keepMark(ctx, late context.Context, stored stream.Mark, written mark) error {
	for {
		select {
		case <-ctx.Done():
			_, _, err := f.writeMark(late, stored, written)
			return err
		case <-f.moved:
		}
		var err error
		if stored, written, err = f.writeMark(late, stored, written); err != nil {
			return err
		}
		if err := f.fitRetention(late); err != nil {
			return err
		}
		_ = wait.For(ctx, markEvery)
	}
}

func (f *forwarder) writeMark(ctx context.Context, stored stream.Mark, written mark) (stream.Mark, mark, error) {
	f.mu.Lock()
	now := mark{Through: f.through, Spool: f.from.Spool}
	letters := f.takeLetters()
	for _, it := range f.window[f.head:] {
		if it.done {
			now.add(it.record.Sequence)
		}
	}
	for _, l := range letters {
		now.add(l.item.record.Sequence)
	}
	f.mu.Unlock()
	if now.Through == written.Through && slices.Equal(now.Beyond, written.Beyond) && len(letters) == 0 {
		return stored, written, nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		panic(err) // a plain struct
	}
	c := stream.Commit{Marks: []stream.Swap{{Mark: stream.Mark{Key: markKey(f.name), Epoch: stored.Epoch, Value: text}, Was: stored.Epoch}}}
	if len(letters) > 0 {
		put := stream.Put{Stream: refusedName(f.name), Source: f.name}
		for _, l := range letters {
			f.logLetter(&l)
			put.Events = append(put.Events, f.envelope(l))
		}
		c.Puts = []stream.Put{put}
	}
	for {
		_, err = f.e.house.Commit(ctx, c)
		if !errors.Is(err, stream.ErrFull) {
			break
		}
		if err := wait.For(ctx, time.Second); err != nil {
			return stored, written, err
		}
	}
	if err != nil {
		return stored, written, fmt.Errorf("store how far stream %q is forwarded: %w", f.name, err)
	}
	stored.Value = text
	if len(letters) > 0 {
		f.mu.Lock()
		for _, l := range letters {
			f.finish(l.item)
			f.counters.Refused++
			f.arrived(l.item, nil, 0)
		}
		f.advance()
		f.mu.Unlock()
		signal(f.wake)
		signal(f.moved)
	}
	return stored, now, nil
}

// letterEvery is how often the log tells of a letter at most.
const letterEvery = 10 * time.Second

// logLetter tells of a letter, unless it has told of another just now. Only keepMark calls it.
func (f *forwarder) logLetter(l *letter) {
	now := time.Now()
	if now.Before(f.silent) {
		f.unsaid++
		return
	}
	attrs := []any{"stream", f.name, "partition_key", l.item.record.PartitionKey, "bytes", l.item.size, "reason", l.why, "not_logged_before", f.unsaid}
	f.silent, f.unsaid = now.Add(letterEvery), 0
	if f.e.config.Passing {
		f.log.Error("Kinesis will never take an event", attrs...)
		return
	}
	f.log.Error("Kinesis will never take an event; it is kept in the stream of refused events", append(attrs, "refused", refusedName(f.name))...)
}

// lettersBytes is how many bytes of letters go into one commit of the house, roughly: it takes 32 MiB.
const lettersBytes = 8 << 20

// takeLetters returns the letters that go into the next commit. The caller holds mu.
func (f *forwarder) takeLetters() []letter {
	n := 0
	for bytes := 0; n < len(f.letters) && bytes < lettersBytes; n++ {
		l := &f.letters[n]
		r := l.item.record
		bytes += 1024 + len(r.Data)*4/3 + 6*(len(r.PartitionKey)+len(r.Source)+len(r.ID)+len(l.why)) // as JSON
	}
	taken := f.letters[:n:n]
	if f.letters = f.letters[n:]; len(f.letters) == 0 {
		f.letters = nil
	}
	return taken
}

// waiter is a commit that waits until a run of the spool is forwarded.
type waiter struct {
	first, last uint64 // indexes
	left        int
	done        chan struct{}
	placed      []stream.Placed // nil unless it was asked for
	err         error           // of a placed one
	refused     []int           // which of a placed one Kinesis never takes
}

// await registers a wait for a run of the spool. The caller of early.begin has not called early.end yet.
func (f *forwarder) await(placed []stream.Placed, where bool) *waiter {
	w := &waiter{first: placed[0].Sequence.Index(), last: placed[len(placed)-1].Sequence.Index(), done: make(chan struct{})}
	if where {
		w.placed = make([]stream.Placed, len(placed))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.left = len(placed)
	if through := f.through.Index(); !f.through.IsZero() && through >= w.first {
		w.left -= int(min(through, w.last)-w.first) + 1
	}
	open := f.window[f.head:]
	at := sort.Search(len(open), func(i int) bool { return open[i].record.Sequence.Index() >= w.first })
	for ; at < len(open) && open[at].record.Sequence.Index() <= w.last; at++ {
		if open[at].done {
			w.left--
		}
	}
	if where {
		f.early.fill(w)
	}
	if w.left == 0 {
		close(w.done)
		return w
	}
	i := sort.Search(len(f.waiters), func(i int) bool { return f.waiters[i].first > w.first })
	f.waiters = slices.Insert(f.waiters, i, w)
	return w
}

// arrived tells whoever waits that a record is done; o is nil where Kinesis never takes it. The caller holds mu.
func (f *forwarder) arrived(it *item, o *outcome, part int) {
	index := it.record.Sequence.Index()
	f.early.add(index, o, part)
	i := sort.Search(len(f.waiters), func(i int) bool { return f.waiters[i].first > index }) - 1
	if i < 0 || f.waiters[i].last < index {
		return
	}
	w := f.waiters[i]
	if w.placed != nil {
		w.place(index, o, part)
	}
	if w.left--; w.left == 0 {
		close(w.done)
		f.waiters = slices.Delete(f.waiters, i, i+1)
	}
}

func (w *waiter) place(index uint64, o *outcome, part int) {
	if o == nil {
		w.refused = append(w.refused, int(index-w.first))
		return
	}
	sequence, err := parseSequence(string(o.sequence))
	if err == nil && part > 0 {
		sequence, _ = sequence.WithPart(part)
	}
	if err != nil {
		w.err = err
		return
	}
	w.placed[index-w.first] = stream.Placed{Shard: leat.ShardID(max(0, shardNumber(o.shard))), Sequence: sequence}
}

func (f *forwarder) forget(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.waiters, w); i >= 0 {
		f.waiters = slices.Delete(f.waiters, i, i+1)
	}
}

// early keeps where records went that were forwarded before the commit that stored them could say that it waits for them. Only commits
// that want to know count. Two generations: the older one is dropped when no commit of its time is left.
type early struct {
	current, before generation
}

type generation struct {
	commits int
	number  uint64
	places  map[uint64]earlyPlace
}

type earlyPlace struct {
	outcome *outcome
	part    int
}

func (e *early) begin() uint64 {
	if e.before.commits == 0 && len(e.current.places) > 4096 {
		e.before = e.current
		e.current = generation{number: e.before.number + 1}
	}
	e.current.commits++
	return e.current.number
}

func (e *early) end(number uint64) {
	if number == e.current.number {
		e.current.commits--
	} else {
		e.before.commits--
	}
	if e.before.commits == 0 {
		e.before.places = nil
	}
	if e.before.commits == 0 && e.current.commits == 0 {
		e.current.places = nil
	}
}

func (e *early) add(index uint64, o *outcome, part int) {
	if e.current.commits == 0 && e.before.commits == 0 {
		return
	}
	if e.current.places == nil {
		e.current.places = map[uint64]earlyPlace{}
	}
	if o != nil {
		o = &outcome{shard: slices.Clone(o.shard), sequence: slices.Clone(o.sequence)}
	}
	e.current.places[index] = earlyPlace{o, part}
}

func (e *early) fill(w *waiter) {
	for i := w.first; i <= w.last; i++ {
		p, ok := e.current.places[i]
		if !ok {
			p, ok = e.before.places[i]
		}
		if ok {
			w.place(i, p.outcome, p.part)
		}
	}
}

// unfit returns why Kinesis will never take a record, or nothing.
func (m *shardMap) unfit(it *item) string {
	key := it.record.PartitionKey
	switch {
	case it.size > m.recordLimit:
		return fmt.Sprintf("%d bytes with its partition key, the stream takes at most %d", it.size, m.recordLimit)
	case len(key) > 256 && utf8.RuneCountInString(key) > 256:
		return "its partition key has more than 256 characters"
	case !utf8.ValidString(key):
		return "its partition key is not UTF-8"
	}
	return ""
}

package source

import (
	"cmp"
	"container/list"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tracker follows the counts of a source by its GapRule, in the order in which deliveries become durable. It does no I/O, and time is what it
// is told. Memory is bounded by the keys of the rule and by maxHoles of each.
//
// The Manager's mutex guards it. It changes only in Delivery.Move.
type tracker struct {
	rule      *GapRule
	buckets   [gapBuckets]map[string]*sequence
	dirty     [gapBuckets]bool
	recent    *list.List             // of *sequence, the one that was seen last in front
	waiting   map[*sequence]struct{} // those with a hole that is not told yet
	forgotten int64                  // counts that were dropped because there were too many
	out       []finding
	patient   bool // more than one connection is up
	mixed     bool // there are events that the rule does not judge
	holes     int  // of all counts
	limit     int  // of counts

	// For a Trial.
	anew     int64         // how often a count began anew
	equal    int64         // events that were there before
	late     int64         // events that came behind later ones
	furthest int64         // how many events behind, at most
	longest  time.Duration // how long after, at most
}

// gapBuckets is into how many entries the counts are divided when they are stored, so that one of them changes few bytes.
const gapBuckets = 64

// What is remembered as missing of one count is bounded by maxHoles, and of all together by allHoles, but for minHoles of each. Beyond
// that the oldest is told, and not found out if it comes after all.
const (
	maxHoles = 32
	minHoles = 3
	allHoles = 50_000
)

// lastConnections is how many connections are remembered where each counts for itself.
const lastConnections = 64

// sequence is one count.
type sequence struct {
	key    string
	begun  bool
	since  time.Time // when it began
	top    int64     // the largest number
	at     time.Time // when that was, or the last event of a chain
	seen   int64     // events, to tell how late one is
	holes  []hole    // what is missing, rising; of a chain in the order found
	again  int64     // a number far below top: another one behind it makes it a new beginning
	doubt  bool      // again is set
	recent []uint64  // of a chain: the last ids, hashed, the newest last
	last   string    // of a chain: the newest id
	mixed  bool      // there are events of the source that the rule does not judge, as far as it has one count
	lossy  time.Time // up to when something was missing that is no longer remembered
	place  *list.Element
}

// hole is what is missing between two events.
type hole struct {
	lo, hi   int64
	id       string    // of a chain: the one that is missing, in place of lo and hi
	after    string    // of a chain: the id that came before it
	from, to time.Time // when the events on its sides came
	late     time.Time // since when it is waited for
	seen     int64     // of its sequence, then
	told     bool
}

// finding is what a tracker has found: something is missing, or has come after it was told missing.
type finding struct {
	key      string
	lo, hi   int64
	id       string // in place of lo and hi
	after    string // the id before it
	from, to time.Time
	repaired bool
}

func newTracker(rule *GapRule) *tracker {
	t := &tracker{rule: rule, recent: list.New(), waiting: map[*sequence]struct{}{}, limit: rule.Keys}
	if rule.perConnection() {
		t.limit = min(t.limit, lastConnections)
	}
	for i := range t.buckets {
		t.buckets[i] = map[string]*sequence{}
	}
	return t
}

// observe takes one event into account.
func (t *tracker) observe(o *observation, now time.Time) {
	if o.kind == obsNone {
		t.mix()
		return
	}
	s := t.sequence(o.key)
	s.seen++
	switch {
	case !s.begun || o.reset && !o.known:
		t.begin(s, o, now)
	case o.kind == obsLinked:
		t.linked(s, o, now)
	default:
		t.numbered(s, o, now)
	}
	if !t.patient && len(s.holes) > 0 {
		t.overdue(s)
	}
}

// mix notes that there are events that the rule does not judge.
func (t *tracker) mix() {
	if s := t.buckets[bucketOf("")][""]; !t.mixed && s != nil && !s.mixed {
		s.mixed, t.dirty[bucketOf("")] = true, true
	}
	t.mixed = true
}

// proves reports whether the numbers show that nothing is missing of what was sent in a stretch of time, or that what was has come. That is so
// where the source has one count, in which every event is, and which began before and went on behind without a hole. It says nothing where keys
// count for themselves: one that stays silent, or has never come, may be what is missing.
func (t *tracker) proves(from, to time.Time) bool {
	if !t.rule.Per.IsZero() || t.rule.Form == formCounter && t.rule.Field.IsZero() {
		return false
	}
	s := t.buckets[bucketOf("")][""]
	if s == nil || !s.begun || s.mixed || t.mixed || s.since.After(from) || s.at.Before(to) || !s.lossy.IsZero() && !s.lossy.Before(from) {
		return false
	}
	return !slices.ContainsFunc(s.holes, func(h hole) bool { return !h.from.After(to) && !h.to.Before(from) })
}

// news reports whether a counter says something that is not known.
func (t *tracker) news(o *observation) bool {
	s := t.buckets[bucketOf(o.key)][o.key]
	return s == nil || !s.begun || o.reset || o.hi > s.top || o.hi < s.top && t.rule.Field.IsZero()
}

// sequence returns the count of a key, and makes it.
func (t *tracker) sequence(key string) *sequence {
	b := bucketOf(key)
	t.dirty[b] = true
	if s := t.buckets[b][key]; s != nil {
		t.recent.MoveToFront(s.place)
		return s
	}
	for t.recent.Len() >= t.limit {
		t.forgotten++
		t.drop(t.recent.Back().Value.(*sequence))
	}
	s := &sequence{key: strings.Clone(key)}
	t.add(b, s)
	return s
}

func (t *tracker) add(bucket int, s *sequence) {
	s.place = t.recent.PushFront(s)
	t.buckets[bucket][s.key] = s
}

// drop forgets a count and tells what it still waits for.
func (t *tracker) drop(s *sequence) {
	t.tellAll(s)
	b := bucketOf(s.key)
	t.dirty[b] = true
	delete(t.buckets[b], s.key)
	t.keep(s, nil)
	t.recent.Remove(s.place)
}

func bucketOf(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % gapBuckets)
}

// begin begins a count with an event. What the count before it lacked is missing.
func (t *tracker) begin(s *sequence, o *observation, now time.Time) {
	if s.begun {
		t.anew++
	}
	t.tellAll(s)
	t.keep(s, nil)
	*s = sequence{key: s.key, place: s.place, begun: o.kind != obsCounted, since: now, at: now, seen: s.seen, top: o.hi, mixed: s.mixed}
	if o.kind == obsLinked {
		s.link(o.id, t.rule.Reorder.Events)
	}
}

// numbered takes an event with numbers into account.
func (t *tracker) numbered(s *sequence, o *observation, now time.Time) {
	switch o.kind {
	case obsCounted:
		o.lo = s.top + 1
		o.hi = o.lo
	case obsUpTo:
		o.lo = o.hi + 1 // it stands for no number itself
		if o.hi < s.top && t.rule.Field.IsZero() {
			t.begin(s, o, now) // it counts otherwise than we do
			return
		}
	case obsNone, obsEvent, obsLinked:
	}
	if o.hi <= s.top {
		t.behind(s, o, now)
		return
	}
	if o.known && o.lo-s.top > int64(t.rule.Reorder.Events) {
		return
	}
	switch {
	case o.lo > s.top+1:
		t.miss(s, hole{lo: s.top + 1, hi: o.lo - 1, from: s.at, to: now, late: now})
	case o.lo <= s.top:
		t.fill(s, o.lo, s.top, now)
	}
	s.top, s.at, s.doubt = o.hi, now, false
}

// behind takes an event into account that is not beyond the largest number: it was missing, is a duplicate, or belongs to a new beginning.
func (t *tracker) behind(s *sequence, o *observation, now time.Time) {
	if o.kind == obsUpTo || t.fill(s, o.lo, o.hi, now) || o.known {
		return
	}
	reach := int64(t.rule.Reorder.Events)
	switch {
	case o.hi >= s.top-reach:
		t.equal++
	case s.doubt && o.lo > s.again && o.lo-s.again <= reach:
		again, since := s.again, now
		t.begin(s, &observation{kind: obsEvent, lo: again, hi: again}, since)
		t.numbered(s, o, now)
	default:
		s.again, s.doubt = o.hi, true
	}
}

// miss notes a hole.
func (t *tracker) miss(s *sequence, h hole) {
	h.seen = s.seen
	t.keep(s, append(s.holes, h))
	t.waiting[s] = struct{}{}
}

// keep replaces what is missing of a count, but for what there is no room for: of that the oldest that is told goes first.
func (t *tracker) keep(s *sequence, holes []hole) {
	t.holes += len(holes) - len(s.holes)
	s.holes = holes
	for len(s.holes) > maxHoles || len(s.holes) > minHoles && t.holes > allHoles {
		oldest := max(0, slices.IndexFunc(s.holes, func(h hole) bool { return h.told }))
		if !s.holes[oldest].told {
			t.tell(s, &s.holes[oldest])
		}
		s.lossy = s.holes[oldest].to
		s.holes = slices.Delete(s.holes, oldest, oldest+1)
		t.holes--
	}
}

// fill takes numbers off what is missing, and reports whether any was.
func (t *tracker) fill(s *sequence, lo, hi int64, now time.Time) (found bool) {
	holes := slices.Clone(s.holes)
	for i := 0; i < len(holes); i++ {
		h := holes[i]
		from, to := max(lo, h.lo), min(hi, h.hi)
		if from > to {
			continue
		}
		if !found && !h.told {
			t.came(s, &h, now)
		}
		found = true
		if h.told {
			t.out = append(t.out, finding{key: s.key, lo: from, hi: to, from: h.from, to: now, repaired: true})
		}
		var rest []hole
		if h.lo < from {
			left := h
			left.hi = from - 1
			rest = append(rest, left)
		}
		if to < h.hi {
			right := h
			right.lo = to + 1
			rest = append(rest, right)
		}
		holes = slices.Replace(holes, i, i+1, rest...)
		i += len(rest) - 1
	}
	if found {
		t.keep(s, holes)
	}
	return found
}

// came notes an event that came late, and in time.
func (t *tracker) came(s *sequence, h *hole, now time.Time) {
	t.late++
	t.furthest, t.longest = max(t.furthest, s.seen-h.seen), max(t.longest, now.Sub(h.to))
}

// filled takes an event into account that was asked for afterwards, because of a gap that was told: it fills what is missing, and begins nothing
// anew. known tells that the stream had it already.
func (t *tracker) filled(o *observation, g *Gap, known bool, now time.Time) {
	b, told := bucketOf(o.key), len(t.out)
	o.known = true
	switch s := t.buckets[b][o.key]; {
	case s == nil || !s.begun:
	case o.kind == obsEvent:
		t.numbered(s, o, now)
		t.dirty[b] = true
	case o.kind == obsLinked:
		t.arrived(s, o.id, now)
		t.dirty[b] = true
	}
	if known || len(t.out) > told || g.How != GapSequence || g.Key != o.key {
		return
	}
	f := finding{key: g.Key, from: g.From, to: now, repaired: true} // it is no longer remembered as missing
	lo, hi, ok := g.numbers()
	switch f.lo, f.hi = max(lo, o.lo), min(hi, o.hi); {
	case o.kind == obsEvent && ok && f.lo <= f.hi:
		t.out = append(t.out, f)
	case o.kind == obsLinked && g.Last == o.id:
		f.lo, f.hi, f.id = 0, 0, g.Last
		t.out = append(t.out, f)
	}
}

// arrived takes an event of a chain off what is missing.
func (t *tracker) arrived(s *sequence, id string, now time.Time) {
	for i, h := range s.holes {
		if h.id != id {
			continue
		}
		if !h.told {
			t.came(s, &h, now)
		} else {
			t.out = append(t.out, finding{key: s.key, id: h.id, after: h.after, from: h.from, to: now, repaired: true})
		}
		t.keep(s, slices.Delete(slices.Clone(s.holes), i, i+1))
		return
	}
}

// linked takes an event that names the one before it into account.
func (t *tracker) linked(s *sequence, o *observation, now time.Time) {
	if s.has(o.id) {
		t.equal++
		return
	}
	t.arrived(s, o.id, now)
	missing := slices.ContainsFunc(s.holes, func(h hole) bool { return h.id == o.previous })
	switch {
	case o.previous == "" && !o.known:
		t.begin(s, o, now)
		return
	case o.known, missing, s.has(o.previous):
	default:
		t.miss(s, hole{id: strings.Clone(o.previous), after: s.last, from: s.at, to: now, late: now})
	}
	s.link(o.id, t.rule.Reorder.Events)
	s.at = now
}

// has reports whether an id is one of the last.
func (s *sequence) has(id string) bool { return slices.Contains(s.recent, linkHash(id)) }

// link notes an id.
func (s *sequence) link(id string, most int) {
	if len(s.recent) >= most {
		s.recent = slices.Delete(s.recent, 0, len(s.recent)-most+1)
	}
	s.recent, s.last = append(s.recent, linkHash(id)), strings.Clone(id)
}

func linkHash(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

// overdue tells what so many later events did not bring.
func (t *tracker) overdue(s *sequence) {
	if _, ok := t.waiting[s]; !ok {
		return
	}
	waits := false
	for i := range s.holes {
		h := &s.holes[i]
		if !h.told && s.seen-h.seen >= int64(t.rule.Reorder.Events) {
			t.tell(s, h)
		}
		waits = waits || !h.told
	}
	t.settled(s, waits)
}

// due reports whether something has been missing for so long that it is to be told.
func (t *tracker) due(now time.Time) bool {
	for s := range t.waiting {
		for _, h := range s.holes {
			if !h.told && now.Sub(h.late) >= t.rule.Reorder.Time {
				return true
			}
		}
	}
	return false
}

// tick tells what time did not bring.
func (t *tracker) tick(now time.Time) {
	for s := range t.waiting {
		waits := false
		for i := range s.holes {
			h := &s.holes[i]
			if !h.told && now.Sub(h.late) >= t.rule.Reorder.Time {
				t.tell(s, h)
			}
			waits = waits || !h.told
		}
		t.settled(s, waits)
	}
}

// settled takes the covered holes off, and s from those that are waited for, if so.
func (t *tracker) settled(s *sequence, waits bool) {
	t.dirty[bucketOf(s.key)] = true
	if !waits {
		delete(t.waiting, s)
	}
}

// tellAll tells what is missing before a new beginning.
func (t *tracker) tellAll(s *sequence) {
	for i := range s.holes {
		if !s.holes[i].told {
			t.tell(s, &s.holes[i])
		}
	}
	delete(t.waiting, s)
}

// tell tells a hole, unless another connection was there.
func (t *tracker) tell(s *sequence, h *hole) {
	h.told = true
	if t.rule.perConnection() && t.covered(s, h) {
		return
	}
	t.out = append(t.out, s.finding(h))
}

// finding returns a hole as what is told of it.
func (s *sequence) finding(h *hole) finding {
	return finding{key: s.key, lo: h.lo, hi: h.hi, id: h.id, after: h.after, from: h.from, to: h.to}
}

// covered reports whether another connection had nothing missing at the time.
func (t *tracker) covered(s *sequence, h *hole) bool {
	slack := t.rule.Reorder.Time
	for place := t.recent.Front(); place != nil; place = place.Next() {
		o := place.Value.(*sequence)
		if o == s || !o.begun || o.since.After(h.from) || o.at.Before(h.to.Add(-slack)) {
			continue
		}
		if !slices.ContainsFunc(o.holes, func(other hole) bool {
			return other.from.Before(h.to.Add(slack)) && other.to.After(h.from.Add(-slack))
		}) {
			return true
		}
	}
	return false
}

// take returns what has been found since it was called last, what belongs together as one, in the order of time.
func (t *tracker) take() []finding {
	out := t.out
	t.out = nil
	slices.SortStableFunc(out, func(a, b finding) int {
		return cmp.Or(a.to.Compare(b.to), strings.Compare(a.key, b.key), cmp.Compare(a.lo, b.lo))
	})
	var joined []finding
	for _, f := range out {
		if n := len(joined); n > 0 && f.follows(&joined[n-1]) {
			joined[n-1].hi = f.hi
			continue
		}
		joined = append(joined, f)
	}
	return joined
}

// follows reports whether f goes on where before ends.
func (f *finding) follows(before *finding) bool {
	return f.repaired && before.repaired && f.id == "" && before.id == "" && f.key == before.key && f.lo == before.hi+1 && f.to.Equal(before.to) && f.from.Equal(before.from)
}

// count is how many events it is about; of a chain it is one at least.
func (f *finding) count() int64 {
	if f.id != "" {
		return 1
	}
	return f.hi - f.lo + 1
}

// gap returns f as the content of a gap record, without the source.
func (f *finding) gap() Gap {
	g := Gap{From: f.from, To: f.to, How: GapSequence, Reason: f.words(), Lost: f.count(), Key: f.key}
	g.First, g.Last = f.bounds()
	if f.repaired {
		g.RepairedAt = f.to
	}
	return g
}

// bounds are the first and the last that are missing. Of a chain only the last is known.
func (f *finding) bounds() (first, last string) {
	if f.id != "" {
		return "", f.id
	}
	return strconv.FormatInt(f.lo, 10), strconv.FormatInt(f.hi, 10)
}

// words say what was found.
func (f *finding) words() string {
	first, last := f.bounds()
	what := "number " + first
	switch {
	case f.id != "":
		what = "the event " + strconv.Quote(f.id)
	case f.lo != f.hi:
		what = "numbers " + first + " to " + last
	}
	if f.key != "" {
		what += " of " + strconv.Quote(f.key)
	}
	if f.repaired {
		return what + " came after it had been told missing"
	}
	if f.after != "" {
		return what + " did not come; before it came " + strconv.Quote(f.after)
	}
	return what + " did not come"
}

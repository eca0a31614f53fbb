package local

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// decision is the content of the repaired database beside the batches.
type decision struct {
	values  map[string][]byte // by key; without the commit number
	removed map[string]bool   // keys whose newest version says so
	last    commitState       // the newest commit that was found
	whole   bool              // values is exactly what that commit knew, and no later one was acknowledged
	missing uint64            // commits that are in no file
	lastGap uint64            // the number of the last of them
	streams map[uint32]*mendedStream
	notes   []string
}

type mendedStream struct {
	meta   streamMeta
	shards map[leat.ShardID]*shardMeta
	lost   map[leat.ShardID]bool // rebuilt from their records
	fresh  map[leat.ShardID]bool // made by repair, to take the place of lost ones
}

// view is one way to see which versions of keys count and which of two is newer.
type view struct {
	counts func(*version) bool
	older  func(a, b *version) bool
}

func bySeq(a, b *version) bool {
	switch {
	case a.log && b.log:
		return a.file < b.file || a.file == b.file && a.order < b.order
	case a.seq != b.seq:
		return a.seq < b.seq
	}
	return a.file < b.file
}

func byFile(a, b *version) bool {
	if !a.log && !b.log && a.file != b.file {
		return a.file < b.file
	}
	return bySeq(a, b)
}

// decide chooses between the versions of every key. Which files are leftovers, and how old a version is whose pebble sequence number a
// compaction has taken away, is not certain without a MANIFEST. But each commit has stored a digest of all keys: the view
// that gives the digest of the newest commit is right. If none does, something is lost, and the most careful view is taken.
func (s *salvage) decide(high *highWater) *decision {
	flushed := s.flushed()
	live := func(v *version) bool {
		return v.log && v.file >= s.manifest.minLog || !v.log && s.manifest.live(v.file)
	}
	unflushed := func(v *version) bool { return !v.log || v.commit.number > flushed }
	all := func(*version) bool { return true }
	views := []view{{unflushed, bySeq}, {unflushed, byFile}, {all, bySeq}, {all, byFile}}
	if s.manifest.whole {
		views = slices.Insert(views, 0, view{live, bySeq})
	} else {
		views = append(views, view{live, bySeq})
	}
	last, found := s.newest()
	if !found {
		last.at = s.now
	}
	d := &decision{last: last}
	for i, v := range views {
		values, removed, digest := s.choose(v)
		matched := found && digest == last.digest
		if i == 0 || matched {
			d.values, d.removed = values, removed
		}
		if matched {
			d.whole = high == nil || last.number >= high.commit
			break
		}
		if i == len(views)-1 {
			d.notes = append(d.notes, "streams, marks and state do not add up with the newest commit: some are older than they were, or lost; checkpoints and cursors among them repeat work, they lose none")
		}
	}
	top := last.number
	if high != nil {
		top = max(top, high.commit)
	}
	if d.missing, d.lastGap = s.missing(top); d.missing > 0 {
		d.notes = append(d.notes, fmt.Sprintf("%d commits up to commit %d cannot be read", d.missing, d.lastGap))
	}
	return d
}

// choose returns the newest versions in a view and their digest.
func (s *salvage) choose(w view) (values map[string][]byte, removed map[string]bool, digest uint64) {
	values, removed = map[string][]byte{}, map[string]bool{}
	for key, versions := range s.versions {
		var best *version
		for i := range versions {
			if v := &versions[i]; w.counts(v) && (best == nil || w.older(best, v)) {
				best = v
			}
		}
		switch {
		case best == nil || key == string(keyCommit):
		case best.removed:
			removed[key] = true
		default:
			values[key] = best.value
			digest += hashOf([]byte(key), best.value)
		}
	}
	return values, removed, digest
}

// mend makes a catalog that holds together: streams and shards whose entries are lost are made anew from their records.
func (s *salvage) mend(d *decision, high *highWater) {
	d.streams = map[uint32]*mendedStream{}
	for key, value := range d.values {
		s.parse(d, key, value)
	}
	if !d.whole {
		s.addLost(d, high)
	}
	next := uint32(1)
	if v := d.values[string(keyNextStream)]; len(v) == 4 {
		next = binary.BigEndian.Uint32(v)
	}
	names := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(d.streams)) {
		m := d.streams[id]
		next = max(next, id+1)
		if m.meta.Name == "" || names[m.meta.Name] {
			s.name(d, id, m)
		}
		names[m.meta.Name] = true
		if m.mendRing(latest(s.now, d.last.at.Add(time.Second))) {
			d.notes = append(d.notes, fmt.Sprintf("stream %s: some shards were lost; new ones take their place", m.meta.Name))
		}
		d.values[string(streamKey(id))] = encodeJSON(m.meta)
		for shard, meta := range m.shards {
			d.values[string(shardKey(id, shard))] = encodeJSON(meta)
		}
	}
	d.values[string(keyNextStream)] = binary.BigEndian.AppendUint32(nil, next)
}

func encodeJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs
	}
	return text
}

// parse reads an entry of the catalog; one that cannot be read is left out.
func (s *salvage) parse(d *decision, key string, value []byte) {
	switch {
	case len(key) == 6 && key[:2] == "ct":
		m := d.stream(binary.BigEndian.Uint32([]byte(key[2:])))
		if json.Unmarshal(value, &m.meta) != nil {
			m.meta = streamMeta{}
		}
	case len(key) == 10 && key[:2] == "ch":
		meta := &shardMeta{}
		if json.Unmarshal(value, meta) == nil {
			d.stream(binary.BigEndian.Uint32([]byte(key[2:]))).shards[leat.ShardID(binary.BigEndian.Uint32([]byte(key[6:])))] = meta
		}
	}
}

func (d *decision) stream(id uint32) *mendedStream {
	m := d.streams[id]
	if m == nil {
		m = &mendedStream{shards: map[leat.ShardID]*shardMeta{}, lost: map[leat.ShardID]bool{}, fresh: map[leat.ShardID]bool{}}
		d.streams[id] = m
	}
	return m
}

// addLost adds the shards that have records, or numbers in the high-water file, and no entry. A stream or shard of which a file says that it
// was removed stays away.
func (s *salvage) addLost(d *decision, high *highWater) {
	lost := map[place]bool{}
	for p, seen := range s.places {
		lost[p] = seen.live
	}
	if high != nil {
		for p := range high.next {
			lost[p] = true
		}
	}
	for p, live := range lost {
		m := d.streams[p.stream]
		if !live || m != nil && m.shards[p.shard] != nil || s.wasRemoved(d, p) {
			continue
		}
		m = d.stream(p.stream)
		meta := s.older(shardKey(p.stream, p.shard))
		shard := &shardMeta{Floor: 1}
		if meta == nil || json.Unmarshal(meta, shard) != nil {
			shard = &shardMeta{Floor: s.lostFloor(d, p), Created: s.firstArrival(p, d).UnixMilli()}
			shard.Range = stream.HashRange{End: leat.MaxHash}
			shard.Closed = max(shard.Created, d.last.at.UnixMilli())
			m.lost[p.shard] = true
		}
		m.shards[p.shard] = shard
		m.meta.Next = max(m.meta.Next, p.shard+1)
	}
}

func (s *salvage) wasRemoved(d *decision, p place) bool {
	if d.removed[string(streamKey(p.stream))] || d.removed[string(shardKey(p.stream, p.shard))] {
		return true
	}
	all := streamPrefix(string(spaceRecords), p.stream)
	return slices.ContainsFunc(s.removed, func(r span) bool {
		return string(r.end) == string(prefixEnd(all)) && len(r.start) >= 5 && string(r.start[:5]) == string(all)
	})
}

// older returns any version of the key, the newest first, that a view has left out.
func (s *salvage) older(key []byte) []byte {
	var best *version
	for i := range s.versions[string(key)] {
		if v := &s.versions[string(key)][i]; !v.removed && (best == nil || bySeq(best, v)) {
			best = v
		}
	}
	if best == nil {
		return nil
	}
	return best.value
}

// lostFloor is where a shard without entry begins: with everything, if commits are missing that may have held its first records, else with
// the first record that is known of.
func (s *salvage) lostFloor(d *decision, p place) uint64 {
	seen := s.places[p]
	if d.missing > 0 || seen == nil {
		return max(1, s.removedBefore(p))
	}
	first := seen.first
	for _, bounds := range s.manifest.tables {
		if k, err := parseRecordKey(bounds.first); err == nil && (place{k.stream, k.shard}) == p && s.manifest.whole {
			first = min(first, k.first)
		}
	}
	return max(first, 1)
}

// removedBefore returns the index before which retention has removed everything, as far as files tell.
func (s *salvage) removedBefore(p place) (index uint64) {
	for _, r := range s.removed {
		if where, before, err := shardOf(r); err == nil && where == p {
			index = max(index, before)
		}
	}
	return index
}

// firstArrival is not before the creation of a shard: sequence numbers of before count as older than the shard.
func (s *salvage) firstArrival(p place, d *decision) time.Time {
	if at, ok := s.into.firstArrival(p); ok {
		return at.Truncate(time.Second)
	}
	return d.last.at
}

// name finds a name for a stream whose entry is lost.
func (s *salvage) name(d *decision, id uint32, m *mendedStream) {
	var old streamMeta
	if text := s.older(streamKey(id)); text != nil && json.Unmarshal(text, &old) == nil && old.Name != "" && !d.taken(old.Name) {
		old.Next = max(old.Next, m.meta.Next)
		m.meta = old
		return
	}
	name := fmt.Sprintf("lost-%d", id)
	for d.taken(name) {
		name += "-"
	}
	next := m.meta.Next
	m.meta = streamMeta{Name: name, Created: d.last.at.UnixMilli()}
	for shard, meta := range m.shards {
		m.meta.Created = min(m.meta.Created, meta.Created)
		next = max(next, shard+1)
	}
	m.meta.Next = next
	d.notes = append(d.notes, fmt.Sprintf("the entry of stream number %d is lost; it is called %s now", id, name))
}

func (d *decision) taken(name string) bool {
	for _, m := range d.streams {
		if m.meta.Name == name {
			return true
		}
	}
	return false
}

// mendRing makes the open shards cover the ring without overlap and reports whether anything had to be done for it.
func (m *mendedStream) mendRing(now time.Time) (mended bool) {
	for id, shard := range m.shards {
		m.meta.Next = max(m.meta.Next, id+1)
		for _, parent := range shard.Parents {
			if p := m.shards[parent]; p != nil && p.Closed == 0 {
				p.Closed, mended = max(p.Created, shard.Created-1000), true
			}
		}
	}
	gaps, ok := m.uncovered()
	if !ok {
		for _, shard := range m.shards {
			if shard.Closed == 0 {
				shard.Closed = max(shard.Created, now.UnixMilli())
			}
		}
		gaps = []stream.HashRange{{End: leat.MaxHash}}
	}
	for _, gap := range gaps {
		mended = true
		created := now.UnixMilli()
		var parents []leat.ShardID
		for id, shard := range m.shards {
			if created = max(created, shard.Closed+1000); m.lost[id] {
				parents = append(parents, id)
			}
		}
		slices.Sort(parents)
		m.fresh[m.meta.Next] = true
		m.shards[m.meta.Next] = &shardMeta{Parents: parents, Range: gap, Created: created, Floor: 1}
		m.meta.Next++
	}
	return mended
}

// uncovered returns the parts of the ring that no open shard has; ok is false where two have the same.
func (m *mendedStream) uncovered() (gaps []stream.HashRange, ok bool) {
	var open []stream.HashRange
	for _, shard := range m.shards {
		if shard.Closed == 0 {
			open = append(open, shard.Range)
		}
	}
	slices.SortFunc(open, func(a, b stream.HashRange) int { return a.Start.Compare(b.Start) })
	want, end := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 128)
	for _, r := range open {
		start, last := number(r.Start), number(r.End)
		if start.Cmp(want) < 0 || last.Cmp(start) < 0 {
			return nil, false
		}
		if start.Cmp(want) > 0 {
			gaps = append(gaps, stream.HashRange{Start: hashAt(want), End: r.Start.Prev()})
		}
		want = last.Add(last, big.NewInt(1))
	}
	if want.Cmp(end) < 0 {
		gaps = append(gaps, stream.HashRange{Start: hashAt(want), End: leat.MaxHash})
	}
	return gaps, true
}

func number(h leat.Hash) *big.Int {
	n := new(big.Int).SetUint64(h.Hi)
	return n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(h.Lo))
}

func hashAt(n *big.Int) leat.Hash {
	low := new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0)))
	return leat.Hash{Hi: new(big.Int).Rsh(n, 64).Uint64(), Lo: low.Uint64()}
}

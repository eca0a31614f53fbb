package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
)

// rebuilt is the database that repair makes. Its log is off: nothing in it counts before it is flushed and in its place. A dry run
// makes it in memory and keeps only the trailers of batches.
type rebuilt struct {
	db    *pebble.DB
	batch *pebble.Batch
	dry   bool
}

// newRebuilt makes an empty database. failed takes the first error of its background work, after which pebble may hang.
func newRebuilt(e *Engine, dir string, dry bool, failed chan<- error) (*rebuilt, error) {
	o := e.pebbleOptions(false)
	o.Lock, o.DisableWAL, o.ErrorIfNotExists, o.ErrorIfExists = nil, true, false, true
	if dry {
		o.FS = vfs.NewMem()
	}
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	o.Logger = rebuildLogger{fail}
	o.EventListener = &pebble.EventListener{
		BackgroundError: fail,
		DataCorruption:  func(info pebble.DataCorruptionInfo) { fail(info.Details) },
	}
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &rebuilt{db: db, dry: dry, batch: db.NewBatch()}, nil
}

// rebuildLogger implements pebble.Logger for the database being made.
type rebuildLogger struct{ fail func(error) }

// Infof implements pebble.Logger.
func (rebuildLogger) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (rebuildLogger) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger. It never returns: pebble would go on.
func (l rebuildLogger) Fatalf(format string, args ...any) {
	l.fail(fmt.Errorf(format, args...))
	select {}
}

// set stores a value as it is.
func (r *rebuilt) set(key, value []byte) error {
	if r.dry && key[0] == spaceRecords {
		value = value[len(value)-trailerSize:]
	}
	if err := r.batch.Set(key, value, nil); err != nil {
		return err
	}
	if r.batch.Len() < 1<<20 {
		return nil
	}
	return r.apply()
}

// apply makes what was set readable.
func (r *rebuilt) apply() error {
	err := errors.Join(r.db.Apply(r.batch, pebble.NoSync), r.batch.Close())
	r.batch = r.db.NewBatch()
	return err
}

func (r *rebuilt) removeRange(start, end []byte) error {
	return r.db.DeleteRange(start, end, pebble.NoSync)
}

// finish makes everything durable and closes the database.
func (r *rebuilt) finish() error {
	if err := r.apply(); err != nil {
		return err
	}
	return errors.Join(r.db.Flush(), r.close())
}

func (r *rebuilt) close() error { return errors.Join(r.batch.Close(), r.db.Close()) }

// batches calls do for every batch of a shard, in order.
func (r *rebuilt) batches(p place, do func(k batchKey, arrived time.Time) error) error {
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: recordBound(p.stream, p.shard, 0), UpperBound: shardEnd(p.stream, p.shard)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		k, err := parseRecordKey(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		arrived, _ := trailerOf(value)
		if err := do(k, arrived); err != nil {
			return err
		}
	}
	return it.Error()
}

var errEnough = errors.New("enough")

// firstArrival returns when the first record of the shard arrived.
func (r *rebuilt) firstArrival(p place) (at time.Time, found bool) {
	_ = r.batches(p, func(_ batchKey, arrived time.Time) error {
		at, found = arrived, true
		return errEnough
	})
	return at, found
}

// rebuild writes the decision and the holes into the new database and returns what each shard holds and lacks.
func (s *salvage) rebuild(d *decision, high *highWater) (kept []RepairedShard, lost []Finding, err error) {
	if err := s.into.apply(); err != nil {
		return nil, nil, err
	}
	s.mend(d, high)
	holes := takeHoles(d.values)
	for p := range s.places {
		if m := d.streams[p.stream]; m == nil || m.shards[p.shard] == nil {
			if err := s.into.removeRange(recordBound(p.stream, p.shard, 0), shardEnd(p.stream, p.shard)); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.streams)) {
		m := d.streams[id]
		for _, shard := range slices.Sorted(maps.Keys(m.shards)) {
			b := &shardBuild{s: s, d: d, p: place{id, shard}, meta: m.shards[shard], old: holes[place{id, shard}]}
			if err := b.run(high); err != nil {
				return nil, nil, fmt.Errorf("stream %q %s: %w", m.meta.Name, shard, err)
			}
			d.values[string(shardKey(id, shard))] = encodeJSON(b.meta)
			k, l := b.report(m.meta.Name)
			kept, lost = append(kept, k), append(lost, l...)
		}
	}
	return kept, lost, s.writeValues(d, high)
}

// writeValues stores everything but the batches. The commit number is above all that was ever acknowledged.
func (s *salvage) writeValues(d *decision, high *highWater) error {
	last := commitState{number: d.last.number + 1, epoch: d.last.epoch, at: d.last.at}
	if high != nil {
		last.number, last.epoch = max(last.number, high.commit+1), max(last.epoch, high.epoch)
	}
	d.last = last
	for key, value := range d.values {
		d.last.digest += hashOf([]byte(key), value)
		if err := s.into.set([]byte(key), sealValue([]byte(key), value)); err != nil {
			return err
		}
	}
	if err := s.into.apply(); err != nil {
		return err
	}
	if !s.into.dry { // a dry run has no whole batches
		made := &Engine{db: s.into.db}
		if err := made.loadCatalog(); err != nil {
			return err
		}
		d.last.ends = made.catalog.ends()
	}
	if err := s.into.set(keyCommit, sealValue(keyCommit, d.last.encode())); err != nil {
		return err
	}
	return s.into.apply()
}

// takeHoles moves the holes that were written down earlier out of the values.
func takeHoles(values map[string][]byte) map[place][]hole {
	holes := map[place][]hole{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !strings.HasPrefix(key, "cg") {
			continue
		}
		value := values[key]
		delete(values, key)
		if k := []byte(key); len(k) == 18 && len(value) >= 8 {
			p := place{binary.BigEndian.Uint32(k[2:]), leat.ShardID(binary.BigEndian.Uint32(k[6:]))}
			holes[p] = append(holes[p], hole{binary.BigEndian.Uint64(k[10:]), binary.BigEndian.Uint64(value), string(value[8:])})
		}
	}
	return holes
}

// shardBuild finds the holes of one shard.
type shardBuild struct {
	s    *salvage
	d    *decision
	p    place
	meta *shardMeta
	old  []hole // written down by an earlier repair

	holes   []hole
	records uint64
	want    uint64 // index behind the last batch
	last    batchKey
	before  uint64 // want before last
}

// mostRecords is the most that one commit number can have put to one shard: the commits of a group share it, and a record takes more
// than 32 bytes of what may be in hand.
const mostRecords = maxInHand / 32

const holeReason = "lost to damage; found by repair"

func (b *shardBuild) run(high *highWater) error {
	if !b.d.whole {
		b.meta.Floor = max(b.meta.Floor, b.s.removedBefore(b.p))
	}
	b.want = b.meta.Floor
	if seen := b.s.places[b.p]; seen != nil && seen.lowest < b.meta.Floor {
		if err := b.s.into.removeRange(recordBound(b.p.stream, b.p.shard, 0), recordBound(b.p.stream, b.p.shard, b.meta.Floor)); err != nil {
			return err
		}
	}
	if err := b.s.into.batches(b.p, b.add); err != nil {
		return err
	}
	if end := b.end(high); end > b.want {
		b.lose(b.want, end, holeReason)
		b.want = end
	}
	if most := b.mayLack(high); most > 0 {
		b.lose(b.want, b.want+most, "what is lost may have held records here; their number is not known, and the range is the most there can have been")
	}
	for _, h := range b.holes {
		value := append(binary.BigEndian.AppendUint64(nil, h.to), h.reason...)
		b.d.values[string(holeKey(b.p.stream, b.p.shard, h.from))] = value
	}
	return nil
}

// add takes the next batch. Of two that overlap, the one that is surely part of the database stays: one from a table before
// one from a log, one from a later log before one from an earlier.
func (b *shardBuild) add(k batchKey, _ time.Time) error {
	if k.first < b.want && b.records > 0 {
		if !b.surer(k, b.last) {
			return b.drop(k)
		}
		if err := b.drop(b.last); err != nil {
			return err
		}
		b.records -= uint64(b.last.count)
		b.want = b.before
	}
	if k.first < b.want {
		return b.drop(k)
	}
	if k.first > b.want {
		b.lose(b.want, k.first, holeReason)
	}
	b.before, b.want, b.last = b.want, k.end(), k
	b.records += uint64(k.count)
	return nil
}

func (b *shardBuild) drop(k batchKey) error { return b.s.into.db.Delete(recordKey(k), pebble.NoSync) }

func (b *shardBuild) surer(k, than batchKey) bool {
	logOf := func(k batchKey) uint64 {
		if log, ok := b.s.fromLog[k]; ok {
			return log
		}
		return ^uint64(0)
	}
	return logOf(k) > logOf(than)
}

// lose notes a hole, in pieces where parts of it were known before.
func (b *shardBuild) lose(from, to uint64, reason string) {
	for _, h := range b.old {
		if h.to <= from || h.from >= to {
			continue
		}
		if h.from > from {
			b.holes = append(b.holes, hole{from, h.from, reason})
		}
		b.holes = append(b.holes, hole{max(from, h.from), min(to, h.to), h.reason})
		from = min(to, h.to)
	}
	if from < to {
		b.holes = append(b.holes, hole{from, to, reason})
	}
}

// end returns the index behind the last record of the shard that anything tells of.
func (b *shardBuild) end(high *highWater) (end uint64) {
	if high != nil {
		end = high.next[b.p]
	}
	for _, h := range b.old {
		end = max(end, h.to)
	}
	for number, bounds := range b.s.manifest.tables {
		if k, err := parseRecordKey(bounds.last); err == nil && (place{k.stream, k.shard}) == b.p && b.s.manifest.live(number) {
			end = max(end, k.end())
		}
	}
	return end
}

// mayLack returns how many records, at most, may be lost behind the end of the shard; 0 where its end is certain.
func (b *shardBuild) mayLack(high *highWater) (records uint64) {
	if b.d.streams[b.p.stream].fresh[b.p.shard] {
		return 0
	}
	if high != nil {
		if next, named := high.next[b.p]; named && next >= b.want {
			return 0
		}
	}
	seen := b.s.places[b.p]
	if b.d.missing > 0 && !b.s.closedInTable(b.p) && (seen == nil || seen.put <= b.d.lastGap) {
		records = b.d.missing * mostRecords
	}
	if _, log := b.s.fromLog[b.last]; !log || b.records == 0 { // what is in a log only is younger than all tables
		records += b.s.mayLack(b.p)
	}
	return records
}

func (b *shardBuild) report(name string) (RepairedShard, []Finding) {
	created := time.UnixMilli(b.meta.Created)
	number := func(index uint64) leat.SequenceNumber {
		return leat.NewSequence(b.p.shard, created, index, time.Unix(0, 0))
	}
	var lost []Finding
	for _, h := range b.holes {
		if slices.Contains(b.old, h) {
			continue // told before
		}
		lost = append(lost, Finding{
			Stream: name, Shard: b.p.shard, From: number(h.from), To: number(h.to - 1), Count: int64(h.to - h.from), Reason: h.reason,
		})
	}
	return RepairedShard{Stream: name, Shard: b.p.shard, Records: int64(b.records)}, lost
}

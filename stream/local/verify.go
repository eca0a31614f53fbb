package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Finding is one thing that is not as it was left.
type Finding struct {
	File   string // the file or what it is about, as far as known
	Stream string // the stream, if one is concerned
	Shard  leat.ShardID
	From   leat.SequenceNumber // first missing record; zero if none is known to be missing
	To     leat.SequenceNumber // last missing record
	Count  int64               // how many
	Reason string
}

// String returns the finding in one line.
func (f Finding) String() string {
	text := f.Reason
	if f.Stream != "" {
		text = fmt.Sprintf("stream %s %s: %s", f.Stream, f.Shard, text)
	}
	if f.Count > 0 {
		text += fmt.Sprintf(": %d records from %s to %s", f.Count, f.From, f.To)
	}
	if f.File != "" {
		text = f.File + ": " + text
	}
	return text
}

// DamageError is returned by Open when a directory does not hold what was acknowledged. Nothing was changed.
type DamageError struct {
	Dir      string
	Findings []Finding
}

// Error implements error.
func (e *DamageError) Error() string {
	lines := []string{fmt.Sprintf("data directory %s is damaged and was left as it is:", e.Dir)}
	for i, f := range e.Findings {
		if i == 20 {
			lines = append(lines, fmt.Sprintf("  and %d more", len(e.Findings)-i))
			break
		}
		lines = append(lines, "  "+f.String())
	}
	return strings.Join(lines, "\n")
}

// verify compares the open database with what was acknowledged. It reads every table once: it wants keys only, but values lie beside
// them.
func (e *Engine) verify(high *highWater) ([]Finding, error) {
	var findings []Finding
	report := func(err error) error {
		if isDamage(err) {
			if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Reason == err.Error() }) {
				findings = append(findings, Finding{File: dbDir, Reason: err.Error()})
			}
			return nil
		}
		return err
	}
	last, err := e.loadCommit()
	if err == nil {
		err = e.verifyDigest(last.digest)
	} else {
		high = nil // nothing to compare it with
	}
	for _, err := range []error{err, e.loadMarks(), e.loadCatalog()} {
		if err := report(err); err != nil {
			return nil, err
		}
	}
	if len(findings) == 0 && e.catalog.ends() != last.ends {
		findings = append(findings, Finding{File: dbDir, Reason: "records at the end of a shard are missing: the shards do not end where the last commit left them"})
	}
	for _, s := range e.catalog.all() {
		for _, shard := range s.list() {
			found, err := e.verifyShard(shard)
			findings = append(findings, found...)
			if err := report(err); err != nil {
				return nil, fmt.Errorf("stream %q %s: %w", s.name, shard.id, err)
			}
		}
	}
	return append(findings, e.compare(high, last.number)...), nil
}

// verifyDigest finds streams, marks and state that are missing, or older than the last commit knew them.
func (e *Engine) verifyDigest(want uint64) error {
	d, err := e.loadDigest()
	if err == nil && d.sum != want {
		err = fmt.Errorf("%w: streams, marks and state are not those of the last commit", errMissing)
	}
	return err
}

// verifyShard finds holes in the run of records that are not written down as such.
func (e *Engine) verifyShard(s *shardState) ([]Finding, error) {
	var findings []Finding
	want := s.floor
	it, err := e.records(s, s.next)
	if err != nil {
		return nil, err
	}
	for ok := it.SeekGE(recordBound(s.stream.id, s.id, s.floor)); ok; ok = it.Next() {
		k, err := parseRecordKey(it.Key())
		if err != nil {
			return findings, errors.Join(err, it.Close())
		}
		if missing := s.missing(want, k.first); missing != nil {
			findings = append(findings, *missing)
		}
		want = k.end()
	}
	return findings, it.Close()
}

// missing returns the finding for records from index from up to to, unless they are known to be lost or there are none.
func (s *shardState) missing(from, to uint64) *Finding {
	for _, h := range s.holes {
		if h.from <= from && from < h.to {
			from = h.to
		}
	}
	if from >= to {
		return nil
	}
	return &Finding{
		Stream: s.stream.name, Shard: s.id, From: s.lowest(from), To: s.lowest(to - 1), Count: int64(to - from),
		Reason: "acknowledged records are missing",
	}
}

// compare finds what the high-water file names and the database lacks.
func (e *Engine) compare(high *highWater, number uint64) []Finding {
	if high == nil || number >= high.commit {
		return nil
	}
	findings := []Finding{{
		File:   dbDir,
		Reason: fmt.Sprintf("the last commit is %d, but commit %d was acknowledged", number, high.commit),
	}}
	for _, p := range high.places() {
		for _, s := range e.catalog.all() {
			if s.id != p.stream {
				continue
			}
			shard, err := s.shard(p.shard)
			if err != nil {
				continue
			}
			if f := shard.missing(shard.next, high.next[p]); f != nil {
				findings = append(findings, *f)
			}
		}
	}
	return findings
}

// loadCommit reads what the last commit knew.
func (e *Engine) loadCommit() (last commitState, err error) {
	missing := fmt.Errorf("%w: the database has no commit number", errMissing)
	err = e.scan(keyCommit, func(_, value []byte) error {
		missing = nil
		last, err = decodeCommitState(value)
		return err
	})
	return last, errors.Join(err, missing)
}

// loadCatalog reads all streams and shards and where each shard ends.
func (e *Engine) loadCatalog() error {
	e.catalog.byName, e.catalog.nextID = map[string]*streamState{}, 1
	err := e.scan(keyNextStream, func(_, value []byte) error {
		if len(value) == 4 {
			e.catalog.nextID = binary.BigEndian.Uint32(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var damage error
	err = e.scan([]byte("ct"), func(key, value []byte) error {
		var meta streamMeta
		if err := json.Unmarshal(value, &meta); err != nil || len(key) != 6 {
			return fmt.Errorf("stream under key %x: %w", key, errSeal)
		}
		s := &streamState{
			id: binary.BigEndian.Uint32(key[2:]), name: meta.Name, created: time.UnixMilli(meta.Created),
			keep: stream.Retention{Age: meta.Age, Bytes: meta.Bytes}, nextShard: meta.Next,
		}
		e.catalog.byName[s.name] = s
		err := e.loadShards(s)
		if isDamage(err) {
			damage, err = errors.Join(damage, err), nil // the other streams are read all the same
		}
		return err
	})
	if err != nil {
		return err
	}
	return damage
}

func (e *Engine) loadShards(s *streamState) error {
	var shards []*shardState
	err := e.scan(streamPrefix("ch", s.id), func(key, value []byte) error {
		var meta shardMeta
		if err := json.Unmarshal(value, &meta); err != nil || len(key) != 10 {
			return fmt.Errorf("shard under key %x: %w", key, errSeal)
		}
		shard := newShard(s, leat.ShardID(binary.BigEndian.Uint32(key[6:])), meta.Range, time.UnixMilli(meta.Created))
		shard.parents, shard.floor, shard.removed = slices.Clone(meta.Parents), meta.Floor, meta.Removed
		if meta.Closed != 0 {
			shard.closed = time.UnixMilli(meta.Closed)
		}
		shards = append(shards, shard)
		return nil
	})
	if err != nil {
		return err
	}
	var damage error
	for _, shard := range shards {
		switch err := errors.Join(e.loadHoles(shard), e.loadEnd(shard)); {
		case isDamage(err):
			damage = errors.Join(damage, fmt.Errorf("stream %q %s: %w", s.name, shard.id, err))
		case err != nil:
			return err
		}
	}
	s.shards = shards
	if err := s.setShards(shards); err != nil {
		damage = errors.Join(damage, fmt.Errorf("%w: %w", errMissing, err))
	}
	return damage
}

func (e *Engine) loadHoles(s *shardState) error {
	return e.scan(appendShard([]byte("cg"), s.stream.id, s.id), func(key, value []byte) error {
		if len(key) != 18 || len(value) < 8 {
			return fmt.Errorf("hole under key %x: %w", key, errSeal)
		}
		s.holes = append(s.holes, hole{
			from: binary.BigEndian.Uint64(key[10:]), to: binary.BigEndian.Uint64(value), reason: string(value[8:]),
		})
		return nil
	})
}

// loadEnd finds where a shard ends: behind its last batch, its last hole and its floor.
func (e *Engine) loadEnd(s *shardState) error {
	s.next, s.total = s.floor, s.removed
	err := e.loadLast(s)
	if isDamage(err) {
		s.next = max(s.next, e.lastKey(s))
	}
	for _, h := range s.holes {
		s.next = max(s.next, h.to)
	}
	s.arrived = latest(s.arrived, s.created)
	s.durable, s.tip, s.bytes = s.next, s.arrived, s.total
	s.setEnd()
	return err
}

// lastKey returns the index behind the last record of a shard that the MANIFEST tells of.
func (e *Engine) lastKey(s *shardState) (end uint64) {
	levels, err := e.db.SSTables()
	if err != nil {
		return 0
	}
	for _, table := range slices.Concat(levels...) {
		if k, err := parseRecordKey(table.Largest.UserKey); err == nil && k.stream == s.stream.id && k.shard == s.id {
			end = max(end, k.end())
		}
	}
	return end
}

// loadLast reads the last batch of a shard.
func (e *Engine) loadLast(s *shardState) error {
	it, err := e.db.NewIter(&pebble.IterOptions{
		LowerBound: recordBound(s.stream.id, s.id, s.floor), UpperBound: shardEnd(s.stream.id, s.id),
	})
	if err != nil {
		return err
	}
	defer it.Close()
	if it.Last() {
		k, err := parseRecordKey(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		b, err := openBatch(k, value)
		if err != nil {
			return fmt.Errorf("last batch: %w", err)
		}
		s.next, s.arrived, s.total = k.end(), b.arrived, b.total
	}
	return it.Error()
}

func streamPrefix(space string, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(space), id)
}

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

// verify compares the open database with what was acknowledged. It reads keys, not records, so that its time
// depends on the number of batches.
func (e *Engine) verify(high *highWater) ([]Finding, error) {
	var findings []Finding
	report := func(err error) error {
		if err != nil && isDamage(err) {
			findings = append(findings, Finding{File: dbDir, Reason: err.Error()})
			return nil
		}
		return err
	}
	last, err := e.loadCommit()
	if err := report(err); err != nil || len(findings) > 0 {
		return findings, err
	}
	if err := report(errors.Join(e.verifyDigest(last.digest), e.loadMarks(), e.loadCatalog())); err != nil {
		return nil, err
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
	return e.scan([]byte("ct"), func(key, value []byte) error {
		var meta streamMeta
		if err := json.Unmarshal(value, &meta); err != nil || len(key) != 6 {
			return fmt.Errorf("stream under key %x: %w", key, errSeal)
		}
		s := &streamState{
			id: binary.BigEndian.Uint32(key[2:]), name: meta.Name, created: time.UnixMilli(meta.Created),
			keep: stream.Retention{Age: meta.Age, Bytes: meta.Bytes}, nextShard: meta.Next,
		}
		e.catalog.byName[s.name] = s
		return e.loadShards(s)
	})
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
	for _, shard := range shards {
		if err := errors.Join(e.loadHoles(shard), e.loadEnd(shard)); err != nil {
			return fmt.Errorf("stream %q %s: %w", s.name, shard.id, err)
		}
	}
	return s.setShards(shards)
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
	for _, h := range s.holes {
		s.next = max(s.next, h.to)
	}
	s.arrived = latest(s.arrived, s.created)
	s.durable, s.tip, s.bytes = s.next, s.arrived, s.total
	s.setEnd()
	return it.Error()
}

func streamPrefix(space string, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(space), id)
}

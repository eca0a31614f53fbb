package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// salvage gathers what can be read of a damaged database, whatever its MANIFEST says. Stored batches go straight into the new
// database: a batch is never changed, so that every copy with a right checksum is as good as any other. Of all other keys it keeps the
// versions it meets, with where they were, and choose decides between them.
type salvage struct {
	fs   vfs.FS
	dir  string
	into *rebuilt
	log  *slog.Logger
	now  time.Time

	manifest *manifestScan
	findings []Finding
	logs     []uint64
	tables   []uint64
	size     uint64 // of logs and tables

	frames   []logFrame
	versions map[string][]version
	removed  []span
	unread   []unread // parts of live tables
	places   map[place]*placeSeen
	fromLog  map[batchKey]uint64 // batches that only a log has: its number
	order    int
	again    bool // the logs are read for the second time
}

// logFrame is one commit in a log.
type logFrame struct {
	log    uint64
	at     int64
	commit commitID
	places []place // shards it puts to
}

// commitID says which commit it is. An epoch is one opening; numbers go on through the epochs.
type commitID struct{ epoch, number uint64 }

func (c commitID) before(o commitID) bool {
	return c.epoch < o.epoch || c.epoch == o.epoch && c.number < o.number
}

// version is one version of a key that is not a batch's.
type version struct {
	file    uint64
	log     bool
	seq     uint64
	order   int // in which it was met
	commit  commitID
	value   []byte
	removed bool
}

// placeSeen is what the records themselves tell of a shard.
type placeSeen struct {
	lowest uint64 // index
	first  uint64 // the same, of those in files that are not known to be leftovers
	live   bool   // there is such a file
	put    uint64 // number of the last commit in a log that put to it
}

func (s *salvage) report(file, format string, args ...any) {
	s.findings = append(s.findings, Finding{File: s.fs.PathJoin(dbDir, file), Reason: fmt.Sprintf(format, args...)})
}

// list finds the files.
func (s *salvage) list() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		base, kind, _ := strings.Cut(name, ".")
		number, err := strconv.ParseUint(base, 10, 64)
		if err != nil {
			continue
		}
		switch kind {
		case "log":
			s.logs = append(s.logs, number)
		case "sst":
			s.tables = append(s.tables, number)
		default:
			continue
		}
		if info, err := s.fs.Stat(s.fs.PathJoin(s.dir, name)); err == nil {
			s.size += uint64(info.Size())
		}
	}
	slices.Sort(s.logs)
	slices.Sort(s.tables)
	if s.manifest, err = readManifest(s.fs, s.dir, names); err != nil || !s.manifest.whole {
		s.manifest.whole = false
		s.report("MANIFEST", "%s is missing, cut or damaged; the files speak for themselves", s.manifest.name)
	}
	for number := range s.manifest.tables {
		if !slices.Contains(s.tables, number) && s.manifest.whole {
			s.report(tableName(number), "it is missing")
			s.addUnread(number, unread{bytes: maxTable})
		}
	}
	return nil
}

func logName(number uint64) string   { return fmt.Sprintf("%06d.log", number) }
func tableName(number uint64) string { return fmt.Sprintf("%06d.sst", number) }

// liveLog and liveTable report whether a file is not known to be a leftover.
func (s *salvage) liveLog(n uint64) bool   { return !s.manifest.whole || n >= s.manifest.minLog }
func (s *salvage) liveTable(n uint64) bool { return !s.manifest.whole || s.manifest.live(n) }

// read reads everything: the logs first, because what a table holds is sure to have been part of the database, while a log may hold
// a commit that an earlier start has given up.
func (s *salvage) read() error {
	s.versions, s.places, s.fromLog = map[string][]version{}, map[place]*placeSeen{}, map[batchKey]uint64{}
	for _, n := range s.logs {
		if err := s.readLog(n, s.frame); err != nil {
			return err
		}
	}
	lowest := s.lowestOfEpochs()
	s.frames = slices.DeleteFunc(s.frames, func(f logFrame) bool { return givenUp(lowest, f.commit) })
	s.again = true
	for _, n := range s.logs {
		err := s.readLog(n, func(log uint64, at int64, record []byte) error {
			if len(record) < batchHead || givenUp(lowest, commitOf(record)) {
				return nil
			}
			return s.copyFrame(log, record)
		})
		if err != nil {
			return err
		}
	}
	for i, n := range s.tables {
		if i%50 == 0 {
			s.log.Info("reading", "table", i+1, "of", len(s.tables))
		}
		if err := s.copyTable(n); err != nil {
			return err
		}
	}
	return nil
}

// readLog calls do for every pebble batch in a log.
func (s *salvage) readLog(number uint64, do func(log uint64, at int64, record []byte) error) error {
	f, err := s.fs.Open(s.fs.PathJoin(s.dir, logName(number)))
	if err != nil {
		return err
	}
	defer f.Close()
	var stop error
	scan, err := readChunks(f, number, func(record []byte, at int64) error {
		stop = do(number, at, record)
		return stop
	})
	if stop != nil {
		return stop
	}
	if s.again || !s.liveLog(number) {
		return nil
	}
	if err != nil {
		s.report(logName(number), "it cannot be read further: %v", err)
	}
	for _, h := range scan.holes {
		s.report(logName(number), "damaged from byte %d to %d", h.from, h.to)
	}
	return nil
}

// batchHead is the length of the head of a pebble batch: the sequence number of its first operation 8 and their count 4, little-endian.
const batchHead = 12

// eachOp calls do for every operation of a pebble batch until it returns false, and reports whether the batch is well-formed up to there.
func eachOp(record []byte, do func(kind pebble.InternalKeyKind, key, value []byte) bool) bool {
	d := decoder{buf: record[min(batchHead, len(record)):]}
	for len(d.buf) > 0 {
		kind := pebble.InternalKeyKind(d.byte())
		key, value := d.bytes(), []byte(nil)
		switch kind {
		case pebble.InternalKeyKindSet, pebble.InternalKeyKindRangeDelete, pebble.InternalKeyKindDeleteSized:
			value = d.bytes()
		case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindLogData:
		default:
			return false // nothing of ours
		}
		if d.bad {
			return false
		}
		if !do(kind, key, value) {
			return true
		}
	}
	return len(record) >= batchHead
}

// commitOf returns which commit a pebble batch is; a seal is none.
func commitOf(record []byte) (c commitID) {
	eachOp(record, func(kind pebble.InternalKeyKind, key, value []byte) bool {
		if kind != pebble.InternalKeyKindSet || !bytes.Equal(key, keyCommit) {
			return true
		}
		if opened, err := openValue(key, value); err == nil {
			if state, err := decodeCommitState(opened); err == nil {
				c = commitID{state.epoch, state.number}
			}
		}
		return true
	})
	return c
}

// frame notes a commit.
func (s *salvage) frame(log uint64, at int64, record []byte) error {
	f := logFrame{log: log, at: at, commit: commitOf(record)}
	if f.commit == (commitID{}) {
		return nil
	}
	eachOp(record, func(kind pebble.InternalKeyKind, key, _ []byte) bool {
		if kind == pebble.InternalKeyKindSet && len(key) > 0 && key[0] == spaceRecords {
			if k, err := parseRecordKey(key); err == nil {
				f.places = append(f.places, place{k.stream, k.shard})
			}
		}
		return true
	})
	s.frames = append(s.frames, f)
	return nil
}

// lowestOfEpochs returns the lowest number seen of each epoch.
func (s *salvage) lowestOfEpochs() map[uint64]uint64 {
	lowest := map[uint64]uint64{}
	for _, f := range s.frames {
		if n, ok := lowest[f.commit.epoch]; !ok || f.commit.number < n {
			lowest[f.commit.epoch] = f.commit.number
		}
	}
	return lowest
}

// givenUp reports whether a later opening used the number of the commit again: it was in the log when the process died, but never
// acknowledged, and was not there when the later opening looked.
func givenUp(lowest map[uint64]uint64, c commitID) bool {
	for epoch, number := range lowest {
		if epoch > c.epoch && number <= c.number {
			return true
		}
	}
	return false
}

// copyFrame takes over the content of one commit in a log.
func (s *salvage) copyFrame(log uint64, record []byte) error {
	var failed error
	seq, commit := binary.LittleEndian.Uint64(record), commitOf(record)
	whole := eachOp(record, func(kind pebble.InternalKeyKind, key, value []byte) bool {
		e := entry{key: key, value: value, seq: seq}
		seq++ // a seal has no number, but is alone in its batch
		switch kind {
		case pebble.InternalKeyKindSet:
		case pebble.InternalKeyKindDelete:
			e.removed = true
		case pebble.InternalKeyKindRangeDelete:
			s.removed = append(s.removed, span{bytes.Clone(key), bytes.Clone(value)})
			return true
		default:
			return true
		}
		failed = s.take(&e, version{file: log, log: true, commit: commit})
		return failed == nil
	})
	if !whole {
		s.report(logName(log), "commit %d is malformed", commit.number)
	}
	return failed
}

// copyTable takes over the content of one table.
func (s *salvage) copyTable(number uint64) error {
	var stop error
	scan, err := readTable(s.fs, s.fs.PathJoin(s.dir, tableName(number)), func(e *entry) error {
		stop = s.take(e, version{file: number})
		return stop
	})
	if stop != nil {
		return stop
	}
	if err != nil {
		s.report(tableName(number), "it cannot be read: %v", err)
	}
	for _, text := range scan.damage {
		s.report(tableName(number), "%s", text)
	}
	if err != nil && scan.size == 0 {
		scan.unread = append(scan.unread, unread{bytes: maxTable})
	}
	for _, u := range scan.unread {
		s.addUnread(number, u)
	}
	s.removed = append(s.removed, scan.removed...)
	return nil
}

// addUnread keeps a part of a table that cannot be read, within the bounds that the MANIFEST gives the table.
func (s *salvage) addUnread(table uint64, u unread) {
	bounds, known := s.manifest.tables[table]
	if !s.liveTable(table) || u.cut && !known {
		return // without a MANIFEST, a table without its end is taken for one that was never finished
	}
	if u.start == nil && known {
		u.start = bounds.first
	}
	if u.end == nil && known {
		u.end = bounds.last
	}
	s.unread = append(s.unread, u)
}

// mayLack returns how many records of the shard, at most, a part of a table holds that cannot be read and that may have been the end
// of the shard. Where the part ends inside the shard, the record behind it tells the rest.
func (s *salvage) mayLack(p place) (records uint64) {
	end := shardEnd(p.stream, p.shard)
	for _, u := range s.unread {
		if bytes.Compare(u.start, end) < 0 && (u.end == nil || bytes.Compare(u.end, end) >= 0) {
			records += (u.bytes/leastBatch + 1) * maxRecords
		}
	}
	return records
}

// maxTable is a bound for the size of a table of which nothing can be read.
const maxTable = 1 << 30

// leastBatch is the smallest size of a batch with its key.
const leastBatch = recordKeySize + headSize + trailerSize

// take takes over one version of a key if it is whole.
func (s *salvage) take(e *entry, v version) error {
	if len(e.key) == 0 {
		return nil
	}
	if e.key[0] == spaceRecords {
		return s.takeBatch(e, &v)
	}
	v.seq, v.removed = e.seq, e.removed
	if !e.removed {
		value, err := openValue(e.key, e.value)
		if err != nil {
			s.reportVersion(&v, err)
			return nil
		}
		v.value = bytes.Clone(value)
	}
	s.order++
	v.order = s.order
	s.versions[string(e.key)] = append(s.versions[string(e.key)], v)
	return nil
}

func (s *salvage) reportVersion(v *version, err error) {
	name := tableName(v.file)
	if v.log {
		name = logName(v.file)
	}
	s.report(name, "%v", err)
}

func (s *salvage) takeBatch(e *entry, v *version) error {
	k, err := parseRecordKey(e.key)
	if err != nil || e.removed {
		return nil //nolint:nilerr // batches are removed by ranges, which the catalog knows better
	}
	if _, err := openBatch(k, e.value); err != nil {
		s.reportVersion(v, fmt.Errorf("batch %d of stream %d %s: %w", k.first, k.stream, k.shard, err))
		return nil
	}
	p := place{k.stream, k.shard}
	seen := s.places[p]
	if seen == nil {
		seen = &placeSeen{first: k.first, lowest: k.first}
		s.places[p] = seen
	}
	seen.lowest = min(seen.lowest, k.first)
	if live := v.log && s.liveLog(v.file) || !v.log && s.liveTable(v.file); live {
		if !seen.live || k.first < seen.first {
			seen.first = k.first
		}
		seen.live = true
	}
	if v.log {
		seen.put = max(seen.put, v.commit.number)
		s.fromLog[k] = v.file
	} else {
		delete(s.fromLog, k)
	}
	return s.into.set(e.key, e.value)
}

// newest returns what the newest commit knew that can be found.
func (s *salvage) newest() (last commitState, found bool) {
	for _, v := range s.versions[string(keyCommit)] {
		c, err := decodeCommitState(v.value)
		if err == nil && (!found || commitID{last.epoch, last.number}.before(commitID{c.epoch, c.number})) {
			last, found = c, true
		}
	}
	return last, found
}

// flushed returns the number up to which all commits are in tables.
func (s *salvage) flushed() (number uint64) {
	for _, v := range s.versions[string(keyCommit)] {
		if c, err := decodeCommitState(v.value); err == nil && !v.log && s.liveTable(v.file) {
			number = max(number, c.number)
		}
	}
	for _, f := range s.frames {
		if s.manifest.whole && f.log == s.manifest.minLog && f.at == 0 && f.commit.number > 0 {
			number = max(number, f.commit.number-1)
		}
	}
	return number
}

// missing returns how many commits up to the number top are in no file, and the last of them.
func (s *salvage) missing(top uint64) (count, last uint64) {
	seen := map[uint64]bool{}
	from := s.flushed()
	for _, f := range s.frames {
		if f.commit.number > from && f.commit.number <= top {
			seen[f.commit.number] = true
		}
	}
	if top <= from || uint64(len(seen)) == top-from {
		return 0, 0
	}
	for last = top; seen[last]; last-- {
	}
	return top - from - uint64(len(seen)), last
}

// closedInTable reports whether the commit that closed the shard is in a table: none that is missing is older.
func (s *salvage) closedInTable(p place) bool {
	return slices.ContainsFunc(s.versions[string(shardKey(p.stream, p.shard))], func(v version) bool {
		var meta shardMeta
		return !v.log && json.Unmarshal(v.value, &meta) == nil && meta.Closed != 0
	})
}

var errNotOurs = errors.New("not the number of a shard")

// shardOf returns the place that a range of removed batches lies in, and the index before which it removes.
func shardOf(s span) (p place, index uint64, err error) {
	if len(s.start) < 9 || len(s.end) < 17 || s.start[0] != spaceRecords || !bytes.Equal(s.start[:9], s.end[:9]) {
		return place{}, 0, errNotOurs
	}
	padded := append(slices.Clone(s.end[:17]), 0, 0, 0, 0)
	k, err := parseRecordKey(padded)
	if err == nil && k.first >= 1<<63 {
		err = errNotOurs
	}
	return place{k.stream, k.shard}, k.first, err
}

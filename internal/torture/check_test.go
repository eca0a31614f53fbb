package torture

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leatstream/leat"
	sqlsink "github.com/leatstream/leat/sink/sql"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

// What a check may find. A control says which of them it must be.
var (
	errLost        = errors.New("lost")
	errDuplicated  = errors.New("duplicated")
	errCursorAhead = errors.New("the cursor is ahead of the records")
	errChanged     = errors.New("changed after it was read")
)

// ledger is what is known of a directory from all processes that worked in it.
type ledger struct {
	dir   string
	acked int64                       // every event up to this one was acknowledged, or has been read
	gaps  int                         // that were reported
	seen  [shardCount][]uint64        // hashes of the records that earlier checks have read
	table map[leat.ShardID]int        // rows that earlier checks have read
	files map[leat.ShardID]int        // lines in files, likewise
	shard map[string]leat.ShardID     // where the events of a key are
	read  [shardCount][]leat.Record   // by the check under way
	place map[leat.SequenceNumber]int // of the records of all shards, by the check under way
}

func newLedger(dir string) *ledger {
	return &ledger{dir: dir, table: map[leat.ShardID]int{}, files: map[leat.ShardID]int{}, shard: map[string]leat.ShardID{}}
}

var hashSeed = maphash.MakeSeed()

// check reads everything and returns what is wrong with it. last is the event that must be the last one everywhere; 0: anyone may be.
func (l *ledger) check(ctx context.Context, last int64) error {
	e, err := l.open()
	if err != nil || e == nil {
		return err
	}
	defer e.Close()
	if found := e.Damage(); len(found) > 0 {
		return fmt.Errorf("damage that nobody did: %v: %w", found, errLost)
	}
	count, err := l.records(ctx, e)
	if err != nil {
		return err
	}
	cursor, err := loadCursor(ctx, e)
	switch {
	case err != nil:
		return err
	case cursor > count:
		return fmt.Errorf("it is %d, and the records end with %d: %w", cursor, count, errCursorAhead)
	case count < l.acked:
		return fmt.Errorf("event %d was acknowledged, and the records end with %d: %w", l.acked, count, errLost)
	case last > 0 && count != last:
		return fmt.Errorf("the provider ended with %d, and the records with %d: %w", last, count, errLost)
	}
	l.acked = count
	if l.gaps, err = countRecords(ctx, e, sourceName+".gaps"); err != nil {
		return err
	}
	for _, side := range []string{tableName + ".dlq", filesName + ".dlq"} {
		n, err := countRecords(ctx, e, side)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("stream %s has %d records", side, n)
		}
	}
	for _, d := range []destination{{tableName, l.checkTable, l.table}, {filesName, l.checkFiles, l.files}} {
		if err := l.delivered(ctx, e, d, last > 0); err != nil {
			return fmt.Errorf("consumer %s: %w", d.consumer, err)
		}
	}
	return nil
}

// open opens the engine without changing what the crash has left. It returns nil if there is no engine yet and nothing was acknowledged.
func (l *ledger) open() (*local.Engine, error) {
	if text, err := os.ReadFile(filepath.Join(dataDir(l.dir), "leat.stopped")); err == nil {
		return nil, fmt.Errorf("the engine had stopped by itself: %s", text)
	}
	e, err := local.Open(dataDir(l.dir), local.Options{ReadOnly: true})
	if err != nil && l.acked == 0 { // it was being made
		return nil, nil // the next process must be able to make it
	}
	if err != nil {
		return nil, fmt.Errorf("event %d was acknowledged: %w: %w", l.acked, err, errLost)
	}
	return e, nil
}

// records reads all shards and returns up to which event they are complete. They must hold nothing else.
func (l *ledger) records(ctx context.Context, e *local.Engine) (count int64, err error) {
	l.place = map[leat.SequenceNumber]int{}
	var ids []int64
	for shard := range leat.ShardID(shardCount) {
		all, err := readShard(ctx, e, streamName, shard)
		if errors.Is(err, stream.ErrNoStream) && l.acked == 0 {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		l.read[shard] = all
		for i := range all {
			id, err := l.record(shard, i)
			if err != nil {
				return 0, err
			}
			ids = append(ids, id)
		}
		if len(all) < len(l.seen[shard]) {
			return 0, fmt.Errorf("%s had %d records and has %d: %w", shard, len(l.seen[shard]), len(all), errLost)
		}
	}
	cursor, err := loadCursor(ctx, e)
	if err != nil {
		return 0, err
	}
	slices.Sort(ids)
	for i, id := range ids {
		switch want := int64(i + 1); {
		case id < want:
			return 0, fmt.Errorf("event %d is in the stream twice: %w", id, errDuplicated)
		case id > want && cursor >= want:
			return 0, fmt.Errorf("event %d is missing, the cursor is %d: %w", want, cursor, errCursorAhead)
		case id > want:
			return 0, fmt.Errorf("event %d is missing: %w", want, errLost)
		}
	}
	return int64(len(ids)), nil
}

// record checks a record in itself, against the one before it, and against what an earlier check has read.
func (l *ledger) record(shard leat.ShardID, i int) (id int64, err error) {
	r := &l.read[shard][i]
	if id, err = strconv.ParseInt(r.ID, 10, 64); err != nil {
		return 0, err
	}
	if key, data := event(id); r.PartitionKey != key || r.Source != sourceName || !bytes.Equal(r.Data, data) {
		return 0, fmt.Errorf("event %d was stored as %q %q", id, r.PartitionKey, r.Data)
	}
	if home, ok := l.shard[r.PartitionKey]; ok && home != shard {
		return 0, fmt.Errorf("key %s is in %s and %s", r.PartitionKey, home, shard)
	}
	l.shard[r.PartitionKey] = shard
	if i > 0 {
		before := &l.read[shard][i-1]
		other, _ := strconv.ParseInt(before.ID, 10, 64)
		if before.Sequence.Compare(r.Sequence) >= 0 || before.Arrived.After(r.Arrived) {
			return 0, fmt.Errorf("%s: %s comes after %s", shard, r.Sequence, before.Sequence)
		}
		if other >= id {
			return 0, fmt.Errorf("%s: event %d comes after event %d", shard, id, other)
		}
	}
	l.place[r.Sequence] = i + 1
	sum := maphash.String(hashSeed, fmt.Sprint(r.Sequence, r.Arrived.UnixNano(), r.Time.UnixNano(), r.ID))
	if i >= len(l.seen[shard]) {
		l.seen[shard] = append(l.seen[shard], sum)
	} else if l.seen[shard][i] != sum {
		return 0, fmt.Errorf("record %d of %s, event %d: %w", i, shard, id, errChanged)
	}
	return id, nil
}

// destination is where a consumer delivers to.
type destination struct {
	consumer string
	look     func(context.Context) (map[leat.ShardID]int, error) // reads everything there and counts the records of each shard
	seen     map[leat.ShardID]int                                // what earlier checks have counted
}

// delivered checks a destination: it has the first records of each shard, once each, at least as many as the checkpoint
// of its consumer says and as there were before; all of them at the end.
func (l *ledger) delivered(ctx context.Context, e *local.Engine, d destination, all bool) error {
	counts, err := d.look(ctx)
	if err != nil {
		return err
	}
	for shard := range leat.ShardID(shardCount) {
		at, err := loadCheckpoint(ctx, e, d.consumer, shard)
		if err != nil {
			return err
		}
		n := counts[shard]
		switch {
		case !at.IsZero() && l.place[at] == 0:
			return fmt.Errorf("the checkpoint of %s is at no record: %w", shard, errLost)
		case n < l.place[at]:
			return fmt.Errorf("%s has %d records, and the checkpoint is behind %d: %w", shard, n, l.place[at], errLost)
		case n < d.seen[shard]:
			return fmt.Errorf("%s had %d records and has %d: %w", shard, d.seen[shard], n, errLost)
		case all && n != len(l.read[shard]):
			return fmt.Errorf("%s has %d of %d records: %w", shard, n, len(l.read[shard]), errLost)
		}
		d.seen[shard] = n
	}
	return nil
}

// next returns the record that must come next at a destination, and counts it.
func (l *ledger) next(counts map[leat.ShardID]int, shard leat.ShardID, seq string) (*leat.Record, error) {
	if int(shard) >= shardCount || counts[shard] >= len(l.read[shard]) {
		return nil, fmt.Errorf("%s has more records than the stream: %w", shard, errDuplicated)
	}
	r := &l.read[shard][counts[shard]]
	got, err := leat.ParseSequence(seq)
	if err != nil {
		return nil, err
	}
	if d := got.Compare(r.Sequence); d < 0 {
		return nil, fmt.Errorf("%s: record %s is there twice: %w", shard, seq, errDuplicated)
	} else if d > 0 {
		return nil, fmt.Errorf("%s: record %s is not there: %w", shard, r.Sequence, errLost)
	}
	counts[shard]++
	return r, nil
}

// checkTable reads a copy of the table, so that the next process finds the log of SQLite as the crash has left it.
func (l *ledger) checkTable(ctx context.Context) (map[leat.ShardID]int, error) {
	dir, err := os.MkdirTemp("", "leat-torture-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(dbFile(l.dir) + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "copy.db"+suffix), content, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	db, err := sql.Open(sqlsink.Driver, filepath.Join(dir, "copy.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var verdict string
	var tables int
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check").Scan(&verdict); err != nil {
		return nil, err
	}
	if verdict != "ok" {
		return nil, fmt.Errorf("the file is damaged: %s", verdict)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'events'").Scan(&tables); err != nil || tables == 0 {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT leat_shard, leat_seq, leat_key, data FROM events ORDER BY leat_shard, leat_seq")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[leat.ShardID]int{}
	for rows.Next() {
		var shard, seq, key, data string
		if err := rows.Scan(&shard, &seq, &key, &data); err != nil {
			return nil, err
		}
		id, err := leat.ParseShardID(shard)
		if err != nil {
			return nil, err
		}
		r, err := l.next(counts, id, seq)
		if err != nil {
			return nil, err
		}
		if key != r.PartitionKey || data != string(r.Data) {
			return nil, fmt.Errorf("record %s is a row of %q %q", seq, key, data)
		}
	}
	return counts, rows.Err()
}

// look counts the rows while another process may be writing.
func (l *ledger) look(ctx context.Context) (map[leat.ShardID]int, error) {
	db, err := sql.Open(sqlsink.Driver, "file:"+dbFile(l.dir)+"?mode=rw&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT leat_shard, count(*) FROM events GROUP BY leat_shard")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "unable to open") {
			err = nil // nothing was delivered yet
		}
		return nil, err
	}
	defer rows.Close()
	counts := map[leat.ShardID]int{}
	for rows.Next() {
		var shard string
		var n int
		if err := rows.Scan(&shard, &n); err != nil {
			return nil, err
		}
		id, err := leat.ParseShardID(shard)
		if err != nil {
			return nil, err
		}
		counts[id] = n
	}
	return counts, rows.Err()
}

// file is one file of the consumer of files; its name says which range it holds.
type file struct {
	path        string
	shard       leat.ShardID
	first, last string
}

// listFiles returns the visible files in order of shard and range.
func (l *ledger) listFiles() (all []file, err error) {
	err = filepath.WalkDir(filesDir(l.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		parts := strings.Split(strings.TrimSuffix(d.Name(), ".jsonl"), "-") // shardId-000000000000-first-last
		if len(parts) != 4 {
			return fmt.Errorf("a file is called %s", path)
		}
		shard, err := leat.ParseShardID(parts[1])
		all = append(all, file{path, shard, parts[2], parts[3]})
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(filepath.Base(a.path), filepath.Base(b.path)) })
	return all, err
}

// checkFiles reads all files. Their ranges must not overlap and their lines must be those of the records, byte for byte.
func (l *ledger) checkFiles(context.Context) (map[leat.ShardID]int, error) {
	all, err := l.listFiles()
	if err != nil {
		return nil, err
	}
	counts := map[leat.ShardID]int{}
	for i, f := range all {
		if i > 0 && all[i-1].shard == f.shard && all[i-1].last >= f.first {
			return nil, fmt.Errorf("the ranges of %s and %s overlap: %w", all[i-1].path, f.path, errDuplicated)
		}
		if err := l.checkFile(f, counts); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return counts, nil
}

func (l *ledger) checkFile(f file, counts map[leat.ShardID]int) error {
	content, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	from := counts[f.shard]
	for line := range bytes.Lines(content) {
		_, rest, _ := bytes.Cut(line, []byte(`"sequence_number":"`))
		seq, _, _ := bytes.Cut(rest, []byte(`"`))
		r, err := l.next(counts, f.shard, string(seq))
		if err != nil {
			return err
		}
		want := fmt.Appendf(nil, `{"shard":"%s","sequence_number":"%s","key":"%s","arrived":"%s","id":"%s","data":%s}`+"\n",
			f.shard, r.Sequence, r.PartitionKey, r.Arrived.UTC().Format("2006-01-02T15:04:05.000Z"), r.ID, r.Data)
		if !bytes.Equal(line, want) {
			return fmt.Errorf("a line is %s, want %s", line, want)
		}
	}
	n := counts[f.shard]
	if n == from || l.read[f.shard][from].Sequence.String() != f.first || l.read[f.shard][n-1].Sequence.String() != f.last {
		return fmt.Errorf("it holds the records from %d to %d, and its name says others", from, n)
	}
	return nil
}

// leftovers counts the files that are not visible.
func (l *ledger) leftovers() (n int, err error) {
	err = filepath.WalkDir(filesDir(l.dir), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".") {
			n++
		}
		return err
	})
	return n, err
}

func countRecords(ctx context.Context, e *local.Engine, name string) (int, error) {
	all, err := readShard(ctx, e, name, 0)
	if errors.Is(err, stream.ErrNoStream) {
		err = nil
	}
	return len(all), err
}

func readShard(ctx context.Context, e *local.Engine, name string, shard leat.ShardID) ([]leat.Record, error) {
	r, err := e.Read(ctx, name, shard, stream.Oldest())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []leat.Record
	for {
		b, err := r.Next(ctx, stream.Limit{NoWait: true})
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			return nil, fmt.Errorf("%w: %w", gap, errLost)
		case errors.Is(err, io.EOF), err == nil && len(b.Records) == 0:
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, b.Records...)
	}
}

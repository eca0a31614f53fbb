package source

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/stream"
)

// The counts of a tracker are stored as state entries, one for each bucket that has any:
//
//	source/NAME/counts/BUCKET    BUCKET is 00 to 63
//
//	1 byte      version, 1
//	then for each count, in order of key:
//	text        key
//	number      flags: 1 begun, 2 doubt, 4 mixed
//	time ×2     since, at
//	number ×2   top, again
//	number      ids of a chain, then 8 bytes for each; if there are any: text, the newest id
//	number      holes, then for each:
//	            number lo, number hi, text id, text after, time from, time to, number told
//
// A number is an unsigned varint, a text a number of bytes and these, a time a number of milliseconds since 1970. What belongs to one
// connection is not stored: it ends with the process.

const countsVersion = 1

// StateKey is the prefix of the state entries of a source.
func StateKey(source string) string { return "source/" + source + "/" }

func countsKey(source string, bucket int) string {
	return fmt.Sprintf("%scounts/%02d", StateKey(source), bucket)
}

// changes returns the entries that have changed since it was called last.
func (t *tracker) changes(source string) (entries []stream.Entry) {
	for b, changed := range t.dirty {
		if !changed {
			continue
		}
		t.dirty[b] = false
		if !t.rule.perConnection() {
			entries = append(entries, stream.Entry{Key: countsKey(source, b), Value: encodeCounts(t.buckets[b])})
		}
	}
	return entries
}

// restore takes what changes returned. Entries of others are passed over. What was being waited for is waited for anew.
func (t *tracker) restore(source string, entries []stream.Entry, now time.Time) error {
	prefix := StateKey(source) + "counts/"
	var all []*sequence
	for _, e := range entries {
		name, ours := strings.CutPrefix(e.Key, prefix)
		if b, err := strconv.Atoi(name); !ours || err != nil || b < 0 || b >= gapBuckets {
			continue
		}
		counts, err := decodeCounts(e.Value)
		if err != nil {
			return fmt.Errorf("stored counts of source %q: %w", source, err)
		}
		all = append(all, counts...)
	}
	slices.SortStableFunc(all, func(a, b *sequence) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.key, b.key)) })
	for _, s := range all[max(0, len(all)-t.limit):] {
		t.add(bucketOf(s.key), s)
		t.holes += len(s.holes)
		for i := range s.holes {
			s.holes[i].late = now
			if !s.holes[i].told {
				t.waiting[s] = struct{}{}
			}
		}
	}
	return nil
}

func encodeCounts(counts map[string]*sequence) []byte {
	if len(counts) == 0 {
		return nil // deletes the entry
	}
	w := countsWriter{countsVersion}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		s := counts[key]
		w.text(s.key)
		w.number(flag(s.begun, 1) | flag(s.doubt, 2) | flag(s.mixed, 4))
		w.time(s.since)
		w.time(s.at)
		w.number(uint64(s.top))
		w.number(uint64(s.again))
		w.number(uint64(len(s.recent)))
		for _, id := range s.recent {
			w = binary.BigEndian.AppendUint64(w, id)
		}
		if len(s.recent) > 0 {
			w.text(s.last)
		}
		w.number(uint64(len(s.holes)))
		for i := range s.holes {
			w.hole(&s.holes[i])
		}
	}
	return w
}

func flag(set bool, bit uint64) uint64 {
	if set {
		return bit
	}
	return 0
}

type countsWriter []byte

func (w *countsWriter) number(n uint64) { *w = binary.AppendUvarint(*w, n) }

func (w *countsWriter) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *countsWriter) time(t time.Time) { w.number(uint64(max(0, t.UnixMilli()))) }

func (w *countsWriter) hole(h *hole) {
	w.number(uint64(h.lo))
	w.number(uint64(h.hi))
	w.text(h.id)
	w.text(h.after)
	w.time(h.from)
	w.time(h.to)
	w.number(flag(h.told, 1))
}

var errCounts = errors.New("damaged")

func decodeCounts(data []byte) (counts []*sequence, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	if data[0] != countsVersion {
		return nil, fmt.Errorf("version %d is not known", data[0])
	}
	r := &countsReader{rest: data[1:]}
	for len(r.rest) > 0 && !r.bad {
		s := &sequence{key: r.text()}
		flags := r.number()
		s.begun, s.doubt, s.mixed = flags&1 != 0, flags&2 != 0, flags&4 != 0
		s.since, s.at = r.time(), r.time()
		s.top, s.again = r.small(), r.small()
		for n := r.count(8); n > 0; n-- {
			s.recent = append(s.recent, binary.BigEndian.Uint64(r.take(8)))
		}
		if len(s.recent) > 0 {
			s.last = r.text()
		}
		for n := r.count(7); n > 0; n-- {
			h := hole{lo: r.small(), hi: r.small(), id: r.text(), after: r.text(), from: r.time(), to: r.time()}
			h.told = r.number() != 0
			s.holes = append(s.holes, h)
		}
		counts = append(counts, s)
	}
	if r.bad {
		return nil, errCounts
	}
	return counts, nil
}

// countsReader reads from rest. Once something does not fit it is bad, and all it returns is zero.
type countsReader struct {
	rest []byte
	bad  bool
}

func (r *countsReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// small returns a number that an event can have.
func (r *countsReader) small() int64 {
	n := r.number()
	if n > largestNumber {
		r.bad = true
		return 0
	}
	return int64(n)
}

// count returns a number of parts that are so many bytes at least.
func (r *countsReader) count(size int) uint64 {
	n := r.number()
	if n > uint64(len(r.rest)/size) {
		r.bad, r.rest = true, nil
		return 0
	}
	return n
}

func (r *countsReader) take(n int) []byte {
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return make([]byte, n)
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *countsReader) text() string { return string(r.take(int(r.count(1)))) }

func (r *countsReader) time() time.Time {
	n := r.number()
	if n == 0 || n > 1<<53 {
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}

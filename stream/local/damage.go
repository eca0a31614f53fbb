package local

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatstream/leat/stream"
)

var errMissing = errors.New("records are missing")

// isDamage reports whether err says that stored bytes are not what was written, as opposed to a disk that
// may answer better next time.
func isDamage(err error) bool {
	for _, damage := range []error{errShortBatch, errChecksum, errRecord, errMissing, errSeal} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return pebble.IsCorruptionError(err)
}

// tries is how often a read must meet an error of the disk before the sector counts as bad.
const tries = 3

// patient repeats a read that meets an error of the disk.
func patient(read func() error) (err error) {
	for range tries {
		if err = read(); !errors.Is(err, syscall.EIO) {
			break
		}
	}
	return err
}

// unreadable reports whether what is stored cannot be had: it is damaged, or the disk cannot read it.
func unreadable(err error) bool { return isDamage(err) || errors.Is(err, syscall.EIO) }

// damaged turns damage at the position into a gap that ends where the next record can be read. Other
// errors it returns as they are, also those of a disk that fails most reads: it may be unplugged.
func (r *reader) damaged(err error, end uint64) error {
	if err == nil || !unreadable(err) {
		return err
	}
	if !isDamage(err) {
		if r.failed++; r.failed < tries || !r.e.mostlyReadable(r.shard, end) {
			return err
		}
	}
	r.failed = 0
	to, searchErr := r.e.readableAfter(r.shard, r.next, end)
	if searchErr != nil {
		return fmt.Errorf("%w, and behind it: %w", err, searchErr)
	}
	r.rest = storedBatch{}
	switch state := r.shard.load(); {
	case state.gone:
		return r.gone()
	case state.floor > r.next: // removed meanwhile
		return r.expired(state.floor)
	}
	gap := r.gap(to, stream.GapDamaged, err)
	if isDamage(err) {
		r.shard.remember(hole{r.next, to, err.Error()})
	}
	r.next = to
	r.e.log.Error("records cannot be read", "stream", gap.Stream, "shard", gap.Shard, "from", gap.From, "to", gap.To, "records", gap.Count, "error", err)
	return gap
}

// remember makes the next reader of damaged records pass over them without a search. The next opening finds out by itself.
func (s *shardState) remember(h hole) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, h)
}

// mostlyReadable looks at some records all over the shard.
func (e *Engine) mostlyReadable(s *shardState, end uint64) bool {
	const places = 8
	floor, good := s.load().floor, 0
	for i := range uint64(places) {
		if ok, err := e.probe(s, floor+(end-floor)*i/places, end); ok && err == nil {
			good++
		}
	}
	return good > places/2
}

// readableAfter returns the first index behind from at which a batch can be read, or end. Damage covers a run of indexes, a block or a
// table, so its end is found by doubling and halving. Because good batches may lie between two damaged blocks, the run is then looked
// into at some places, and the search goes on before the first one that can be read. The places are few: to read a damaged block takes
// pebble about a second, because it looks for a single bit that would mend it.
func (e *Engine) readableAfter(s *shardState, from, end uint64) (uint64, error) {
	const places = 3
	good, err := e.boundary(s, from, end)
	if err != nil {
		return 0, err
	}
	for i := uint64(1); i <= places; i++ {
		index := from + (good-from)*i/(places+1)
		if index <= from || index >= good {
			continue
		}
		ok, err := e.probe(s, index, end)
		if err != nil {
			return 0, err
		}
		if ok {
			return e.readableAfter(s, from, index+1)
		}
	}
	return good, nil
}

// boundary returns an index behind from at which a batch can be read while the one before it cannot, or end.
func (e *Engine) boundary(s *shardState, from, end uint64) (uint64, error) {
	bad, good := from, end
	for step := uint64(1); bad+step < end; step *= 2 {
		ok, err := e.probe(s, bad+step, end)
		if err != nil {
			return 0, err
		}
		if ok {
			good = bad + step
			break
		}
		bad += step
	}
	for good-bad > 1 {
		middle := bad + (good-bad)/2
		ok, err := e.probe(s, middle, end)
		switch {
		case err != nil:
			return 0, err
		case ok:
			good = middle
		default:
			bad = middle
		}
	}
	return good, nil
}

// probe reports whether the record with the index can be read.
func (e *Engine) probe(s *shardState, index, end uint64) (readable bool, err error) {
	err = patient(func() error {
		it, err := e.records(s, end)
		if err != nil {
			return err
		}
		defer it.Close()
		if !seekIndex(it, s, index) {
			return it.Error()
		}
		b, err := load(it, index)
		readable = err == nil && b.next == index
		return err
	})
	if unreadable(err) {
		err = nil
	}
	return readable, err
}

// trailer is what the end of a stored batch tells without its records.
type trailer struct {
	key     batchKey
	arrived time.Time
	total   uint64
}

// firstBatch returns the index of the first batch for which is holds, or the end of what is durable.
// Along a shard is must be false, then true. In place of a batch that cannot be read the first one behind it that can is asked; if
// that leaves it open, or there is none, the result lies before the damage.
func (e *Engine) firstBatch(ctx context.Context, s *shardState, is func(trailer) bool) (uint64, error) {
	e.using.RLock()
	defer e.using.RUnlock()
	if e.closing() {
		return 0, errClosed
	}
	state := s.load()
	low, high := state.floor, state.durable
	for low < high {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		middle := low + (high-low)/2
		t, err := e.trailerNear(s, middle, high)
		switch {
		case err != nil:
			return 0, err
		case t.key.count == 0:
			high = middle // nothing from here on: a hole, or damage
		case is(t):
			high = min(t.key.first, middle)
		default:
			low = t.key.end()
		}
	}
	return low, nil
}

// trailerNear returns the trailer of the batch with the index, or of the first one behind it that is there and can be read; a zero
// trailer where there is none below end.
func (e *Engine) trailerNear(s *shardState, index, end uint64) (t trailer, err error) {
	at := func() error {
		t, err = e.trailerAt(s, index, end)
		return err
	}
	if err = patient(at); !unreadable(err) {
		return t, err
	}
	if index, err = e.readableAfter(s, index, end); err != nil || index >= end {
		return trailer{}, err
	}
	err = patient(at)
	return t, err
}

func (e *Engine) trailerAt(s *shardState, index, end uint64) (trailer, error) {
	it, err := e.records(s, end)
	if err != nil {
		return trailer{}, err
	}
	defer it.Close()
	if !seekIndex(it, s, index) {
		return trailer{}, it.Error()
	}
	k, err := parseRecordKey(it.Key())
	if err != nil {
		return trailer{}, err
	}
	value, err := it.ValueAndErr()
	if err == nil && len(value) < headSize+trailerSize {
		err = errShortBatch
	}
	if err != nil {
		return trailer{}, err
	}
	arrived, total := trailerOf(value)
	return trailer{k, arrived, total}, nil
}

package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
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

// damaged turns damage at the position into a gap that ends where the next record can be read. Other
// errors it returns as they are.
func (r *reader) damaged(err error, end uint64) error {
	if err == nil || !isDamage(err) {
		return err
	}
	to, searchErr := r.e.readableAfter(r.shard, r.next, end)
	if searchErr != nil {
		return fmt.Errorf("%w, and behind it: %w", err, searchErr)
	}
	r.rest = storedBatch{}
	gap := r.gap(to, "damaged", err)
	r.next = to
	r.e.log.Error("records cannot be read", "stream", gap.Stream, "shard", gap.Shard, "from", gap.From, "to", gap.To, "records", gap.Count, "error", err)
	return gap
}

// readableAfter returns the first index behind from at which a batch can be read, or end. It tries index after index, because
// every record that can be had must be had, and doubles its steps only where a whole table is lost.
func (e *Engine) readableAfter(s *shardState, from, end uint64) (uint64, error) {
	const patience = 1 << 14
	step, low := uint64(1), from
	for low < end {
		index := min(low+step, end)
		if index == end {
			break
		}
		found, err := e.probe(s, index, end)
		switch {
		case err == nil && step == 1:
			return max(found, index), nil
		case err == nil:
			step = max(step/2, 1) // the first readable one lies between low and index
			continue
		case !isDamage(err):
			return 0, err
		}
		low = index
		if low-from > patience && step < 1<<20 {
			step *= 2
		}
	}
	return end, nil
}

// probe reads the batch at or behind index and returns the index of its first record that is not before it.
func (e *Engine) probe(s *shardState, index, end uint64) (uint64, error) {
	it, err := e.records(s, end)
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !seekIndex(it, s, index) {
		return end, it.Error()
	}
	b, err := load(it, index)
	return b.next, err
}

// trailer is what the end of a stored batch tells without its records.
type trailer struct {
	key     batchKey
	arrived time.Time
	total   uint64
}

// firstBatch returns the index of the first batch for which is holds, or the end of what is durable.
// Along a shard is must be false, then true. Batches that cannot be read count as false.
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
		t, err := e.trailerAt(s, middle, high)
		switch {
		case isDamage(err):
			low = middle + 1
		case err != nil:
			return 0, err
		case t.key.count == 0:
			high = middle // nothing from here on: a hole
		case is(t):
			high = min(t.key.first, middle)
		default:
			low = t.key.end()
		}
	}
	return low, nil
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
	if err == nil && len(value) < 1+trailerSize {
		err = errShortBatch
	}
	if err != nil {
		return trailer{}, err
	}
	arrived, total := trailerOf(value)
	return trailer{k, arrived, total}, nil
}

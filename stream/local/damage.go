package local

import (
	"context"
	"errors"
	"fmt"
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
func (e *Engine) probe(s *shardState, index, end uint64) (bool, error) {
	it, err := e.records(s, end)
	if err == nil {
		defer it.Close()
		found := seekIndex(it, s, index)
		if err = it.Error(); err == nil && found {
			var b storedBatch
			if b, err = load(it, index); err == nil {
				return b.next == index, nil
			}
		}
	}
	if err == nil || isDamage(err) {
		return false, nil
	}
	return false, err
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
	if err == nil && len(value) < headSize+trailerSize {
		err = errShortBatch
	}
	if err != nil {
		return trailer{}, err
	}
	arrived, total := trailerOf(value)
	return trailer{k, arrived, total}, nil
}

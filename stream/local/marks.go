package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leatstream/leat/stream"
)

// markTable holds all marks, as they are on disk.
type markTable struct {
	mu  sync.RWMutex
	all map[string]stream.Mark
}

func (t *markTable) get(key string) stream.Mark {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.all[key]
}

func (t *markTable) set(changed map[string]stream.Mark) {
	if len(changed) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, m := range changed {
		if m.Value == nil {
			delete(t.all, key)
			continue
		}
		t.all[key] = m
	}
}

// Load implements stream.Marks.
func (e *Engine) Load(_ context.Context, key string) (stream.Mark, error) {
	if err := e.failure.err(); err != nil {
		return stream.Mark{}, err
	}
	m := e.marks.get(key)
	m.Value = slices.Clone(m.Value)
	return m, nil
}

// List implements stream.Marks.
func (e *Engine) List(_ context.Context, prefix string) ([]stream.Mark, error) {
	if err := e.failure.err(); err != nil {
		return nil, err
	}
	e.marks.mu.RLock()
	defer e.marks.mu.RUnlock()
	var list []stream.Mark
	for key, m := range e.marks.all {
		if strings.HasPrefix(key, prefix) {
			m.Value = slices.Clone(m.Value)
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b stream.Mark) int { return strings.Compare(a.Key, b.Key) })
	return list, nil
}

// State implements stream.Marks.
func (e *Engine) State(_ context.Context, prefix string) ([]stream.Entry, error) {
	var list []stream.Entry
	err := e.between(func() error {
		return e.scan(spaceKey(spaceState, prefix), func(key, value []byte) error {
			list = append(list, stream.Entry{Key: string(key[1:]), Value: slices.Clone(value)})
			return nil
		})
	})
	return list, err
}

// between runs do while no commit is under way, so that it sees only what is durable.
func (e *Engine) between(do func() error) error {
	if e.opts.ReadOnly {
		e.using.RLock()
		defer e.using.RUnlock()
		if e.closing() {
			return errClosed
		}
		return do()
	}
	r := &request{done: make(chan error, 1), change: func(*frame) error { return errors.Join(do(), errNothing) }}
	err := e.submit(r)
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// errNothing is what a change returns that has nothing to store.
var errNothing = errors.New("nothing to store")

// checkMarks compares the epochs of marks with those before them, durable or not.
func (f *frame) checkMarks(swaps []stream.Swap) error {
	for i := range swaps {
		s := &swaps[i]
		stored := f.mark(s.Key)
		if stored.Epoch != s.Was {
			return fmt.Errorf("mark %q is of epoch %d, not %d: %w", s.Key, stored.Epoch, s.Was, stream.ErrFenced)
		}
		if s.Epoch < s.Was || s.Epoch == 0 && s.Value != nil {
			return fmt.Errorf("mark %q: %w: epoch %d cannot follow %d", s.Key, stream.ErrInvalid, s.Epoch, s.Was)
		}
	}
	return nil
}

func (f *frame) addMark(s *stream.Swap) {
	if s.Value == nil {
		f.set(spaceKey(spaceMarks, s.Key), nil)
		f.marks[s.Key] = stream.Mark{}
		return
	}
	m := stream.Mark{Key: s.Key, Epoch: s.Epoch, Value: slices.Clone(s.Value)}
	f.set(spaceKey(spaceMarks, s.Key), append(binary.BigEndian.AppendUint64(nil, s.Epoch), s.Value...))
	f.marks[s.Key] = m
}

func (e *Engine) loadMarks() error {
	e.marks.all = map[string]stream.Mark{}
	return e.scan([]byte{spaceMarks}, func(key, value []byte) error {
		if len(value) < 8 {
			return fmt.Errorf("mark %q is too short", key[1:])
		}
		m := stream.Mark{Key: string(key[1:]), Epoch: binary.BigEndian.Uint64(value), Value: slices.Clone(value[8:])}
		e.marks.all[m.Key] = m
		return nil
	})
}

// scan calls do for every sealed value under the prefix, in order of key. The slices are valid during the call.
func (e *Engine) scan(prefix []byte, do func(key, value []byte) error) error {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		stored, err := it.ValueAndErr()
		if err == nil {
			stored, err = openValue(it.Key(), stored)
		}
		if err == nil {
			err = do(it.Key(), stored)
		}
		if err != nil {
			_ = it.Close()
			return err
		}
	}
	return it.Close() // with the error of the iteration
}

package source

import (
	"context"
	"sync"
	"time"
)

// kept is a value that is found out by one at a time, and used by all until a time. Its zero value has none.
type kept[T any] struct {
	once sync.Once
	busy chan struct{} // holds one while somebody finds it out

	mu     sync.Mutex
	there  bool
	value  T
	key    string // what it was found out for
	until  time.Time
	reused bool // somebody got it who did not find it out, or it has served
}

// get returns the value for a key, which find finds out if there is none. It waits for others who do. A zero time means for ever.
func (k *kept[T]) get(ctx context.Context, key string, find func() (T, time.Time, error)) (T, error) {
	if value, ok := k.have(key); ok {
		return value, nil
	}
	k.once.Do(func() { k.busy = make(chan struct{}, 1) })
	var none T
	select {
	case k.busy <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-k.busy }()
	if value, ok := k.have(key); ok {
		return value, nil
	}
	value, until, err := find()
	if err != nil {
		return none, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.there, k.value, k.key, k.until, k.reused = true, value, key, until, false
	return value, nil
}

func (k *kept[T]) have(key string) (value T, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.valid(key) {
		return value, false
	}
	k.reused = true
	return k.value, true
}

func (k *kept[T]) valid(key string) bool {
	return k.there && k.key == key && (k.until.IsZero() || time.Now().Before(k.until))
}

// holds reports whether the value for a key is one that get returned before.
func (k *kept[T]) holds(key string, is func(T) bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.valid(key) && is(k.value)
}

// served tells that the value has done what it is for.
func (k *kept[T]) served() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reused = true
}

// forget drops the value, if it is the one that was used, and reports whether finding it out now may bring another: it was not found out just
// now, or is another one already.
func (k *kept[T]) forget(used func(T) bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.there:
		return false
	case !used(k.value):
		return true
	}
	k.there = false
	return k.reused
}

package local

import (
	"fmt"
	"sync"

	"github.com/leatstream/leat/stream"
)

// failure remembers the first error after which the engine may promise nothing.
// What a failed write or sync has left behind is unknown, and a second sync lies (it returns
// success for pages that the first one dropped), so there is no way back but a restart.
type failure struct {
	once  sync.Once
	cause error
	done  chan struct{} // closed once cause is set
}

func newFailure() *failure { return &failure{done: make(chan struct{})} }

// fail records the cause if it is the first one and reports whether it was.
func (f *failure) fail(cause error) (first bool) {
	f.once.Do(func() {
		f.cause = cause
		close(f.done)
		first = true
	})
	return first
}

// err returns nil, or an error that wraps stream.ErrStopped and the cause.
func (f *failure) err() error {
	select {
	case <-f.done:
		return fmt.Errorf("%w: %w", stream.ErrStopped, f.cause)
	default:
		return nil
	}
}

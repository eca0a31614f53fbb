package source

import (
	"errors"
	"fmt"

	"github.com/leatstream/leat"
)

// mostUnsettled is how many messages may wait for their acknowledgement, beside what a Feed holds.
const mostUnsettled = 1 << 16

// ErrUnsettled ends the connection of a provider that sends on though too much waits for its acknowledgement.
var ErrUnsettled = &EndError{Kind: EndProtocol, Reason: fmt.Sprintf("more than %d messages wait for their acknowledgement", mostUnsettled)}

// Unsettled are the messages of one connection that are to be acknowledged once they are durable, in their order, each with what that takes. By
// calling Next again the Manager says that it is done with what Next has returned. The caller guards an Unsettled.
type Unsettled[T any] struct {
	waiting []unsettled[T]
	handed  int // how many events Next has returned in its last call
}

type unsettled[T any] struct {
	left int // how many events Next has still to return of it; a message that is left out counts as one
	what T
}

// Expect notes a message before its events are offered. It reports false if there are too many.
func (u *Unsettled[T]) Expect(left int, what T) bool {
	if len(u.waiting) >= mostUnsettled {
		return false
	}
	u.waiting = append(u.waiting, unsettled[T]{left, what})
	return true
}

// Returned notes what Next returns.
func (u *Unsettled[T]) Returned(events []leat.Event, err error) {
	u.handed = len(events)
	var skip *SkipError
	if errors.As(err, &skip) {
		u.handed = 1
	}
}

// Settle takes off the messages of which nothing is left: Next is called again. It returns what acknowledging them takes.
func (u *Unsettled[T]) Settle() (list []T) {
	n := 0
	for i := range u.waiting {
		m := &u.waiting[i]
		done := min(m.left, u.handed)
		m.left, u.handed = m.left-done, u.handed-done
		if m.left > 0 {
			break
		}
		list = append(list, m.what)
		n++
	}
	rest := copy(u.waiting, u.waiting[n:])
	clear(u.waiting[rest:])
	u.waiting = u.waiting[:rest]
	return list
}

// SettleEmpty is Settle for messages without events, while the Manager may still be at work on what Next has returned.
func (u *Unsettled[T]) SettleEmpty() []T {
	handed := u.handed
	u.handed = 0
	list := u.Settle()
	u.handed = handed
	return list
}

// Len returns how many messages wait.
func (u *Unsettled[T]) Len() int { return len(u.waiting) }

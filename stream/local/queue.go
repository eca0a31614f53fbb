package local

import "sync"

// queue holds the requests that wait for the committer.
type queue struct {
	mu     sync.Mutex
	wait   []*request
	closed bool
	wake   chan struct{} // buffered by one
}

// push reports false once the queue is closed.
func (q *queue) push(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.wait = append(q.wait, r)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take moves requests into group: as many commits as fit, or one administrative change.
func (q *queue) take(group []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for len(q.wait) > 0 {
		r := q.wait[0]
		if r.change != nil && len(group) > 0 || size > maxGroup {
			break
		}
		for i := range r.puts {
			for j := range r.puts[i].runs {
				size += len(r.puts[i].runs[j].value)
			}
		}
		group = append(group, r)
		q.wait[0] = nil
		q.wait = q.wait[1:]
		if r.change != nil {
			break
		}
	}
	return group
}

// close refuses further requests and reports whether any still wait.
func (q *queue) close() (waiting bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	return len(q.wait) > 0
}

// maxGroup is the size in bytes beyond which no further commit joins a group: above it the
// disk gets slower, not faster.
const maxGroup = 1 << 20

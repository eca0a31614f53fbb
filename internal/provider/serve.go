package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Serve serves h on l until ctx ends. Then it closes l and every connection, also
// WebSocket connections, and returns nil once all requests have ended. Any other end is an error.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests := &requests{handler: h}
	server := &http.Server{
		Handler:           requests,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(l)
	wanted := ctx.Err() != nil
	cancel()
	_ = server.Close()
	requests.end()
	if !wanted || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// requests counts the requests under way, so that their end can be waited for.
type requests struct {
	handler http.Handler

	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

// ServeHTTP implements http.Handler.
func (q *requests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	if q.ended {
		q.mu.Unlock()
		http.Error(w, "the provider is closing", http.StatusServiceUnavailable)
		return
	}
	q.running.Add(1)
	q.mu.Unlock()
	defer q.running.Done()
	q.handler.ServeHTTP(w, r)
}

func (q *requests) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.running.Wait()
}

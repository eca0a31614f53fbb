package remote

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/leatstream/leat/internal/wait"
)

const (
	headerTime = 10 * time.Second
	grace      = 5 * time.Second // for calls in hand at the end
)

// Serve serves h on l until ctx ends, and returns nil then: readers end at once, other calls have five seconds to
// finish, and after that their connections are closed. It returns an error where l fails. Either way l is closed and nothing of it is
// left running but calls that the engine does not let go of.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	late, cancel := wait.Grace(ctx, grace)
	defer cancel()
	srv := &http.Server{
		Handler:           endReaders(ctx, h),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       transferTime,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return late },
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	srv.SetKeepAlivesEnabled(false) // see Client
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return errors.Join(err, srv.Close())
	case <-ctx.Done():
	}
	if srv.Shutdown(late) != nil {
		_ = srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// endReaders makes h see the end of ctx in requests for readers.
func endReaders(ctx context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == readPath {
			reading, end := context.WithCancel(r.Context())
			defer end()
			defer context.AfterFunc(ctx, end)()
			r = r.WithContext(reading)
		}
		h.ServeHTTP(w, r)
	})
}

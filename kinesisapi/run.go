package kinesisapi

import (
	"context"
	"time"
)

// Run ends, in time, what Config.Delay has put off, until ctx ends; then it returns nil. A server works without it: then a stream that is
// DELETING is removed when someone asks for any stream.
func (s *Server) Run(ctx context.Context) error {
	if err := s.ready(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	tick := time.NewTicker(viewFor)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !s.due(time.Now()) {
			continue
		}
		if _, err := s.fresh(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("streams that are to be deleted stay", "error", err)
		}
	}
}

// due reports whether a stream should be gone.
func (s *Server) due(now time.Time) bool {
	for _, v := range s.catalog.view.Load().streams {
		if over(v.meta.Status, v.meta.Until, now) {
			return true
		}
	}
	return false
}

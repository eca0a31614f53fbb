package pipeline

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/source"
)

// Record keeps the connections of sources as Run does, until ctx ends, and stores nothing: whatever they bring goes to the tape
// of their source, and is forgotten.
func Record(ctx context.Context, sourcesOf []config.Source, tape func(c *config.Source) source.Tape, log *slog.Logger) error {
	group, running := errgroup.WithContext(ctx)
	for i := range sourcesOf {
		c := &sourcesOf[i]
		adapter, ok := sources[c.Type]
		if !ok {
			return fmt.Errorf("source %q: there is no type %q", c.Name, c.Type)
		}
		settings := c.Settings
		settings.Backfill = nil // a recording is what comes over the connections
		m := &source.Manager{Name: c.Name, Source: adapter.build(c.Adapter, nil), Settings: settings, Producer: &source.Nowhere{}, Log: log}
		group.Go(func() error { return m.Run(source.WithTape(source.Unstored(running), tape(c))) })
	}
	return group.Wait()
}

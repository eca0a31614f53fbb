// Package pipeline builds what a configuration describes, and runs it.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
)

// sideRetention is how long streams are kept that nobody has declared: gaps and dead letters.
const sideRetention = 14 * 24 * time.Hour

// deliveryMemory is how many bytes all consumers together gather for their destinations.
const deliveryMemory = 32 << 20

// Pipeline is everything between the providers and the destinations of one configuration.
type Pipeline struct {
	engine    *local.Engine
	unmade    []stream.Spec   // streams that are still to be made in Kinesis
	kinesis   *kinesis.Engine // nil unless the streams that are listed are there
	producers []*producer.Producer
	managers  []*source.Manager
	consumers []*consumer.Consumer
	sinks     []sink.Sink
	memory    *semaphore.Weighted
	dial      source.Dialer // of the sources
	log       *slog.Logger
	started   time.Time
}

// Open opens the data directory of c, makes the streams that are missing, and builds every source and consumer. Nothing moves before Run. c must be
// free of errors.
func Open(ctx context.Context, c *config.Config, log *slog.Logger) (*Pipeline, error) {
	return OpenIn(ctx, c, World{}, log)
}

// World is what is round a pipeline. The zero World is this machine; tests have their own.
type World struct {
	Dial source.Dialer // opens the network connections of sources
	FS   vfs.FS        // holds the data directory
}

// OpenIn is Open in a World.
func OpenIn(ctx context.Context, c *config.Config, w World, log *slog.Logger) (*Pipeline, error) {
	log = cmp.Or(log, slog.Default())
	e, err := local.Open(c.Data, local.Options{Logger: log, Reserve: int64(c.DiskReserve), FS: w.FS})
	if err != nil {
		return nil, err
	}
	p := &Pipeline{engine: e, memory: semaphore.NewWeighted(deliveryMemory), dial: w.Dial, log: log, started: time.Now()}
	if err := p.build(ctx, c); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return p, nil
}

// Engine returns the engine of the data directory. If the streams that are listed are elsewhere it holds the others: see Streams.
func (p *Pipeline) Engine() *local.Engine { return p.engine }

func (p *Pipeline) build(ctx context.Context, c *config.Config) error {
	if err := p.openKinesis(ctx, c, p.log); err != nil {
		return err
	}
	if err := p.streams(ctx, c); err != nil {
		return err
	}
	p.makeAbroad(ctx, c)
	for i := range c.Sources {
		if err := p.source(&c.Sources[i], c.Grace); err != nil {
			return err
		}
	}
	for i := range c.Consumers {
		if err := p.consumer(&c.Consumers[i], c.Grace); err != nil {
			return err
		}
	}
	return nil
}

// streams makes the streams that are missing and brings the retention of the others up to date. The number
// of shards counts only when a stream is made.
func (p *Pipeline) streams(ctx context.Context, c *config.Config) error {
	want := map[string]stream.Spec{}
	for i := range c.Sources {
		name := gapStream(c.Sources[i].Name)
		want[name] = stream.Spec{Name: name, Shards: 1, Keep: stream.Retention{Age: sideRetention}}
	}
	for i := range c.Consumers {
		name := c.Consumers[i].Settings.DeadLetters
		want[name] = stream.Spec{Name: name, Shards: 1, Keep: stream.Retention{Age: sideRetention}}
	}
	for _, s := range c.Streams {
		if p.kinesis != nil {
			delete(want, s.Name)
			continue
		}
		keep := stream.Retention{Age: max(0, s.Retention), Bytes: int64(s.RetentionBytes)} // setting.Off is negative
		want[s.Name] = stream.Spec{Name: s.Name, Shards: s.Shards, Keep: keep}
	}
	have, err := p.engine.Streams(ctx)
	if err != nil {
		return err
	}
	for _, info := range have {
		p.sameShards(c, &info)
		spec, ok := want[info.Name]
		if ok && spec.Keep != info.Keep {
			if err := p.engine.SetRetention(ctx, info.Name, spec.Keep); err != nil {
				return err
			}
		}
		delete(want, info.Name)
	}
	for _, spec := range want {
		if err := p.engine.Create(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}

func gapStream(source string) string { return source + ".gaps" }

func (p *Pipeline) source(c *config.Source, grace time.Duration) error {
	adapter, ok := sources[c.Type]
	if !ok {
		return fmt.Errorf("source %q: there is no type %q", c.Name, c.Type)
	}
	feed := &producer.Producer{
		Engine: p.Streams(), Stream: c.Stream, Source: c.Name, Gaps: gapStream(c.Name), Settings: c.Batch, Filtering: c.Filtering, Log: p.log,
	}
	if c.Settings.Identified(c.Adapter) {
		feed.Remember = producer.Remember{Window: c.Settings.DedupeWindow, Events: c.Settings.DedupeEvents}
	}
	p.producers = append(p.producers, feed)
	p.managers = append(p.managers, &source.Manager{
		Name: c.Name, Source: adapter.build(c.Adapter, p.dial), Settings: c.Settings, Producer: feed,
		Gaps: gapStream(c.Name), Dial: p.dial, Grace: grace, Log: p.log,
	})
	return nil
}

func (p *Pipeline) consumer(c *config.Consumer, grace time.Duration) error {
	adapter, ok := sinks[c.Destination.Type]
	if !ok {
		return fmt.Errorf("consumer %q: there is no destination of type %q", c.Name, c.Destination.Type)
	}
	settings := c.Settings
	settings.Batch.Records = cmp.Or(settings.Batch.Records, adapter.batch.Records)
	settings.Batch.Bytes = cmp.Or(settings.Batch.Bytes, adapter.batch.Bytes)
	settings.Batch.Wait = cmp.Or(settings.Batch.Wait, adapter.batch.Wait)
	to := adapter.build(c.Destination.Adapter, c.Name)
	p.sinks = append(p.sinks, to)
	p.consumers = append(p.consumers, &consumer.Consumer{
		Name: c.Name, Engine: p.Streams(), Stream: c.Stream, Sink: to, Settings: settings,
		Destination: c.Destination.Type, Memory: p.memory, Grace: grace, Log: p.log,
	})
	return nil
}

// Run moves events until ctx ends, finishes what is in hand, and closes everything. It returns nil at the end of ctx, and otherwise why
// it could not go on.
func (p *Pipeline) Run(ctx context.Context) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	keep, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	failed := make(chan error, 1)
	go func() { // the engine outlives the work, so that it is there while the work is finished
		err := p.runEngines(keep)
		if err != nil {
			stop()
		}
		failed <- err
	}()
	group, running := errgroup.WithContext(work)
	for _, m := range p.managers {
		group.Go(func() error { return m.Run(running) })
	}
	for _, c := range p.consumers {
		group.Go(func() error { return c.Run(running) })
	}
	group.Go(func() error { p.keepMaking(running); return nil })
	group.Go(func() error { <-running.Done(); return nil })
	err := group.Wait()
	release()
	engineErr := <-failed
	if engineErr != nil {
		err = engineErr // whatever else failed, failed because of it
	}
	return errors.Join(err, p.Close())
}

// Close closes the destinations and the engine. Run does it by itself.
func (p *Pipeline) Close() error {
	var all []error
	for _, s := range p.sinks {
		if c, ok := s.(io.Closer); ok {
			all = append(all, c.Close())
		}
	}
	p.sinks = nil
	err := p.engine.Close()
	if errors.Is(err, stream.ErrStopped) {
		err = nil // Run has returned why
	}
	return errors.Join(append(all, err)...)
}

package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
)

// openKinesis opens the engine of the streams that are listed, if that is Kinesis.
func (p *Pipeline) openKinesis(ctx context.Context, c *config.Config, log *slog.Logger) error {
	given, ok := c.Engine.Adapter.(*kinesis.Config)
	if !ok {
		return nil
	}
	k := *given
	k.Log = log
	for i := range c.Streams {
		k.Streams = append(k.Streams, c.Streams[i].Name)
	}
	for i := range c.Sources {
		if c.Sources[i].Settings.Identified(c.Sources[i].Adapter) {
			k.Remember = max(k.Remember, c.Sources[i].Settings.DedupeWindow)
		}
	}
	if len(k.Streams) == 0 {
		return errors.New("no streams are listed: only those go to Kinesis")
	}
	p.warnOfSingleKeys(c, &k)
	var err error
	p.kinesis, err = kinesis.Open(ctx, k, p.engine)
	return err
}

// warnOfSingleKeys tells of sources that are slow in Kinesis: their events have one key, of which one record is on its way at a time.
func (p *Pipeline) warnOfSingleKeys(c *config.Config, k *kinesis.Config) {
	if k.Aggregate || k.Order == "none" {
		return
	}
	for i := range c.Sources {
		if c.Sources[i].Settings.PartitionKey.IsZero() {
			p.log.Warn("all events of a source have one key, and records of a key go to Kinesis one after the other, some tens in a second; set partition_key, or aggregate of the engine",
				"source", c.Sources[i].Name)
		}
	}
}

// How long a start waits for Kinesis to make its streams, and how long the pauses are between later attempts.
const (
	makeTime     = 5 * time.Second
	makePause    = time.Second
	makePauseMax = time.Minute
)

// makeAbroad makes the streams in Kinesis that are missing, if that is wanted. Kinesis that does not answer is no obstacle: what is put waits on the disk,
// and keepMaking tries again.
func (p *Pipeline) makeAbroad(ctx context.Context, c *config.Config) {
	if k, ok := c.Engine.Adapter.(*kinesis.Config); !ok || !k.Create {
		return
	}
	limited, cancel := context.WithTimeout(ctx, makeTime)
	defer cancel()
	for i := range c.Streams {
		s := &c.Streams[i]
		spec := stream.Spec{Name: s.Name, Shards: s.Shards, Keep: stream.Retention{Age: max(0, s.Retention)}}
		if err := p.makeOne(limited, spec); err != nil {
			p.log.Warn("a stream cannot be made in Kinesis; it is tried again", "stream", s.Name, "error", err)
			p.unmade = append(p.unmade, spec)
		}
	}
}

func (p *Pipeline) makeOne(ctx context.Context, spec stream.Spec) error {
	err := p.kinesis.Create(ctx, spec)
	if errors.Is(err, stream.ErrExists) {
		return nil
	}
	return err
}

// keepMaking makes the streams that makeAbroad could not make, until all are there or ctx ends.
func (p *Pipeline) keepMaking(ctx context.Context) {
	for pause := makePause; len(p.unmade) > 0; pause = min(2*pause, makePauseMax) {
		if wait.For(ctx, pause/2+rand.N(pause)) != nil {
			return
		}
		p.unmade = slices.DeleteFunc(p.unmade, func(spec stream.Spec) bool {
			err := p.makeOne(ctx, spec)
			if err == nil {
				p.log.Info("a stream is there now in Kinesis", "stream", spec.Name)
			} else {
				p.log.Debug("a stream cannot be made in Kinesis", "stream", spec.Name, "error", err)
			}
			return err == nil
		})
	}
}

// Streams holds streams and shapes them.
type Streams interface {
	stream.Engine
	stream.Admin
}

// Streams returns what holds all streams, wherever they are. What is put to it becomes durable as the engine of the configuration promises.
func (p *Pipeline) Streams() Streams {
	if p.kinesis != nil {
		return p.kinesis
	}
	return p.engine
}

// runEngines runs the engines until ctx ends. The one that forwards ends first: it still needs the other.
func (p *Pipeline) runEngines(ctx context.Context) error {
	if p.kinesis == nil {
		return p.engine.Run(ctx)
	}
	house, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	work, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		defer stop()
		done <- p.engine.Run(house)
	}()
	err := p.kinesis.Run(work)
	for _, s := range p.kinesis.Status() {
		if s.Records > 0 {
			p.log.Warn("events wait on the disk for Kinesis; the next start sends them", "stream", s.Stream, "events", s.Records, "bytes", s.Bytes)
		}
	}
	release()
	if failed := <-done; failed != nil {
		return failed
	}
	return err
}

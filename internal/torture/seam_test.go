package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/consumer"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/sink"
	"github.com/leatstream/leat/sink/jsonl"
	sqlsink "github.com/leatstream/leat/sink/sql"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/mqtt"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

// seam names a defect that a control puts between the parts of a pipeline.
type seam string

const (
	seamNone        seam = "none"         // built by hand, no defect: proves that building by hand is none
	seamCursorFirst seam = "cursor-first" // the cursor is saved in a commit of its own, before the records
	seamAckEarly    seam = "ack-early"    // what a provider forgets is acknowledged before it is durable
	seamRandomName  seam = "random-name"  // a file gets another name than the planned one
	seamNoSync      seam = "no-sync"      // the disk of the engine says that it has synced and has not
)

// seamed is a pipeline that was built by hand, so that something can stand between its parts.
type seamed struct {
	local     *local.Engine
	producer  *producer.Producer
	manager   *source.Manager
	consumers []*consumer.Consumer
	table     *sqlsink.Sink
}

func openSeamed(ctx context.Context, c *config.Config, s seam, log *slog.Logger) (*seamed, error) {
	options := local.Options{Logger: log, Reserve: int64(c.DiskReserve)}
	if s == seamNoSync {
		options.FS = lazyFS{vfs.Default}
	}
	l, err := local.Open(c.Data, options)
	if err != nil {
		return nil, err
	}
	for name, shards := range map[string]int{streamName: shardCount, "feed.gaps": 1, "table.dlq": 1, "files.dlq": 1} {
		if err := l.Create(ctx, stream.Spec{Name: name, Shards: shards}); err != nil && !errors.Is(err, stream.ErrExists) {
			return nil, errors.Join(err, l.Close())
		}
	}
	var e stream.Engine = l
	if s == seamCursorFirst {
		e = cursorFirst{l}
	}
	p := &seamed{local: l}
	in := &c.Sources[0]
	p.producer = &producer.Producer{
		Engine: e, Stream: in.Stream, Source: in.Name, Settings: in.Batch, Log: log,
		Remember: producer.Remember{Window: in.Settings.DedupeWindow, Events: in.Settings.DedupeEvents},
	}
	p.manager = &source.Manager{
		Name: in.Name, Source: sourceOf(in, s), Settings: in.Settings,
		Producer: p.producer, Gaps: "feed.gaps", Grace: c.Grace, Log: log,
	}
	for i := range c.Consumers {
		out := &c.Consumers[i]
		settings := out.Settings
		settings.Batch.Records, settings.Batch.Bytes = 10_000, 4<<20
		p.consumers = append(p.consumers, &consumer.Consumer{
			Name: out.Name, Engine: e, Stream: out.Stream, Sink: p.sink(out, s), Settings: settings,
			Destination: out.Destination.Type, Grace: c.Grace, Log: log,
		})
	}
	return p, nil
}

func sourceOf(c *config.Source, s seam) source.Source {
	var from source.Source
	switch c := c.Adapter.(type) {
	case *mqtt.Config:
		from = &mqtt.Source{Config: *c}
	case *websocket.Config:
		from = &websocket.Source{Config: *c}
	}
	if s == seamAckEarly {
		return ackEarly{from}
	}
	return from
}

func (p *seamed) sink(c *config.Consumer, s seam) sink.Sink {
	if table, ok := c.Destination.Adapter.(*sqlsink.Config); ok {
		p.table = &sqlsink.Sink{Config: *table, Consumer: c.Name}
		return p.table
	}
	files := &jsonl.Sink{Config: *c.Destination.Adapter.(*jsonl.Config)}
	if s == seamRandomName {
		return randomName{files}
	}
	return files
}

func (p *seamed) stored() int64         { return p.producer.Stats().Records }
func (p *seamed) engine() stream.Engine { return p.local }

func (p *seamed) Run(ctx context.Context) error {
	keep, release := context.WithCancel(context.WithoutCancel(ctx))
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error { return p.manager.Run(working) })
	for _, c := range p.consumers {
		group.Go(func() error { return c.Run(working) })
	}
	house := make(chan error, 1)
	go func() { house <- p.local.Run(keep) }()
	err := group.Wait()
	release()
	return errors.Join(err, <-house, p.table.Close(), p.local.Close())
}

// cursorFirst is the seeded defect that separate files for cursor and records have.
type cursorFirst struct{ stream.Engine }

func (e cursorFirst) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if len(c.Puts) > 0 && len(c.Marks) > 0 && strings.HasPrefix(c.Marks[0].Key, "source/") {
		if r, err := e.Engine.Commit(ctx, stream.Commit{Marks: c.Marks}); err != nil {
			return r, err
		}
		c.Marks = nil
	}
	return e.Engine.Commit(ctx, c)
}

// ackEarly is the seeded defect of a client that acknowledges what it has received: it asks for the next events, which acknowledges
// those before, and only then hands those out.
type ackEarly struct{ source.Source }

func (s ackEarly) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	c, err := s.Source.Open(ctx, after)
	if err != nil {
		return nil, err
	}
	return &early{Conn: c}, nil
}

type early struct {
	source.Conn
	next []leat.Event
	err  error
}

func (c *early) Next(ctx context.Context) ([]leat.Event, error) {
	for c.next == nil && c.err == nil {
		c.take(ctx)
	}
	events, err := c.next, c.err
	if err == nil {
		c.take(ctx)
	}
	return events, err
}

func (c *early) take(ctx context.Context) {
	events, err := c.Conn.Next(ctx)
	c.next, c.err = slices.Clone(events), err
}

// randomName is the seeded defect that files with names of their own have: a range that is written again gets a second file.
type randomName struct{ sink.Planner }

func (s randomName) Execute(ctx context.Context, plan []byte, b leat.Batch) error {
	var members map[string]any
	if err := json.Unmarshal(plan, &members); err != nil {
		return err
	}
	name := members["name"].(string)
	members["name"] = path.Join(path.Dir(name), fmt.Sprintf("part=%08x", rand.Uint32()), path.Base(name))
	plan, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return s.Planner.Execute(ctx, plan, b)
}

// lazyFS is the seeded defect of a disk that lies: its syncs do nothing.
type lazyFS struct{ vfs.FS }

func (l lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return lazily(l.FS.Create(name, c))
}

func (l lazyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return lazily(l.FS.ReuseForWrite(from, to, c))
}

func (l lazyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return lazily(l.FS.OpenReadWrite(name, c, o...))
}

func (l lazyFS) OpenDir(name string) (vfs.File, error) { return lazily(l.FS.OpenDir(name)) }

func lazily(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return lazyFile{f}, nil
}

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error                { return nil }
func (lazyFile) SyncData() error            { return nil }
func (lazyFile) SyncTo(int64) (bool, error) { return true, nil }

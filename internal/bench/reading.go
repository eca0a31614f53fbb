package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

// nowhere reads messages and forgets them. Its arguments are the address, the number of messages on each connection, and that of connections.
func nowhere(ctx context.Context, args []string) (r report, err error) {
	want, _ := strconv.Atoi(args[1])
	connections, _ := strconv.Atoi(args[2])
	s := &timed{Source: &websocket.Source{Config: websocket.Config{URL: expression.MustParseTemplate(args[0])}}}
	group, running := errgroup.WithContext(ctx)
	for range connections {
		group.Go(func() error {
			conn, err := s.Open(running, "")
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			for n := 0; n < want; {
				events, err := conn.Next(running)
				if err != nil {
					return err
				}
				n += len(events)
			}
			return nil
		})
	}
	err = group.Wait()
	return s.stop(), err
}

// durable stores messages. Its arguments are the address, the number of messages on each connection, that of connections, a folder, and what is
// done besides: "once" stores each once, by its identity; "latency" measures how long each took.
func durable(ctx context.Context, args []string) (r report, err error) {
	messages, _ := strconv.ParseInt(args[1], 10, 64)
	connections, _ := strconv.ParseInt(args[2], 10, 64)
	debug.SetMemoryLimit(100<<20 + min(150, 2*connections)<<20) // as leat run does
	e, err := local.Open(filepath.Join(args[3], "data"), local.Options{})
	if err != nil {
		return r, err
	}
	if err := e.Create(ctx, stream.Spec{Name: "s", Shards: 4}); err != nil {
		return r, err
	}
	work, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	group, running := errgroup.WithContext(work)
	group.Go(func() error { return e.Run(running) })
	in := &timed{Source: &websocket.Source{Config: websocket.Config{URL: expression.MustParseTemplate(args[0])}}}
	var all []*producer.Producer
	var took delays
	for n := range connections {
		name := fmt.Sprint("blast", n)
		to := &producer.Producer{Engine: e, Stream: "s", Source: name}
		all = append(all, to)
		m := &source.Manager{
			Name: name, Source: in, Producer: to, Log: slog.New(slog.DiscardHandler),
			Settings: source.Settings{PartitionKey: expression.MustParse("key")},
		}
		switch args[4] {
		case "once":
			m.Settings.EventID = expression.MustParse("id")
			to.Remember = producer.Remember{Window: 10 * time.Minute, Events: 1_000_000}
		case "latency":
			m.Producer = &clocked{to, &took}
		}
		group.Go(func() error { return m.Run(running) })
	}
	var done producer.Stats
	err = until(running, time.Millisecond, func() bool {
		done = producer.Stats{}
		for _, to := range all {
			s := to.Stats()
			done.Records += s.Records
			done.Commits += s.Commits
		}
		return done.Records >= messages*connections
	})
	r = in.stop()
	r.Commits = float64(done.Commits)
	r.P50, r.P99 = took.quantile(0.5), took.quantile(0.99)
	stop()
	return r, errors.Join(err, group.Wait(), e.Close())
}

// timed starts the stopwatch when the first connection is open.
type timed struct {
	source.Source
	once sync.Once
	stopwatch
}

// Open implements source.Source.
func (t *timed) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	conn, err := t.Source.Open(ctx, after)
	t.once.Do(t.start)
	return conn, err
}

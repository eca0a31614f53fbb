package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
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

// How many messages a run takes.
const (
	ourMessages   = 3_000_000
	rivalMessages = 300_000
)

// measureWebsocket compares storing what a WebSocket brings with only reading it, and with a rival that writes it to a file.
func measureWebsocket(ctx context.Context, o *options, t *table) error {
	runs := map[string][]report{}
	for round := range o.rounds {
		for _, name := range []string{"nowhere", "durable", "once", "rival"} {
			r, ok, err := websocketRun(ctx, o, name)
			if err != nil {
				return err
			}
			if ok {
				runs[name] = append(runs[name], r)
				progress("websocket %d/%d: %-8s %s msg/s", round+1, o.rounds, name, count(r.Seconds))
			}
		}
	}
	rate := func(name string) []float64 { return pick(runs[name], func(r report) float64 { return r.Seconds }) }
	for _, c := range []struct{ name, text string }{{"durable", "partition_key"}, {"once", "partition_key, event_id"}} {
		t.bar(bar{
			name: "WebSocket to disk, " + c.text + " / read only", measured: span(rate(c.name), "msg/s"), against: span(rate("nowhere"), "msg/s"),
			ratio: median(ratios(rate(c.name), rate("nowhere"))), wanted: 0.5,
		})
	}
	if len(runs["rival"]) > 0 {
		t.bar(bar{
			name: "WebSocket to disk, synced / Redpanda Connect to file, not synced", measured: span(rate("durable"), "msg/s"),
			against: span(rate("rival"), "msg/s"), ratio: median(ratios(rate("durable"), rate("rival"))), wanted: 6,
		})
	} else {
		t.note("Redpanda Connect could not be built, so nothing is compared with it.")
	}
	cpu := func(name string) float64 {
		return median(pick(runs[name], func(r report) float64 { return r.cpu }))
	}
	t.note("by processor time: reading only takes %.2f of what storing takes", cpu("nowhere")/cpu("durable"))
	if len(runs["rival"]) > 0 {
		t.note("by processor time: Redpanda Connect takes %.1f times what storing takes", cpu("rival")/cpu("durable"))
	}
	for _, name := range []string{"nowhere", "durable", "once", "rival"} {
		if len(runs[name]) > 0 {
			t.note("websocket %-8s %s", name+":", costs(runs[name]))
		}
	}
	return nil
}

func pick(runs []report, of func(report) float64) []float64 {
	values := make([]float64, len(runs))
	for i := range runs {
		values[i] = of(runs[i])
	}
	return values
}

func costs(runs []report) string {
	of := func(f func(report) float64) float64 { return median(pick(runs, f)) }
	text := fmt.Sprintf("%.2f CPU s per million messages, at most %.0f MB of memory",
		of(func(r report) float64 { return r.cpu }), of(func(r report) float64 { return r.peak })/1e6)
	if allocs := of(func(r report) float64 { return r.Allocs }); allocs > 0 {
		text += fmt.Sprintf(", %.3f allocations per message", allocs)
	}
	if commits := of(func(r report) float64 { return r.Commits }); commits > 0 {
		text += fmt.Sprintf(", %.0f messages per commit", 1/commits)
	}
	if written := of(func(r report) float64 { return r.Written }); written > 0 {
		text += fmt.Sprintf(", %.2f bytes written to disk per payload byte", written)
	}
	return text
}

// websocketRun measures one thing once; everything but memory is per message, processor time per million, and Seconds is messages a second.
func websocketRun(ctx context.Context, o *options, name string) (r report, ok bool, err error) {
	messages := ourMessages
	if name == "rival" {
		messages = rivalMessages
	}
	s, err := send(messages)
	if err != nil {
		return r, false, err
	}
	defer s.stop()
	dir, remove, err := o.scratch()
	if err != nil {
		return r, false, err
	}
	defer remove()
	switch name {
	case "rival":
		program, have := o.tool("rival")
		if !have {
			return r, false, nil
		}
		r, err = toFile(program, dir, s).run(ctx)
	case "nowhere":
		r, err = runChild(ctx, "nowhere", s.url, strconv.Itoa(messages))
	default:
		r, err = runChild(ctx, "durable", s.url, strconv.Itoa(messages), dir, name)
	}
	n := float64(messages)
	r.Seconds, r.cpu = n/r.Seconds, r.cpu/n*1e6
	r.Allocs, r.Commits, r.Written = r.Allocs/n, r.Commits/n, r.Written/n/messageSize
	return r, true, err
}

// nowhere reads messages and forgets them. Its arguments are the address and the number of messages.
func nowhere(ctx context.Context, args []string) (r report, err error) {
	want, _ := strconv.Atoi(args[1])
	s := &websocket.Source{Config: websocket.Config{URL: expression.MustParseTemplate(args[0])}}
	conn, err := s.Open(ctx, "")
	if err != nil {
		return r, err
	}
	var watch stopwatch
	watch.start()
	for n := 0; n < want; {
		events, err := conn.Next(ctx)
		if err != nil {
			return r, err
		}
		n += len(events)
	}
	r = watch.stop()
	return r, conn.Close()
}

// durable stores messages. Its arguments are the address, the number of messages, a folder, and whether each is stored once: by its identity.
func durable(ctx context.Context, args []string) (r report, err error) {
	want, _ := strconv.ParseInt(args[1], 10, 64)
	e, err := local.Open(filepath.Join(args[2], "data"), local.Options{})
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
	to := &producer.Producer{Engine: e, Stream: "s", Source: "blast"}
	m := &source.Manager{
		Name: "blast", Source: in, Producer: to, Log: slog.New(slog.DiscardHandler),
		Settings: source.Settings{PartitionKey: expression.MustParse("key")},
	}
	if args[3] == "once" {
		m.Settings.EventID = expression.MustParse("id")
		to.Remember = producer.Remember{Window: 10 * time.Minute, Events: 1_000_000}
	}
	group.Go(func() error { return m.Run(running) })
	err = until(running, time.Millisecond, func() bool { return to.Stats().Records >= want })
	r = in.stop()
	r.Commits = float64(to.Stats().Commits)
	stop()
	return r, errors.Join(err, group.Wait(), e.Close())
}

// timed starts the stopwatch when the connection is open.
type timed struct {
	source.Source
	stopwatch
}

// Open implements source.Source.
func (t *timed) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	conn, err := t.Source.Open(ctx, after)
	t.start()
	return conn, err
}

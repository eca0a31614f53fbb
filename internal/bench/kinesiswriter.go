package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
)

// How the writers are measured.
const (
	farLatency     = "latency=25ms"
	farSeconds     = "6"
	limitedRecords = 4000 // what four shards take in a second
	toKinesis      = 2_000_000
	rivalToKinesis = 200_000
)

// measureWriter compares what stream/kinesis sends with the loop of one PutRecord for each message, with what the shards take, and
// with Redpanda Connect.
func measureWriter(ctx context.Context, o *options, t *table) error {
	runs, cpu := map[string][]float64{}, map[string][]float64{}
	for round := range o.rounds {
		for _, name := range []string{"loop", "far", "limited", "discard", "rival"} {
			r, ok, err := writerRun(ctx, o, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if ok {
				rate := r.Count / r.Seconds
				runs[name], cpu[name] = append(runs[name], rate), append(cpu[name], r.cpu/r.Count*1e6)
				progress("writer %d/%d: %-8s %s records/s", round+1, o.rounds, name, count(rate))
			}
		}
	}
	t.bar(bar{
		name: "to Kinesis 25 ms away / a loop of PutRecord", measured: span(runs["far"], "records/s"), against: span(runs["loop"], "records/s"),
		ratio: median(ratios(runs["far"], runs["loop"])), wanted: 100,
	})
	t.bar(bar{
		name: "to Kinesis 25 ms away, 4 shards at their limit", measured: span(runs["limited"], "records/s"), against: count(limitedRecords) + " records/s",
		ratio: median(runs["limited"]) / limitedRecords, wanted: 0.95,
	})
	if len(runs["rival"]) > 0 {
		t.bar(bar{
			name: "WebSocket to a Kinesis that discards / Redpanda Connect", measured: span(runs["discard"], "msg/s"), against: span(runs["rival"], "msg/s"),
			ratio: median(ratios(runs["discard"], runs["rival"])), wanted: 5,
		})
		t.note("WebSocket to Kinesis: %.2f CPU s per million messages, Redpanda Connect %.2f: %.1f times as much", median(cpu["discard"]), median(cpu["rival"]),
			median(ratios(cpu["rival"], cpu["discard"])))
	} else {
		t.note("Redpanda Connect could not be built; WebSocket to a Kinesis that discards: %s", span(runs["discard"], "msg/s"))
	}
	return nil
}

// writerRun measures one writer once.
func writerRun(ctx context.Context, o *options, name string) (r report, ok bool, err error) {
	dir, remove, err := o.scratch()
	if err != nil {
		return r, false, err
	}
	defer remove()
	if name == "discard" || name == "rival" {
		return discardRun(ctx, o, name, dir)
	}
	flags := []string{"--fault", farLatency}
	if name == "limited" {
		flags = append(flags, "--throttle", "aws")
	}
	program, _ := o.tool("leat")
	s, err := startKinesis(ctx, program, filepath.Join(dir, "server"), flags...)
	if err != nil {
		return r, false, err
	}
	defer func() { _ = s.stop() }()
	if err := newKinesisClient(s.url, 1).prepare(ctx, 4); err != nil {
		return r, false, err
	}
	if name == "loop" {
		r, err = runChild(ctx, "load", s.url, "1", "1", farSeconds)
	} else {
		pace := map[string]string{"far": "off", "limited": "auto"}[name]
		r, err = runChild(ctx, "forward", s.url, filepath.Join(dir, "house"), farSeconds, pace)
	}
	return r, true, err
}

// openKinesis opens an engine with its house in a folder, and runs it.
func openKinesis(ctx context.Context, c kinesis.Config, dir string) (*kinesis.Engine, func() error, error) {
	house, err := local.Open(dir, local.Options{})
	if err != nil {
		return nil, nil, err
	}
	c.AccessKey, c.SecretKey, c.Region, c.Streams = "bench", setting.NewSecret("bench"), "us-east-1", []string{kinesisStream}
	c.Log = slog.New(slog.DiscardHandler)
	e, err := kinesis.Open(ctx, c, house)
	if err != nil {
		return nil, nil, errors.Join(err, house.Close())
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Run(running) }()
	return e, func() error {
		stop()
		return errors.Join(<-done, house.Close())
	}, nil
}

// forward puts as much as is taken. Its arguments are the address, a folder, seconds, and the pace; the first second does not count: then the
// limits of the shards have something in hand.
func forward(ctx context.Context, args []string) (report, error) {
	seconds, _ := strconv.Atoi(args[2])
	e, end, err := openKinesis(ctx, kinesis.Config{Endpoint: args[0], Pace: args[3]}, args[1])
	if err != nil {
		return report{}, err
	}
	work, stop := context.WithTimeout(ctx, time.Duration(seconds+1)*time.Second)
	defer stop()
	sent := func() float64 { return float64(e.Status()[0].Counters.Records) }
	var writers sync.WaitGroup
	for w := range 16 {
		writers.Go(func() { forwardEvents(work, e, w) })
	}
	time.Sleep(time.Second)
	before := sent()
	var watch stopwatch
	watch.start()
	<-work.Done()
	r := watch.stop()
	r.Count = sent() - before
	writers.Wait()
	return r, end()
}

func forwardEvents(ctx context.Context, e *kinesis.Engine, writer int) {
	data := make([]byte, 200)
	for n := 0; ctx.Err() == nil; n++ {
		events := make([]leat.Event, 500)
		for i := range events {
			events[i] = leat.Event{PartitionKey: fmt.Sprintf("key-%d-%d", writer, n*len(events)+i), Data: data}
		}
		if _, err := e.Commit(ctx, stream.Commit{Puts: []stream.Put{{Stream: kinesisStream, Events: events}}}); err != nil {
			return
		}
	}
}

// discardRun measures the way from a WebSocket to a Kinesis that discards.
func discardRun(ctx context.Context, o *options, name, dir string) (r report, ok bool, err error) {
	messages := toKinesis
	if name == "rival" {
		messages = rivalToKinesis
	}
	program, have := o.tool("rival")
	if name == "rival" && !have {
		return r, false, nil
	}
	s, err := send(messages)
	if err != nil {
		return r, false, err
	}
	defer s.stop()
	d, err := discarding()
	if err != nil {
		return r, false, err
	}
	defer d.stop()
	if name == "discard" {
		r, err = runChild(ctx, "kinesis", s.url, d.url, strconv.Itoa(messages), dir)
	} else {
		r, err = toKinesisAPI(program, dir, s, d).run(ctx)
	}
	r.Count = float64(messages)
	return r, true, err
}

// kinesisChild brings messages into Kinesis. Its arguments are both addresses, the number of messages and a folder.
func kinesisChild(ctx context.Context, args []string) (r report, err error) {
	want, _ := strconv.ParseInt(args[2], 10, 64)
	e, end, err := openKinesis(ctx, kinesis.Config{Endpoint: args[1], Format: "cbor"}, filepath.Join(args[3], "house")) // as to AWS
	if err != nil {
		return r, err
	}
	work, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	group, running := errgroup.WithContext(work)
	in := &timed{Source: &websocket.Source{Config: websocket.Config{URL: expression.MustParseTemplate(args[0])}}}
	to := &producer.Producer{Engine: e, Stream: kinesisStream, Source: "blast"}
	m := &source.Manager{
		Name: "blast", Source: in, Producer: to, Log: slog.New(slog.DiscardHandler),
		Settings: source.Settings{PartitionKey: expression.MustParse("id")},
	}
	group.Go(func() error { return m.Run(running) })
	err = until(running, time.Millisecond, func() bool { return e.Status()[0].Counters.Records >= want })
	r = in.stop()
	stop()
	return r, errors.Join(err, group.Wait(), end())
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/pipeline"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/remote"
)

func (a *app) runCommand() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use: "run FILE...", Short: "Run what a configuration describes", Args: cobra.MinimumNArgs(1),
		Long: `Run opens the data directory, connects the sources and delivers to the destinations until it gets SIGINT or SIGTERM. Then it stops
reading, finishes what is in hand within the grace time of the configuration, and exits with 0. A second signal ends it at once, which
is as safe as a crash. With --for it ends so by itself, for schedulers that allow a process some time only: the cursors are stored, the connections closed as
the provider wants it, and the next run goes on where this one was.`,
		Example: "  leat run leat.yaml\n  leat run leat.yaml more-sources.yaml\n  leat run leat.yaml --for 14m",
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := within(atLeast("for", length, 0)); err != nil {
				return err
			}
			c, err := a.valid(files)
			if err != nil {
				return err
			}
			log, err := a.logger()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			p, err := pipeline.Open(ctx, c, log)
			if err != nil {
				return openError(err, c.Data)
			}
			j := &job{p: p, c: c, log: log, ready: a.announce}
			if c.KinesisAPI != nil {
				j.kinesis = &kinesisFace{KinesisAPI: c.KinesisAPI}
				j.ready = func(c *config.Config) {
					a.announce(c)
					a.announceKinesis(j.kinesis)
				}
			}
			return a.run(ctx, j)
		},
	}
	cmd.Flags().DurationVar(&length, "for", 0, "end by itself after this time, as on SIGTERM; what is in hand is finished after it, within the grace time. 0: never")
	return cmd
}

// job is an open pipeline that is to be run.
type job struct {
	p       *pipeline.Pipeline
	c       *config.Config
	log     *slog.Logger
	ready   func(*config.Config) // called once everything is served
	kinesis *kinesisFace         // nil: not served
}

// run serves the faces of a pipeline and runs it.
func (a *app) run(ctx context.Context, j *job) error {
	limitMemory(j.c)
	faces, err := serveFaces(j)
	if err != nil {
		return errors.Join(err, j.p.Close())
	}
	defer faces.close()
	j.ready(j.c)
	err = j.p.Run(ctx)
	if errors.Is(err, stream.ErrStopped) {
		return &exitError{code: exitFailed, err: err, hint: "what was acknowledged is on disk; the next start verifies it"}
	}
	return err
}

// faces are the servers beside a pipeline.
type faces struct {
	stop  context.CancelFunc
	group sync.WaitGroup
}

func (f *faces) close() {
	f.stop()
	f.group.Wait()
}

// serve serves until the faces are closed.
func (f *faces) serve(serve func() error, log *slog.Logger) {
	f.group.Go(func() {
		if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("a server ended", "error", err)
		}
	})
}

// serveFaces serves the socket in the data directory, and the Kinesis API and the metrics if the configuration says where.
func serveFaces(j *job) (*faces, error) {
	socket, err := remote.Listen(j.c.Data)
	if err != nil {
		return nil, environment(err, "")
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &faces{stop: stop}
	handler := remote.Handler(j.p.Streams(), func() any { return j.p.Status() })
	f.serve(func() error { return remote.Serve(ctx, socket, handler) }, j.log)
	if j.kinesis != nil {
		if err := f.serveKinesis(ctx, j); err != nil {
			f.close()
			return nil, err
		}
	}
	if j.c.Metrics == "" {
		return f, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", j.c.Metrics)
	if err != nil {
		f.close()
		return nil, environment(fmt.Errorf("serve metrics: %w", err), "choose another address for metrics")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(j.p.Metrics(), promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	f.serve(func() error { return s.Serve(l) }, j.log)
	return f, nil
}

// announce prints what runs where.
func (a *app) announce(c *config.Config) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-10s %s\n", name+":", fmt.Sprintf(format, args...))
	}
	line("Data", "%s (durable)", c.Data)
	if c.Engine.Type == "kinesis" {
		line("Streams", "in Kinesis; what it has not taken yet is in Data")
	}
	if c.Metrics != "" {
		line("Metrics", "http://%s/metrics", c.Metrics)
	}
	for i := range c.Sources {
		line("Source", "%s (%s) to stream %s", c.Sources[i].Name, c.Sources[i].Type, c.Sources[i].Stream)
	}
	for i := range c.Consumers {
		line("Consumer", "%s from stream %s to %s", c.Consumers[i].Name, c.Consumers[i].Stream, c.Consumers[i].Destination.Type)
	}
	if len(c.Sources) > 0 {
		line("Try", "%s tap %s%s", self(), c.Sources[0].Stream, dataFlag(c.Data))
	}
}

func dataFlag(dir string) string {
	if dir == defaultData {
		return ""
	}
	return " --data " + shellQuote(dir)
}

func shellQuote(s string) string {
	if strings.ContainsAny(s, " '\"$&|;<>*?()[]{}\\`~#!") || s == "" {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// openError gives an error of opening a data directory its exit code and a hint.
func openError(err error, dir string) error {
	var damage *local.DamageError
	switch {
	case errors.As(err, &damage):
		return environment(err, "nothing was changed; leat repair --dry-run "+shellQuote(dir)+" says what can be kept, without --dry-run it keeps it")
	case errors.Is(err, local.ErrLocked):
		return environment(err, "stop the other process, or give this one a data directory of its own")
	}
	return environment(err, "")
}

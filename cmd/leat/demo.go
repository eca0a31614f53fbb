package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/examples"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/pipeline"
)

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a}
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch a bike race: provider, stream and table in one process", Args: cobra.NoArgs,
		Long: `Demo simulates a provider that sends the telemetry of 1,000 riders, a message per rider and second, over a WebSocket that hangs up at
random. Leat holds two connections to it, stores every message once in a stream of four shards, and keeps a table of the standings, which you see.
Stop it and start it again: it goes on where it was.`,
		Example: "  leat demo\n  leat demo --riders 100 --data /tmp/race",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := within(between("riders", d.race.Riders, 1, maxRiders), atLeast("hang-up", d.race.HangUp, 0), atLeast("for", d.length, 0)); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&d.data, "data", "d", "./leat-demo", "where the data and the table are kept")
	f.IntVar(&d.race.Riders, "riders", 1000, "number of riders, at most 1000")
	f.DurationVar(&d.race.HangUp, "hang-up", provider.DefaultHangUp, "mean time until a connection is cut; 0: never")
	f.StringVar(&d.rides, "rides", "", "folder of FIT files whose rides are raced")
	f.DurationVar(&d.length, "for", 0, "stop after this time; 0: when interrupted")
	return cmd
}

// demo is one call of leat demo.
type demo struct {
	*app
	data, rides string
	length      time.Duration
	race        provider.Race
}

func (d *demo) run(ctx context.Context) error {
	if d.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.length)
		defer cancel()
	}
	if err := d.prepare(); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return environment(err, "")
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- provider.Serve(serving, l, &d.race) }()
	err = d.pipeline(ctx, fmt.Sprintf("ws://%s/", l.Addr()))
	stop()
	return errors.Join(err, <-served)
}

func (d *demo) prepare() error {
	if d.rides != "" {
		windows, err := readRides(d.rides)
		if err != nil {
			return usage(err)
		}
		d.race.Rides, d.race.Riders = windows, len(windows)
	}
	d.race.Seed = 1
	if err := os.MkdirAll(d.data, 0o700); err != nil {
		return environment(err, "choose another place with --data")
	}
	return nil
}

func (d *demo) table() string { return filepath.Join(d.data, "race.db") }

// pipeline runs the example against the provider. Its log goes to a file, so that it does not disturb the screen.
func (d *demo) pipeline(ctx context.Context, url string) error {
	env := map[string]string{"RACE_URL": url, "RACE_DATA": filepath.Join(d.data, "stream"), "RACE_DB": d.table()}
	input := config.Input{Name: "bike-race/leat.yaml", Text: examples.BikeRace}
	c, diagnostics := config.Load([]config.Input{input}, pipeline.Adapters(), func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err := diagnostics.Err(); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(d.data, "leat.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return environment(err, "")
	}
	defer logFile.Close()
	log := slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{ReplaceAttr: plainErrors}))
	p, err := pipeline.Open(ctx, c, log)
	if err != nil {
		return openError(err, c.Data)
	}
	board := &board{demo: d, p: p, began: time.Now(), stream: c.Data}
	var shown sync.WaitGroup
	showing, stop := context.WithCancel(ctx)
	err = d.app.run(ctx, &job{p: p, c: c, log: log, ready: func(*config.Config) { shown.Go(func() { board.show(showing) }) }})
	stop()
	shown.Wait()
	if err == nil {
		board.farewell()
	}
	return err
}

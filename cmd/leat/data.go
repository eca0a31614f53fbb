package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/remote"
)

// defaultData is where leat run keeps its data if the configuration does not say.
const defaultData = "./leat-data"

func dataDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVarP(dir, "data", "d", defaultData, "data directory")
}

// engine is what verbs that look into a data directory need.
type engine interface {
	stream.Engine
	stream.Admin
}

// opened is a data directory, or another place of streams, that is open.
type opened struct {
	engine
	live  bool // through the process that has it: there may be more to come
	close func()
	sent  func(stream string) kinesis.Status // how what this process has put arrives; nil: it is never late
}

// startup is how long a process may hold a directory without answering: while it starts or ends.
const startup = 3 * time.Second

// openData opens a data directory: through the process that has it open, or by itself if there is none.
func openData(ctx context.Context, dir string, options local.Options) (*opened, error) {
	for until := time.Now().Add(startup); ; {
		client, err := remote.Dial(dir)
		if err == nil {
			return &opened{engine: client, live: true, close: func() {}}, nil
		}
		if !errors.Is(err, remote.ErrNotRunning) {
			return nil, environment(fmt.Errorf("reach the process that has %s open: %w", dir, err), "")
		}
		e, err := local.Open(dir, options)
		switch {
		case errors.Is(err, local.ErrLocked) && time.Now().Before(until):
		case errors.Is(err, os.ErrNotExist):
			return nil, environment(fmt.Errorf("there is no data directory %s", dir), "name it with --data (leat dev keeps its streams in ./.leat), or start leat run first")
		case err != nil:
			return nil, openError(err, dir)
		case len(e.Damage()) > 0:
			return nil, errors.Join(openError(&local.DamageError{Dir: dir, Findings: e.Damage()}, dir), e.Close())
		default:
			return &opened{engine: e, close: func() { _ = e.Close() }}, nil
		}
		if err := wait.For(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// noStream gives the error of an unknown stream a hint.
func noStream(ctx context.Context, e engine, name string, err error) error {
	if !errors.Is(err, stream.ErrNoStream) {
		return err
	}
	infos, listErr := e.Streams(ctx)
	if listErr != nil {
		return err
	}
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	hint := "leat streams lists what there is"
	o, _ := e.(*opened)
	switch {
	case slices.Contains(names, "kinesis/spool/"+name):
		hint = "it is in Kinesis, and leat run has ended: read it with --aws or --endpoint"
	case o != nil && sentTo(o.forwarding(ctx), name) != nil:
		hint = "leat run forwards to it and Kinesis does not have it: make it there, or write create: true into engine"
	case o != nil && o.sent != nil:
		hint = "leat streams with the same flags lists what there is; each region has streams of its own (--region)"
	}
	if near, ok := setting.Nearest(name, names); ok && !slices.Contains(names, name) {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("no such stream: %q", name), hint: hint}
}

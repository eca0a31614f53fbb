package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/stream"
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

// openData opens a data directory for reading: through the process that has it open, or by itself if there is none.
func openData(dir string) (engine, func(), error) {
	client, err := remote.Dial(dir)
	if err == nil {
		return client, func() {}, nil
	}
	if !errors.Is(err, remote.ErrNotRunning) {
		return nil, nil, environment(fmt.Errorf("reach the process that has %s open: %w", dir, err), "")
	}
	e, err := local.Open(dir, local.Options{ReadOnly: true})
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, environment(fmt.Errorf("there is no data directory %s", dir), "name it with --data, or start leat run first")
	}
	if err != nil {
		return nil, nil, openError(err, dir)
	}
	return e, func() { _ = e.Close() }, nil
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
	if near, ok := config.Nearest(name, names); ok && !slices.Contains(names, name) {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("no such stream: %q", name), hint: hint}
}

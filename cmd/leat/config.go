package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/pipeline"
)

// load reads configuration files; - is standard input. The error says which could not be read; the diagnostics are those of the others.
func (a *app) load(files []string) (*config.Config, config.Diagnostics, error) {
	var inputs []config.Input
	var missing []error
	for _, name := range files {
		text, err := a.read(name)
		if err != nil {
			missing = append(missing, fmt.Errorf("read configuration: %w", err))
		}
		if name == "-" {
			name = "<stdin>"
		}
		inputs = append(inputs, config.Input{Name: name, Text: text, Err: err})
	}
	c, d := config.Load(inputs, pipeline.Adapters(), nil)
	if len(missing) > 0 {
		return c, d, usage(errors.Join(missing...))
	}
	return c, d, nil
}

func (a *app) read(name string) ([]byte, error) {
	const limit = 16 << 20
	if name == "-" {
		return io.ReadAll(io.LimitReader(a.in, limit))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// valid loads files and prints whatever is wrong with them.
func (a *app) valid(files []string) (*config.Config, error) {
	c, d, missing := a.load(files)
	if len(d) > 0 {
		if err := d.Print(a.err, config.PrintOptions{Color: a.colored(false)}); err != nil {
			return nil, err
		}
	}
	if missing != nil {
		return nil, missing
	}
	if d.Err() != nil {
		return nil, &exitError{code: exitUsage, err: errors.New("")} // it has been printed
	}
	return c, nil
}

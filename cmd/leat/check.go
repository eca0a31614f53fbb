package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/pipeline"
)

func (a *app) checkCommand() *cobra.Command {
	var format string
	var strict bool
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Report every mistake of a configuration", Args: cobra.MinimumNArgs(1),
		Long: `Check reports every mistake of all files together, each with its line and column. The files are read as one
configuration. "-" is standard input. The files that it names, such as certificates, must be there and hold what they should. If there is no mistake it says what the configuration promises for each source, stream and
consumer; leat explain tells what the words mean. It exits with 2 if there is an error, with --strict also if there is a warning.`,
		Example: "  leat check leat.yaml\n  leat check --format json leat.yaml streams.yaml",
		RunE: func(_ *cobra.Command, files []string) error {
			if a.json {
				format = "json"
			}
			return a.check(files, format, strict)
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&format, "format", "text", "text, json or github")
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as errors")
	return cmd
}

func (a *app) check(files []string, format string, strict bool) error {
	if format != "text" && format != "json" && format != "github" {
		return usage(fmt.Errorf("--format %q: expected text, json or github", format))
	}
	c, d, missing := a.load(files)
	ok := missing == nil && d.Errors() == 0 && (!strict || d.Warnings() == 0)
	var promised []pipeline.Guarantee
	if missing == nil && d.Errors() == 0 {
		promised = pipeline.Guarantees(c)
	}
	if err := a.report(checked{d, promised, ok, missing}, format); err != nil {
		return err
	}
	if missing == nil && !ok {
		return usage(errors.New("")) // the mistakes have been printed
	}
	return missing
}

// checked is what check has found.
type checked struct {
	diagnostics config.Diagnostics
	promised    []pipeline.Guarantee
	ok          bool
	missing     error // a file that cannot be read
}

// report prints what check has found.
func (a *app) report(c checked, format string) error {
	d, ok, missing := c.diagnostics, c.ok, c.missing
	switch {
	case format == "github":
		return d.PrintGitHub(a.out)
	case format == "json":
		e := envelope{Command: "check", OK: ok, Summary: d.Summary(), Result: map[string]any{"diagnostics": d, "guarantees": c.promised}}
		switch {
		case missing != nil:
			e.Error = &envelopeError{Code: "config.unreadable", Message: missing.Error()}
		case !ok:
			e.Error = &envelopeError{Code: "config.invalid", Message: d.Summary()}
		}
		return a.print(e)
	case len(d) > 0:
		err := d.Print(a.out, config.PrintOptions{Color: a.colored(a.terminal)})
		return errors.Join(err, a.promises(c.promised))
	case missing == nil:
		_, err := fmt.Fprintf(a.out, "%s\n", d.Summary())
		return errors.Join(err, a.promises(c.promised))
	}
	return nil
}

// promises prints what holds for each edge.
func (a *app) promises(all []pipeline.Guarantee) error {
	wide := 0
	for _, g := range all {
		wide = max(wide, len(g.Edge))
	}
	for _, g := range all {
		if _, err := fmt.Fprintf(a.out, "%-*s  %-20s  %s\n", wide, g.Edge, g.Step, g.Reason); err != nil {
			return err
		}
	}
	return nil
}

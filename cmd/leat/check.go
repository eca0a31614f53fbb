package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
)

func (a *app) checkCommand() *cobra.Command {
	var format string
	var strict bool
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Report every mistake of a configuration", Args: cobra.MinimumNArgs(1),
		Long: `Check reports every mistake of all files together, each with its line and column. The files are read as one
configuration. "-" is standard input. It exits with 2 if there is an error, with --strict also if there is a warning.`,
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
	_, d, missing := a.load(files)
	ok := missing == nil && d.Errors() == 0 && (!strict || d.Warnings() == 0)
	if err := a.report(d, format, ok, missing); err != nil {
		return err
	}
	if missing == nil && !ok {
		return usage(errors.New("")) // the mistakes have been printed
	}
	return missing
}

// report prints what check has found.
func (a *app) report(d config.Diagnostics, format string, ok bool, missing error) error {
	switch {
	case format == "github":
		return d.PrintGitHub(a.out)
	case format == "json":
		e := envelope{Command: "check", OK: ok, Summary: d.Summary(), Result: map[string]any{"diagnostics": d}}
		switch {
		case missing != nil:
			e.Error = &envelopeError{Code: "config.unreadable", Message: missing.Error()}
		case !ok:
			e.Error = &envelopeError{Code: "config.invalid", Message: d.Summary()}
		}
		return a.print(e)
	case len(d) > 0:
		return d.Print(a.out, config.PrintOptions{Color: a.colored(a.terminal)})
	case missing == nil:
		_, err := fmt.Fprintf(a.out, "%s\n", d.Summary())
		return err
	}
	return nil
}

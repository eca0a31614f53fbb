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
	_, d, err := a.load(files)
	if err != nil {
		return err
	}
	ok := d.Errors() == 0 && (!strict || d.Warnings() == 0)
	switch format {
	case "text":
		if len(d) > 0 {
			err = d.Print(a.out, config.PrintOptions{Color: a.colored(a.terminal)})
		} else {
			_, err = fmt.Fprintf(a.out, "%s\n", d.Summary())
		}
	case "github":
		err = d.PrintGitHub(a.out)
	case "json":
		e := envelope{Command: "check", OK: ok, Summary: d.Summary(), Result: map[string]any{"diagnostics": d}}
		if !ok {
			e.Error = &envelopeError{Code: "config.invalid", Message: d.Summary()}
		}
		err = a.print(e)
	default:
		return usage(fmt.Errorf("--format %q: expected text, json or github", format))
	}
	if err == nil && !ok {
		err = &exitError{code: exitUsage, err: errors.New("")} // the mistakes have been printed
	}
	return err
}

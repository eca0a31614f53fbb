package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/leatstream/leat/config"
)

// streams are where a verb reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out is one
	width    int  // of the terminal; 0: unknown
}

func standardStreams() *streams {
	s := &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: term.IsTerminal(int(os.Stdout.Fd()))}
	if s.terminal {
		s.width, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	return s
}

// app is one call of leat.
type app struct {
	*streams
	logLevel string
	json     bool
	color    string
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, s *streams) int {
	a := &app{streams: s}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	code, hint := exitCode(err)
	if err != nil && err.Error() != "" {
		fmt.Fprintf(s.err, "leat: %v\n", err)
		if hint != "" {
			fmt.Fprintf(s.err, "hint: %s\n", hint)
		}
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "leat",
		Short: "Bring unbounded streams of events to where you work with them",
		Long: `Leat keeps connections to event providers open, writes every event once into a durable sharded stream,
and delivers it to tables and files. Start with: leat demo`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVar(&a.logLevel, "log-level", "info", "what is logged: debug, info, warn or error")
	flags.StringVar(&a.color, "color", "auto", "colours: auto, always or never")
	root.AddCommand(a.runCommand(), a.checkCommand(), a.explainCommand(), a.tapCommand(), a.streamsCommand(), a.demoCommand(), a.providerCommand(), a.repairCommand(), a.versionCommand())
	for _, verb := range root.Commands() {
		wrapArgs(verb)
	}
	return root
}

// wrapArgs makes wrong arguments a usage error that shows how it is used.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &exitError{code: exitUsage, err: err, hint: "usage: " + cmd.UseLine()}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

func unknownVerb(cmd *cobra.Command, word string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	hint := "leat help lists what there is"
	if near, ok := config.Nearest(word, names); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &exitError{code: exitUsage, hint: hint, err: fmt.Errorf("unknown command %q for %q", word, cmd.CommandPath())}
}

func flagError(cmd *cobra.Command, err error) error {
	hint := "usage: " + cmd.UseLine()
	if _, word, ok := strings.Cut(err.Error(), "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *flag) { names = append(names, f.Name) })
		cmd.InheritedFlags().VisitAll(func(f *flag) { names = append(names, f.Name) })
		if near, ok := config.Nearest(strings.TrimSpace(word), names); ok {
			hint = fmt.Sprintf("did you mean --%s?", near)
		}
	}
	return &exitError{code: exitUsage, err: err, hint: hint}
}

// logger returns the logger of a verb that runs for long. Logs go to standard error, always.
func (a *app) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return nil, usage(fmt.Errorf("--log-level %q: expected debug, info, warn or error", a.logLevel))
	}
	f, ok := a.err.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(tint.NewTextHandler(a.err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !a.colored(true)})), nil
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})), nil
}

// colored reports whether to use colours on something that is a terminal or not.
func (a *app) colored(terminal bool) bool {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/leatstream/leat/internal/setting"
)

// streams are where a verb reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out is one
	width    int  // of the terminal; 0: unknown
}

// size returns the present width and height of the terminal; 0: unknown.
func (s *streams) size() (width, height int) {
	if !s.terminal {
		return 0, 0
	}
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
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

// execute runs one command line and returns its exit code. What went wrong is told on standard error, and with --json on standard
// output, too, if nothing has been printed there.
func execute(ctx context.Context, args []string, s *streams) int {
	out := &counted{Writer: s.out}
	own := *s
	own.out = out
	a := &app{streams: &own}
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	code, hint := exitCode(err)
	if err == nil || err.Error() == "" {
		return code
	}
	fmt.Fprintf(s.err, "leat: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nleat: "))
	if hint != "" {
		fmt.Fprintf(s.err, "hint: %s\n", hint)
	}
	if (a.json || slices.Contains(args, "--json")) && !out.used {
		if err := a.print(failure(cmd, err)); err != nil {
			return exitFailed
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
		Args:              verbs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.globals() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(a.helpCommand())
	flags := root.PersistentFlags()
	flags.StringVar(&a.logLevel, "log-level", "info", "what is logged: debug, info, warn or error")
	flags.StringVar(&a.color, "color", "auto", "colours: auto, always or never")
	root.AddCommand(a.runCommand(), a.checkCommand(), a.explainCommand(), a.tapCommand(), a.putCommand(), a.getCommand(), a.streamsCommand(), a.gapsCommand(), a.demoCommand(), a.devCommand(), a.providerCommand(), a.recordCommand(), a.repairCommand(), a.versionCommand())
	for _, verb := range root.Commands() {
		a.wrapArgs(verb)
	}
	return root
}

// globals judges the flags that every verb has.
func (a *app) globals() error {
	if _, err := a.level(); err != nil {
		return err
	}
	if a.color != "auto" && a.color != "always" && a.color != "never" {
		return usage(fmt.Errorf("--color %q: expected auto, always or never", a.color))
	}
	return nil
}

func flagError(cmd *cobra.Command, err error) error {
	hint := "it is used like this: " + cmd.UseLine()
	if _, word, ok := strings.Cut(err.Error(), "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *flag) { names = append(names, f.Name) })
		cmd.InheritedFlags().VisitAll(func(f *flag) { names = append(names, f.Name) })
		if near, ok := setting.Nearest(strings.TrimSpace(word), names); ok {
			hint = fmt.Sprintf("did you mean --%s?", near)
		}
	}
	return &exitError{code: exitUsage, err: err, hint: hint}
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

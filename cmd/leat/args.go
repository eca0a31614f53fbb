package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/setting"
)

// wrapArgs makes wrong arguments a usage error in our own words that shows how it is used. What every verb has is judged before.
func (a *app) wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := a.globals(); err != nil {
				return err
			}
			err := check(cmd, args)
			var told *exitError
			if err == nil || errors.As(err, &told) {
				return err
			}
			return &exitError{code: exitUsage, err: errors.New(argsProblem(cmd, args)), hint: "it is used like this: " + cmd.UseLine()}
		}
	}
	for _, sub := range cmd.Commands() {
		a.wrapArgs(sub)
	}
}

// argsProblem says what is wrong with the number of arguments; the line of usage tells what is expected.
func argsProblem(cmd *cobra.Command, args []string) string {
	_, usage, _ := strings.Cut(cmd.Use, " ")
	nouns := strings.Fields(strings.NewReplacer("...", "", "[", "", "]", "", "dir", "directory").Replace(strings.ToLower(usage)))
	switch {
	case len(nouns) == 0:
		return fmt.Sprintf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	case len(args) < len(nouns):
		return fmt.Sprintf("which %s? %s needs one", nouns[len(args)], cmd.CommandPath())
	}
	return fmt.Sprintf("%s takes one %s, got %q as well", cmd.CommandPath(), nouns[len(nouns)-1], args[len(nouns)])
}

// verbs refuses arguments of a command that only has other commands.
func verbs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownVerb(cmd, args[0])
	}
	return nil
}

func unknownVerb(cmd *cobra.Command, word string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	hint := strings.Replace(cmd.CommandPath(), "leat", "leat help", 1) + " lists what there is"
	if near, ok := setting.Nearest(word, names); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &exitError{code: exitUsage, hint: hint, err: fmt.Errorf("unknown command %q for %q", word, cmd.CommandPath())}
}

func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Say what a command does",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || found == nil {
				return unknownVerb(cmd.Root(), args[0])
			}
			if len(rest) > 0 {
				return unknownVerb(found, rest[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			found, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range found.Commands() {
				names = append(names, sub.Name()+"\t"+sub.Short)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// limit is what a flag with a number or a duration was set to, and what it may be.
type limit struct {
	flag     string
	value    any
	expected string
	ok       bool
}

// within returns a usage error for the first flag that is outside of its limits.
func within(limits ...limit) error {
	for _, l := range limits {
		if !l.ok {
			return usage(fmt.Errorf("--%s %v: expected %s", l.flag, l.value, l.expected))
		}
	}
	return nil
}

func atLeast[T ~int | ~int64 | ~float64](flag string, value, least T) limit {
	return limit{flag: flag, value: value, expected: fmt.Sprintf("%v or more", least), ok: value >= least}
}

func between(flag string, value, least, most int) limit {
	return limit{flag: flag, value: value, expected: fmt.Sprintf("%d to %d", least, most), ok: value >= least && value <= most}
}

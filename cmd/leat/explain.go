package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/pipeline"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [CODE]", Short: "Explain an error code or a promise of leat check", Args: cobra.MaximumNArgs(1),
		Example: "  leat explain\n  leat explain config.unknown_field\n  leat explain at-least-once\n  leat explain leat.yaml",
		Long: `Explain explains an error code, or the word for a promise. With a file it says what that configuration promises for each source, stream
and consumer, and what the words mean.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, c := range config.Codes() {
					fmt.Fprintf(a.out, "%-28s %s\n", c.Code, c.Title)
				}
				for _, s := range pipeline.Steps {
					fmt.Fprintf(a.out, "%-28s %s\n", s.Step, s.Means)
				}
				return nil
			}
			return a.explain(args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range config.Codes() {
				names = append(names, c.Code+"\t"+c.Title)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	return cmd
}

func (a *app) explain(code string) error {
	var names []string
	for _, c := range config.Codes() {
		names = append(names, c.Code)
		if c.Code != code {
			continue
		}
		fmt.Fprintf(a.out, "%s (%s): %s\n\n%s\n\nwrong:\n%s\nright:\n%s", c.Code, c.Severity, c.Title, c.Text, indent(c.Wrong), indent(c.Right))
		return nil
	}
	for _, s := range pipeline.Steps {
		if names = append(names, string(s.Step)); string(s.Step) == code {
			_, err := fmt.Fprintf(a.out, "%s: %s.\n", s.Step, s.Means)
			return err
		}
	}
	if _, err := os.Stat(code); err == nil {
		return a.explainFile(code)
	}
	hint := "leat explain lists all codes"
	if near, ok := setting.Nearest(code, names); ok {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("there is no code %q", code), hint: hint}
}

// explainFile says what a configuration promises, and what the words mean.
func (a *app) explainFile(name string) error {
	c, err := a.valid([]string{name})
	if err != nil {
		return err
	}
	all := pipeline.Guarantees(c)
	if err := a.promises(all); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	for _, s := range pipeline.Steps {
		if slices.ContainsFunc(all, func(g pipeline.Guarantee) bool { return g.Step == s.Step }) {
			fmt.Fprintf(a.out, "%-20s  %s\n", s.Step, s.Means)
		}
	}
	return nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [CODE]", Short: "Explain an error code of leat check", Args: cobra.MaximumNArgs(1),
		Example: "  leat explain\n  leat explain config.unknown_field",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, c := range config.Codes() {
					fmt.Fprintf(a.out, "%-28s %s\n", c.Code, c.Title)
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
	hint := "leat explain lists all codes"
	if near, ok := config.Nearest(code, names); ok {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("there is no code %q", code), hint: hint}
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}

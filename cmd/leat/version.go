package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leatstream/leat/internal/version"
)

type flag = pflag.Flag

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  leat version\n  leat version --json",
		RunE: func(*cobra.Command, []string) error {
			if !a.json {
				fmt.Fprintf(a.out, "leat %s %s %s/%s\n", version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			}
			modules := map[string]string{}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, m := range info.Deps {
					modules[m.Path] = m.Version
				}
			}
			return a.print(envelope{Command: "version", OK: true, Summary: version.String(), Result: map[string]any{
				"version": version.String(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "modules": modules,
			}})
		},
	}
	a.jsonFlag(cmd)
	return cmd
}

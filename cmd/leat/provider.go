package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/provider"
)

func (a *app) providerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "provider", Short: "Serve a provider to try things with", Args: verbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.replayCommand(), a.raceCommand())
	return cmd
}

// maxRiders is how many riders a race has at most.
const maxRiders = 1000

func (a *app) raceCommand() *cobra.Command {
	var listen, rides string
	race := provider.Race{}
	cmd := &cobra.Command{
		Use: "race", Short: "Simulate a bike race", Args: cobra.NoArgs,
		Long: `Race sends the telemetry of simulated riders, a message per rider and second, and hangs up at random. It takes ?cursor=S to begin with
the unix second S, up to --history back. The same seed gives the same race at the same time of day.`,
		Example: "  leat provider race\n  leat provider race --riders 100 --hang-up 0 --no-replay",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := within(
				between("riders", race.Riders, 1, maxRiders), atLeast("races", race.Races, 1),
				atLeast("hang-up", race.HangUp, 0), atLeast("history", race.History, time.Second),
			); err != nil {
				return err
			}
			if rides != "" {
				windows, err := readRides(rides)
				if err != nil {
					return usage(err)
				}
				race.Rides, race.Riders = windows, len(windows)
			}
			return a.serve(cmd.Context(), "ws://"+listen, &race)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:9110", "address to listen on")
	f.IntVar(&race.Riders, "riders", 1000, "number of riders, at most 1000")
	f.IntVar(&race.Races, "races", 8, "number of races at the same time")
	f.Uint64Var(&race.Seed, "seed", 1, "what the race is computed from")
	f.DurationVar(&race.HangUp, "hang-up", provider.DefaultHangUp, "mean time until a connection is cut; 0: never")
	f.DurationVar(&race.History, "history", 15*time.Minute, "how far back a cursor may reach")
	f.BoolVar(&race.NoReplay, "no-replay", false, "ignore cursors: live only")
	f.StringVar(&rides, "rides", "", "folder of FIT files whose rides are raced")
	return cmd
}

// readRides reads the recorded rides of a folder, in windows of 300 s whose records are at most 10 s apart.
func readRides(dir string) ([]provider.Ride, error) {
	windows, err := provider.ReadRides(dir, 10*time.Second)
	if err == nil && len(windows) == 0 {
		err = fmt.Errorf("there is no ride with power and cadence in %s", filepath.Clean(dir))
	}
	return windows, err
}

// serve serves a provider until ctx ends. The address has the scheme that clients use.
func (a *app) serve(ctx context.Context, address string, h http.Handler) error {
	scheme, address, _ := strings.Cut(address, "://")
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return environment(err, "choose another address with --listen")
	}
	fmt.Fprintf(a.out, "Provider:  %s://%s/\n", scheme, l.Addr())
	return provider.Serve(ctx, l, h)
}

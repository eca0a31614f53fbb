package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/provider"
)

func (a *app) providerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "provider", Short: "Serve a WebSocket provider to try things with", Args: verbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.replayCommand(), a.raceCommand())
	return cmd
}

func (a *app) replayCommand() *cobra.Command {
	var listen string
	r := provider.Replay{}
	cmd := &cobra.Command{
		Use: "replay FILE...", Short: "Play recorded sessions", Args: cobra.MinimumNArgs(1),
		Long: `Replay plays recorded WebSocket sessions to whoever connects, at the speed of the recording. It is a live feed: who comes late,
or again, misses what has passed meanwhile, unless --hold is given. Of several files each has a path of its own, /0, /1 and so on, beside
the path that was recorded; connections to a path that several share are spread over them.`,
		Example: "  leat provider replay session.ws.zst\n  leat provider replay a.ws.zst b.ws.zst --speed 10 --cut-every 100",
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := replayable(&r); err != nil {
				return err
			}
			replays := make([]*provider.Replay, len(files))
			for i, name := range files {
				session, err := provider.ReadSessionFile(name)
				if err != nil {
					return usage(err)
				}
				replays[i] = &provider.Replay{
					Session: session, Speed: r.Speed, Hold: r.Hold, DropEvery: r.DropEvery, CutEvery: r.CutEvery,
					StallAfter: r.StallAfter, StallAfterTime: r.StallAfterTime, CloseAfter: r.CloseAfter,
					CloseCode: r.CloseCode, CloseReason: r.CloseReason, CloseAtEnd: r.CloseAtEnd,
				}
			}
			return a.serve(cmd.Context(), listen, &provider.Endpoints{Replays: replays})
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:9110", "address to listen on")
	f.Float64Var(&r.Speed, "speed", 1, "how many times faster than recorded; 0: as fast as the client takes it")
	f.BoolVar(&r.Hold, "hold", false, "stand still while nobody is connected, so that nobody misses anything")
	f.IntVar(&r.DropEvery, "drop-every", 0, "leave out every n-th message")
	f.IntVar(&r.CutEvery, "cut-every", 0, "break the connection off after every n messages")
	f.IntVar(&r.StallAfter, "stall-after", 0, "fall silent after n messages, with the connection open")
	f.DurationVar(&r.StallAfterTime, "stall-after-time", 0, "fall silent after this time, with the connection open")
	f.IntVar(&r.CloseAfter, "close-after", 0, "close each connection after n messages")
	f.IntVar(&r.CloseCode, "close-code", 1000, "the code to close with")
	f.StringVar(&r.CloseReason, "close-reason", "", "the reason to close with")
	f.BoolVar(&r.CloseAtEnd, "close-at-end", false, "close at the end of the recording, instead of staying silent")
	return cmd
}

// maxRiders is how many riders a race has at most.
const maxRiders = 1000

// replayable judges the flags of leat provider replay.
func replayable(r *provider.Replay) error {
	err := within(
		atLeast("speed", r.Speed, 0), atLeast("drop-every", r.DropEvery, 0), atLeast("cut-every", r.CutEvery, 0),
		atLeast("stall-after", r.StallAfter, 0), atLeast("stall-after-time", r.StallAfterTime, 0), atLeast("close-after", r.CloseAfter, 0),
	)
	code := r.CloseCode
	switch {
	case err != nil:
		return err
	case (code < 1000 || code > 1003) && (code < 1007 || code > 1014) && (code < 3000 || code > 4999):
		return usage(fmt.Errorf("--close-code %d: expected 1000 to 1003, 1007 to 1014, or 3000 to 4999", code))
	case len(r.CloseReason) > maxReason:
		return usage(fmt.Errorf("--close-reason: expected at most %d bytes, got %d", maxReason, len(r.CloseReason)))
	}
	return nil
}

// maxReason is what a close frame has room for.
const maxReason = 123

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
			return a.serve(cmd.Context(), listen, &race)
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

// serve serves a provider until ctx ends.
func (a *app) serve(ctx context.Context, address string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return environment(err, "choose another address with --listen")
	}
	fmt.Fprintf(a.out, "Provider:  ws://%s/\n", l.Addr())
	return provider.Serve(ctx, l, h)
}

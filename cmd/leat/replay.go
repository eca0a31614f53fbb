package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/provider"
)

// replay are the flags of leat provider replay.
type replay struct {
	provider.Replay
	rules  provider.Rules
	listen string
	cursor string
}

func (a *app) replayCommand() *cobra.Command {
	r := replay{}
	cmd := &cobra.Command{
		Use: "replay FILE...", Short: "Play recorded sessions", Args: cobra.MinimumNArgs(1),
		Long: `Replay plays recorded sessions to whoever connects, at the speed of the recording: what leat record has written, or other
recordings (docs/sessions.md lists them). Where the client said something in the recording, such as a subscription, its message is waited for; where a
connection ended it ends in the same way, and the next connection goes on.

It is a live feed: who comes late, or again, misses what has passed meanwhile, unless --hold is given or there is no --speed. Connections that were open at the same
time, and several files, have a path each, /0, /1 and so on, beside the path that was recorded; connections to a path that several share are spread over them.

The other flags are what providers demand, and what they do to their clients.`,
		Example: `  leat provider replay session.jsonl.zst
  leat provider replay session.jsonl.zst --strict --lifetime 15m --max-connections 2
  leat provider replay session.jsonl.zst --as sse --cursor seq --retention 5m
  leat provider replay a.ws.zst b.ws.zst --speed 10 --cut-every 100`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := r.check(); err != nil {
				return err
			}
			replays, err := r.open(files)
			if err != nil {
				return usage(err)
			}
			scheme := "http://"
			if r.rules.As == "websocket" {
				scheme = "ws://"
			}
			return a.serve(cmd.Context(), scheme+r.listen, &provider.Endpoints{Replays: replays})
		},
	}
	r.flags(cmd.Flags())
	r.ruleFlags(cmd.Flags())
	return cmd
}

func (r *replay) flags(f *pflag.FlagSet) {
	f.StringVar(&r.listen, "listen", "127.0.0.1:9110", "address to listen on")
	f.StringVar(&r.rules.As, "as", "websocket", "how to send: websocket, sse or ndjson")
	f.Float64Var(&r.Speed, "speed", 1, "how many times faster than recorded; 0: as fast as the client takes it")
	f.BoolVar(&r.Hold, "hold", false, "stand still while nobody is connected, so that nobody misses anything")
	f.IntVar(&r.DropEvery, "drop-every", 0, "leave out every n-th message")
	f.IntVar(&r.DropEvery, "skip-every", 0, "the same as --drop-every")
	f.IntVar(&r.CutEvery, "cut-every", 0, "break the connection off after every n messages")
	f.IntVar(&r.StallAfter, "stall-after", 0, "fall silent after n messages, with the connection open")
	f.DurationVar(&r.StallAfterTime, "stall-after-time", 0, "fall silent after this time, with the connection open")
	f.IntVar(&r.CloseAfter, "close-after", 0, "close each connection after n messages")
	f.IntVar(&r.CloseCode, "close-code", 1000, "the code to close with")
	f.StringVar(&r.CloseReason, "close-reason", "", "the reason to close with")
	f.BoolVar(&r.CloseAtEnd, "close-at-end", false, "close at the end of the recording, instead of staying silent")
}

func (r *replay) ruleFlags(f *pflag.FlagSet) {
	u := &r.rules
	f.DurationVar(&u.Expect, "expect", 5*time.Second, "how long to wait for what the client said in the recording; 0: do not wait")
	f.BoolVar(&u.Strict, "strict", false, "close with 1008 a client that does not say in time what it said in the recording")
	f.DurationVar(&u.Lifetime, "lifetime", 0, "close each connection at this age; 0: never")
	f.StringVar(&r.cursor, "cursor", "", "where in a message its position is, so that clients may resume: a member path or an expression; ids of events are known")
	f.StringVar(&u.CursorParameter, "cursor-parameter", "cursor", "the query parameter in which a client names a position")
	f.DurationVar(&u.Retention, "retention", 0, "refuse a cursor that is older with status 400; 0: none is")
	f.BoolVar(&u.Clamp, "clamp", false, "begin silently with the oldest message instead of refusing a cursor")
	f.IntVar(&u.MaxConnections, "max-connections", 0, "refuse further connections with status 429; 0: any number")
	f.DurationVar(&u.RetryAfter, "retry-after", 10*time.Second, "when a client that is refused with 429 is told to come again")
	f.IntVar(&u.Garbage, "garbage", 0, "send something that is no JSON behind every n messages")
	f.DurationVar(&u.SlowDrip, "slow-drip", 0, "send messages in pieces of 16 bytes, with this pause between them")
	f.IntVar(&u.Bomb, "bomb", 0, "send a compressed message that inflates to 1 GB behind n messages, once on each connection")
}

// open reads the recordings.
func (r *replay) open(files []string) (replays []*provider.Replay, err error) {
	for _, name := range files {
		sessions, err := provider.ReadRecording(name)
		if err != nil {
			return nil, err
		}
		for _, session := range sessions {
			replays = append(replays, &provider.Replay{
				Session: session, Speed: r.Speed, Hold: r.Hold, DropEvery: r.DropEvery, CutEvery: r.CutEvery,
				StallAfter: r.StallAfter, StallAfterTime: r.StallAfterTime, CloseAfter: r.CloseAfter,
				CloseCode: r.CloseCode, CloseReason: r.CloseReason, CloseAtEnd: r.CloseAtEnd, Rules: &r.rules,
			})
		}
	}
	return replays, nil
}

// maxReason is what a close frame has room for.
const maxReason = 123

// check judges the flags.
func (r *replay) check() error {
	u := &r.rules
	err := within(
		atLeast("speed", r.Speed, 0), atLeast("drop-every", r.DropEvery, 0), atLeast("cut-every", r.CutEvery, 0),
		atLeast("stall-after", r.StallAfter, 0), atLeast("stall-after-time", r.StallAfterTime, 0), atLeast("close-after", r.CloseAfter, 0),
		atLeast("expect", u.Expect, 0), atLeast("lifetime", u.Lifetime, 0), atLeast("retention", u.Retention, 0),
		atLeast("max-connections", u.MaxConnections, 0), atLeast("retry-after", u.RetryAfter, 0), atLeast("garbage", u.Garbage, 0),
		atLeast("slow-drip", u.SlowDrip, 0), atLeast("bomb", u.Bomb, 0),
	)
	code := r.CloseCode
	switch {
	case err != nil:
		return err
	case u.As != "websocket" && u.As != "sse" && u.As != "ndjson":
		return usage(fmt.Errorf("--as %q: expected websocket, sse or ndjson", u.As))
	case (code < 1000 || code > 1003) && (code < 1007 || code > 1014) && (code < 3000 || code > 4999):
		return usage(fmt.Errorf("--close-code %d: expected 1000 to 1003, 1007 to 1014, or 3000 to 4999", code))
	case len(r.CloseReason) > maxReason:
		return usage(fmt.Errorf("--close-reason: expected at most %d bytes, got %d", maxReason, len(r.CloseReason)))
	case u.Strict && u.Expect == 0:
		return usage(fmt.Errorf("--strict: it needs --expect, which is 0"))
	case r.cursor == "":
		return nil
	}
	if u.Cursor, err = expression.Parse(r.cursor); err != nil {
		return usage(fmt.Errorf("--cursor: %w", err))
	}
	return nil
}

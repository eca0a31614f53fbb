package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/pipeline"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/session"
)

// recording are the flags of leat record.
type recording struct {
	output string
	only   []string
	length time.Duration
	count  int64
	keep   []string
}

func (a *app) recordCommand() *cobra.Command {
	r := recording{}
	cmd := &cobra.Command{
		Use: "record FILE...", Short: "Record what the providers of a configuration send", Args: cobra.MinimumNArgs(1),
		Long: `Record connects the sources of a configuration as leat run does and writes what goes over the connections into a file, which
leat provider replay plays. No data directory is opened and nothing is stored elsewhere. It ends on SIGINT or SIGTERM, after --for, or after --count messages,
with a complete file. If it is killed, the file is readable up to the last second.

Secrets do not reach the file. The value of every ${…}, of every header field and of every other secret setting is replaced by (secret)
wherever it occurs, whether as it is, escaped, or in base64; so are parameters and JSON members with a telling name, such as token or key.
--keep NAME says that the value of a variable, parameter or member of that name is no secret.`,
		Example: "  leat record leat.yaml\n  leat record leat.yaml -o trades.jsonl.zst --source trades --for 5m --keep SYMBOL",
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := within(atLeast("for", r.length, 0), atLeast("count", r.count, 0)); err != nil {
				return err
			}
			c, err := a.valid(files)
			if err != nil {
				return err
			}
			return a.record(cmd.Context(), c, &r)
		},
	}
	a.jsonFlag(cmd)
	f := cmd.Flags()
	f.StringVarP(&r.output, "output", "o", "session.jsonl.zst", "the file to write, which must not exist; compressed if its name ends in .zst")
	f.StringSliceVar(&r.only, "source", nil, "record only this source")
	f.DurationVar(&r.length, "for", 0, "end after this time; 0: never")
	f.Int64Var(&r.count, "count", 0, "end after so many messages of the providers; 0: never")
	f.StringSliceVar(&r.keep, "keep", nil, "the value of this variable, parameter or member is no secret")
	return cmd
}

func (a *app) record(ctx context.Context, c *config.Config, r *recording) (err error) {
	chosen, err := choose(c.Sources, r.only)
	if err != nil {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(r.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return usage(fmt.Errorf("%s is there already; name another file with -o", r.output))
	case err != nil:
		return environment(err, "")
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out, err := session.NewWriter(file, strings.HasSuffix(r.output, ".zst"))
	if err != nil {
		return err
	}
	recorder := session.NewRecorder(out, a.hider(c, r.keep), r.count)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if r.length > 0 {
		ctx, stop = context.WithTimeout(ctx, r.length)
		defer stop()
	}
	done := make(chan error, 1)
	go func() {
		done <- pipeline.Record(ctx, chosen, func(s *config.Source) source.Tape { return recorder.Source(s.Name, s.Type) }, log)
	}()
	err = a.watch(recorder, stop, done)
	if err = errors.Join(err, recorder.Close()); err != nil {
		return environment(err, "")
	}
	if recorder.Count().Connections == 0 {
		if err := os.Remove(r.output); err != nil { // it would be in the way of the next attempt
			return environment(err, "")
		}
	}
	return a.recorded(recorder.Count(), r)
}

// choose returns the sources with the names in only; all if there is none.
func choose(all []config.Source, only []string) ([]config.Source, error) {
	if len(all) == 0 {
		return nil, usage(errors.New("the configuration has no sources"))
	}
	if len(only) == 0 {
		return all, nil
	}
	var names []string
	for i := range all {
		names = append(names, all[i].Name)
	}
	var chosen []config.Source
	for _, name := range only {
		i := slices.Index(names, name)
		if i < 0 {
			hint := "there are " + strings.Join(names, ", ")
			if near, ok := setting.Nearest(name, names); ok {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return nil, &exitError{code: exitUsage, err: fmt.Errorf("--source: there is no source %q", name), hint: hint}
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// hider returns what hides the secrets of a configuration, and warns of those that are too short to be looked for.
func (a *app) hider(c *config.Config, keep []string) *session.Hider {
	var values []string
	short := map[string]bool{}
	for _, s := range c.Secrets() {
		value := s.Value.Reveal()
		if slices.Contains(keep, s.Name) && s.Name != "" {
			continue
		}
		if len(value) < session.MinSecret && !short[s.Name] {
			short[s.Name] = true
			fmt.Fprintf(a.err, "leat: the value of %s has fewer than %d characters: where it occurs it is not replaced\n", s.Name, session.MinSecret)
		}
		values = append(values, value)
	}
	return session.NewHider(values, keep)
}

// watch tells what is seen, once a second, until the recording is over.
func (a *app) watch(r *session.Recorder, stop func(), done <-chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began, full := time.Now(), r.Done()
	for {
		select {
		case err := <-done:
			if a.terminal {
				fmt.Fprint(a.out, "\r\x1b[K")
			}
			return err
		case <-full:
			full = nil
			stop()
		case <-tick.C:
			if r.Flush() != nil {
				stop() // Close tells why
			}
			if a.terminal {
				fmt.Fprintf(a.out, "\r\x1b[K%s  %s", time.Since(began).Round(time.Second), progress(r.Count()))
			}
		}
	}
}

// progress says what a recorder has seen.
func progress(c session.Count) string {
	text := fmt.Sprintf("connections: %d (%d open)  in: %d (%s)  out: %d", c.Connections, c.Open, c.In, setting.Size(c.Bytes), c.Out)
	switch {
	case !c.Last.IsZero():
		text += fmt.Sprintf("  last: %s ago", time.Since(c.Last).Round(100*time.Millisecond))
	case c.Ended != "":
		text += "  ended: " + c.Ended
	}
	return text
}

// recorded prints what has been recorded.
func (a *app) recorded(c session.Count, r *recording) error {
	text := fmt.Sprintf("Recorded %d messages in and %d out over %d connections into %s", c.In, c.Out, c.Connections, r.output)
	if a.json {
		return a.print(envelope{Command: "record", OK: true, Summary: text, Result: map[string]any{"file": r.output, "count": c}})
	}
	fmt.Fprintln(a.out, text)
	if c.Connections == 0 {
		fmt.Fprintln(a.out, "No connection came about: the log above says why. The file is removed.")
		return nil
	}
	if c.In == 0 {
		fmt.Fprintln(a.out, "No message came: the log above says why, if a connection was refused.")
		return nil
	}
	fmt.Fprintf(a.out, "Try:       %s provider replay %s\n", self(), shellQuote(r.output))
	return nil
}

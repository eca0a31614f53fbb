package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

func (a *app) gapsCommand() *cobra.Command {
	g := &gaps{app: a}
	var try trial
	cmd := &cobra.Command{
		Use: "gaps SOURCE", Short: "Say for which time a source is complete, and what is missing", Args: cobra.MinimumNArgs(1),
		Long: `Gaps says what is known of the time since --since: for which stretches nothing covered what the provider sent, and which events are known to be
missing, with their numbers where the source has a gap_rule. What came after all is not missing. It is made of the records in the stream
SOURCE.gaps and of what is stored of the source, beside a running leat or without one. Events that may still be late, as reorder of the rule says, are waited
for: a leat that is stopped waits until it runs again, and the statement ends before the first of them. It exits with 0 if the time is complete, and with 1 if not.

With --try it tries the gap_rule of a source in a configuration over recordings, which are its arguments then: what leat record has written, other
recorded sessions, lines with a message each, or what leat get prints with --json. Messages are decoded, classified and split as the source says;
what leat get prints is so already. Several recordings are connections that were open at the same time. It says what the rule would
have told, and what a rule that knows nothing of duplicates and late events would have told wrongly. It exits with 0 if the rule judges events and tells no gap,
and with 1 otherwise.`,
		Example: `  leat gaps trades --data /var/lib/leat
  leat gaps trades --since 1h
  leat gaps trades --since 2026-11-25T00:00:00Z --json
  leat gaps --try leat.yaml session.ws.zst
  leat gaps --try leat.yaml --source trades first.ws.zst second.ws.zst`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if try.config != "" {
				try.app = a
				return try.run(args)
			}
			if len(args) > 1 {
				return usage(fmt.Errorf("leat gaps takes one source, got %q as well", args[1]))
			}
			if try.source != "" {
				return usage(errors.New("--source: only with --try; the source is the argument"))
			}
			return g.run(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	dataDirFlag(cmd, &g.dir)
	a.jsonFlag(cmd)
	f.StringVar(&g.since, "since", "", "from when on: how long ago (1h, 7d) or a time (RFC 3339); default: all that is known")
	f.StringVar(&try.config, "try", "", "try the gap_rule of this configuration over recordings")
	f.StringVar(&try.source, "source", "", "with --try: which source has the rule, if several have one")
	return cmd
}

// gaps is one call of leat gaps without --try.
type gaps struct {
	*app
	dir, since string
}

// errIncomplete is the end of a verb that has told what is missing.
func errIncomplete() error { return &exitError{code: exitFailed, err: errors.New("")} }

func (g *gaps) run(ctx context.Context, name string) error {
	now := time.Now()
	since, err := g.begin(now)
	if err != nil {
		return err
	}
	e, err := openData(ctx, g.dir, local.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer e.close()
	c, err := g.judge(ctx, e, name, since)
	if err != nil {
		return err
	}
	if g.json {
		err = g.print(envelope{Command: "gaps", OK: c.Complete(), Summary: summary(&c), Result: c})
	} else {
		err = g.say(&c, now)
	}
	if err == nil && !c.Complete() {
		return errIncomplete()
	}
	return err
}

func (g *gaps) begin(now time.Time) (time.Time, error) {
	if g.since == "" {
		return time.Time{}, nil
	}
	if d, err := setting.ParseDuration(g.since); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, g.since); err == nil {
		return at, nil
	}
	return time.Time{}, usage(fmt.Errorf("--since %q: expected a duration such as 1h or a time such as 2026-11-25T12:00:00Z", g.since))
}

// judge reads what there is about a source.
func (g *gaps) judge(ctx context.Context, e engine, name string, since time.Time) (c source.Completeness, err error) {
	info, err := g.stream(ctx, e, name+".gaps")
	if err != nil {
		return c, err
	}
	stored, err := e.Load(ctx, source.MarkKey(name))
	if err != nil {
		return c, err
	}
	mark, err := source.DecodeMark(stored.Value)
	if err != nil {
		return c, err
	}
	if mark.Covered.IsZero() {
		return c, environment(fmt.Errorf("source %q has never been connected: nothing is known of any time", name), "")
	}
	from := info.Created
	if oldest := mark.Covered.Add(-info.Keep.Age); info.Keep.Age > 0 && oldest.After(from) {
		from = oldest // what was written before is forgotten
	}
	if since.After(from) {
		from = since
	}
	records, err := gapRecords(ctx, e, info, from)
	for i := range records {
		if at := records[i].From; since.IsZero() && at.Before(from) {
			from = at // it is known of an earlier time
		}
	}
	if err == nil && from.After(mark.Covered) {
		return c, fmt.Errorf("nothing is known since %s: source %q is complete or reported up to %s only", stamp(from), name, stamp(mark.Covered))
	}
	if err != nil {
		return c, err
	}
	state, err := e.State(ctx, source.StateKey(name))
	if err != nil {
		return c, err
	}
	c = source.Judge(name, records, from, mark.Covered)
	return c, c.Await(state)
}

func (g *gaps) stream(ctx context.Context, e engine, name string) (stream.Info, error) {
	infos, err := e.Streams(ctx)
	if err != nil {
		return stream.Info{}, err
	}
	for _, info := range infos {
		if info.Name == name {
			return info, nil
		}
	}
	var sources []string
	for _, info := range infos {
		if of, ok := strings.CutSuffix(info.Name, ".gaps"); ok {
			sources = append(sources, of)
		}
	}
	hint := "there is no source at all"
	if len(sources) > 0 {
		hint = "there are: " + strings.Join(sources, ", ")
	}
	return stream.Info{}, &exitError{code: exitUsage, err: fmt.Errorf("there is no source %q", strings.TrimSuffix(name, ".gaps")), hint: hint}
}

// gapRecords returns the gap records that arrived since a time; what ended since then arrived since then.
func gapRecords(ctx context.Context, e engine, info stream.Info, since time.Time) (all []source.Gap, err error) {
	for i := range info.Shards {
		r, err := e.Read(ctx, info.Name, info.Shards[i].ID, stream.AtTime(since))
		if err != nil {
			return nil, err
		}
		more, err := readGaps(ctx, r)
		_ = r.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func readGaps(ctx context.Context, r stream.Reader) (all []source.Gap, err error) {
	for {
		b, err := r.Next(ctx, stream.Limit{NoWait: true})
		var hole *stream.GapError
		switch {
		case errors.As(err, &hole):
			return nil, fmt.Errorf("the stream of gaps lacks records itself: %w", err)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case len(b.Records) == 0:
			return all, nil
		}
		for i := range b.Records {
			var g source.Gap
			if err := json.Unmarshal(b.Records[i].Data, &g); err != nil {
				return nil, fmt.Errorf("gap record %s: %w", b.Records[i].Sequence, err)
			}
			all = append(all, g)
		}
	}
}

// mostLines is how many gaps are printed for people.
const mostLines = 50

// say prints the statement for people: what is complete, and what lies between.
func (g *gaps) say(c *source.Completeness, now time.Time) error {
	var out strings.Builder
	at := c.From
	shown := 0
	for i := range c.Unknown {
		u := &c.Unknown[i]
		if shown++; shown > mostLines {
			continue
		}
		if u.From.After(at) {
			fmt.Fprintf(&out, "complete from %s to %s\n", stamp(at), stamp(u.From))
		}
		fmt.Fprintf(&out, "unknown for   %s, %s to %s (%s: %s)\n", short(u.To.Sub(u.From)), stamp(u.From), stamp(u.To), u.How, printable(u.Reason, 300))
		at = u.To
	}
	more := max(0, len(c.Unknown)-mostLines)
	if more > 0 {
		fmt.Fprintf(&out, "and %d more stretches; --json has all\n", more)
		at = c.Unknown[len(c.Unknown)-1].To
	}
	fmt.Fprintf(&out, "complete from %s to %s, which is %s ago\n", stamp(at), stamp(c.To), short(now.Sub(c.To)))
	if n := len(c.Waiting); n > 0 {
		fmt.Fprintf(&out, "waiting for   %s at %d places since %s, which may still come: what is behind is not judged yet\n", events(c.WaitingEvents), n, stamp(c.Waiting[0].From))
	}
	for i := range c.Missing {
		if i == mostLines {
			fmt.Fprintf(&out, "and %d more places; --json has all\n", len(c.Missing)-i)
			break
		}
		fmt.Fprintln(&out, missingLine(&c.Missing[i]))
	}
	fmt.Fprintf(&out, "%s: %s\n", c.Source, summary(c))
	_, err := io.WriteString(g.out, out.String())
	return err
}

// missingLine is one place where events are missing.
func missingLine(m *source.Gap) string {
	what := "missing       "
	switch {
	case m.First != "" && m.First != m.Last:
		what += fmt.Sprintf("ids %s to %s", printable(m.First, 80), printable(m.Last, 80))
	case m.Last != "":
		what += "id " + printable(m.Last, 80)
	default:
		what += "a message"
	}
	if m.Key != "" {
		what += " of " + printable(m.Key, 80)
	}
	what += fmt.Sprintf(" (%s), ", events(m.Lost))
	if m.To.After(m.From) {
		what += fmt.Sprintf("%s to %s", stamp(m.From), stamp(m.To))
	} else {
		what += stamp(m.From)
	}
	return what + fmt.Sprintf(" (%s: %s)", m.How, printable(m.Reason, 300))
}

func summary(c *source.Completeness) string {
	if c.Complete() {
		text := "complete"
		if c.Repaired > 0 {
			text += fmt.Sprintf("; %s came after they had been told missing", events(c.Repaired))
		}
		if c.WaitingEvents > 0 {
			text += fmt.Sprintf("; %s may still come", events(c.WaitingEvents))
		}
		return text
	}
	var parts []string
	if len(c.Unknown) > 0 {
		parts = append(parts, "unknown for "+short(c.UnknownTime))
	}
	if len(c.Missing) > 0 {
		parts = append(parts, events(c.MissingEvents)+" missing")
	}
	if c.Repaired > 0 {
		parts = append(parts, fmt.Sprintf("%s came late", events(c.Repaired)))
	}
	if c.WaitingEvents > 0 {
		parts = append(parts, fmt.Sprintf("%s may still come", events(c.WaitingEvents)))
	}
	return "not complete: " + strings.Join(parts, ", ")
}

func events(n int64) string {
	if n == 1 {
		return "1 event"
	}
	return humanize.Comma(n) + " events"
}

func stamp(t time.Time) string { return t.UTC().Format(timeFormat) }

// short is a duration without digits that mean nothing.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

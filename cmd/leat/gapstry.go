package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
)

// trial is one call of leat gaps --try.
type trial struct {
	*app
	config, source string
}

// recorded is one message of a recording.
type recorded struct {
	connection string
	at         time.Time
	data       []byte
	stored     bool // in a stream: it is an event
}

func (t *trial) run(files []string) error {
	c, err := t.valid([]string{t.config})
	if err != nil {
		return err
	}
	s, err := t.pick(c)
	if err != nil {
		return err
	}
	var all []recorded
	for i, name := range files {
		messages, err := readRecordings(name, i+1)
		if err != nil {
			return usage(err)
		}
		all = append(all, messages...)
	}
	slices.SortStableFunc(all, func(a, b recorded) int { return a.at.Compare(b.at) })
	try := source.NewTrial(s.Settings, s.Adapter)
	for _, m := range all {
		if m.stored {
			try.ObserveEvent(m.connection, m.data, m.at)
			continue
		}
		if err := try.Observe(m.connection, m.data, m.at); err != nil {
			return environment(fmt.Errorf("source %q: %w", s.Name, err), "")
		}
	}
	r := try.Result()
	holds := len(r.Gaps) == 0 && r.Judged > 0
	if t.json {
		err = t.print(envelope{Command: "gaps", OK: holds, Summary: verdict(&r), Result: r})
	} else {
		err = t.say(s, &r)
	}
	if err == nil && !holds {
		return errIncomplete()
	}
	return err
}

// pick returns the source whose rule is tried.
func (t *trial) pick(c *config.Config) (*config.Source, error) {
	var with []string
	var found *config.Source
	for i := range c.Sources {
		s := &c.Sources[i]
		if t.source != "" && s.Name != t.source {
			continue
		}
		if s.Settings.GapRule != nil {
			with = append(with, s.Name)
			found = s
		}
	}
	switch {
	case len(with) == 1:
		return found, nil
	case len(with) > 1:
		return nil, usage(fmt.Errorf("which source? %s have a gap_rule; name one with --source", strings.Join(with, ", ")))
	case t.source != "":
		return nil, usage(fmt.Errorf("no source %q in %s has a gap_rule", t.source, t.config))
	}
	return nil, usage(fmt.Errorf("no source in %s has a gap_rule", t.config))
}

// say prints what the rule makes of the recordings for people.
func (t *trial) say(s *config.Source, r *source.TrialResult) error {
	var out strings.Builder
	rule := s.Settings.GapRule
	n := humanize.Comma
	fmt.Fprintf(&out, "%s: form %s", s.Name, rule.Form)
	if !rule.Per.IsZero() {
		fmt.Fprintf(&out, " per %s", rule.Per.String())
	}
	fmt.Fprintf(&out, "; %s over %s, %s judged in %s", events(r.Events), plural(r.Connections, "feed"), n(r.Judged), plural(r.Counts, "count"))
	if r.Known > 0 {
		fmt.Fprintf(&out, ", %s known by event_id", n(r.Known))
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(&out, ", %s left out", plural(int(r.LeftOut), "message"))
	}
	fmt.Fprintf(&out, "\nequal numbers   %s\nout of order    %s", n(r.Equal), n(r.Late))
	if r.Late > 0 {
		fmt.Fprintf(&out, ", up to %d events and %s late; reorder is %d events and %s", r.Furthest, short(r.Longest), rule.Reorder.Events, short(rule.Reorder.Time))
	}
	fmt.Fprintf(&out, "\nbegan anew      %s\ngaps            %s\n", n(r.Anew), n(int64(len(r.Gaps))))
	for i := range r.Gaps {
		if i == mostLines {
			fmt.Fprintf(&out, "and %d more; --json has all\n", len(r.Gaps)-i)
			break
		}
		fmt.Fprintln(&out, missingLine(&r.Gaps[i]))
	}
	fmt.Fprintln(&out, verdict(r))
	_, err := io.WriteString(t.out, out.String())
	return err
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return humanize.Comma(int64(n)) + " " + what
}

// verdict says whether the rule is to be trusted.
func verdict(r *source.TrialResult) string {
	missing := r.Missing - r.Repaired
	switch {
	case r.Judged == 0:
		return "the rule judges no event: nothing in the recordings has what it looks for"
	case r.Repaired > 0:
		return fmt.Sprintf("%s came after it was told missing: a larger reorder would tell less", events(r.Repaired))
	case len(r.Gaps) == 0:
		return "no gap: the rule holds for these recordings"
	case int64(len(r.Gaps))*20 > r.Judged:
		return fmt.Sprintf("%s missing at %d places, more than one for 20 events: this is hardly a count without gaps", events(missing), len(r.Gaps))
	}
	return fmt.Sprintf("%s missing at %d places: either the recordings lack them, or the rule does not hold", events(missing), len(r.Gaps))
}

// readRecordings reads what leat get --json has printed, or whatever provider.ReadRecording knows. The connections of one file are told apart.
func readRecordings(name string, n int) (all []recorded, err error) {
	if all, err = readTapped(name, fmt.Sprintf("recording %d", n)); all != nil || err != nil {
		return all, err
	}
	sessions, err := provider.ReadRecording(name)
	if err != nil {
		return nil, err
	}
	for i, session := range sessions {
		connection := fmt.Sprintf("recording %d.%d", n, i+1)
		for _, m := range session.Inbound() {
			all = append(all, recorded{connection, session.Opened.Add(m.At), m.Data, false})
		}
	}
	return all, nil
}

// readTapped reads what leat get --json has printed; it returns nothing if the first line is none of it.
func readTapped(name, connection string) (all []recorded, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var l tapLine
		err := json.Unmarshal(lines.Bytes(), &l)
		if (err != nil || l.Sequence == "" || l.Arrived == "") && all == nil {
			return nil, nil
		}
		at, err2 := time.Parse(time.RFC3339Nano, l.Arrived)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, len(all)+1, err)
		}
		data := []byte(l.Data)
		if l.Base64 != nil {
			data = l.Base64
		}
		all = append(all, recorded{connection, at, data, true})
	}
	return all, lines.Err()
}

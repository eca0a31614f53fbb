package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leatstream/leat/stream/remote"
)

// The backlog: 1.2 GB of payloads.
const backlogMessages = 4_000_000

// mostMemory is what leat may use, in MB.
const mostMemory = 300

// backlogConfig has destinations whose folder does not exist at first, so that they stall.
const backlogConfig = `
data: %[1]s/data
streams:
  s: {shards: 4, retention: 24h}
sources:
  - {name: blast, type: websocket, url: %[2]q, stream: s, event_id: id, partition_key: key}
consumers:
`

// destinations are the consumers that catch up.
var destinations = map[string]string{
	"sqlite": "  - {name: sqlite, stream: s, max_backoff: 1s, destination: {type: sqlite, path: %[1]s/there/rows.db, table: events}}\n",
	"jsonl":  "  - {name: jsonl, stream: s, max_backoff: 1s, batch: {wait: 100ms}, destination: {type: jsonl, path: %[1]s/there/files}}\n",
}

// measureMemory runs leat with destinations that stall until there is a large backlog, lets it catch up, and asks how much memory it needed.
func measureMemory(ctx context.Context, o *options, t *table) error {
	for _, names := range [][]string{{"sqlite"}, {"sqlite", "jsonl"}} {
		if err := memoryRun(ctx, o, t, names); err != nil {
			return err
		}
	}
	return nil
}

func memoryRun(ctx context.Context, o *options, t *table, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	program, ok := o.tool("leat")
	if !ok {
		return fmt.Errorf("%s is missing", program)
	}
	s, err := send(backlogMessages)
	if err != nil {
		return err
	}
	defer s.stop()
	dir, remove, err := o.scratch()
	if err != nil {
		return err
	}
	defer remove()
	settings := filepath.Join(dir, "leat.yaml")
	text := fmt.Sprintf(backlogConfig, dir, s.url)
	for _, name := range names {
		text += fmt.Sprintf(destinations[name], dir)
	}
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, program, "run", settings) //nolint:gosec // a program that .ci/bench has built
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	err = (&backlog{dir: dir, pid: cmd.Process.Pid, names: names}).measure(ctx, t)
	if err := errors.Join(err, end(cmd, 30*time.Second)); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w; leat said: %s", err, text[max(0, len(text)-2000):])
	}
	return nil
}

// backlog is a running leat.
type backlog struct {
	dir    string
	pid    int
	names  []string       // of the consumers
	client *remote.Client // nil until leat has started
	last   status         // as of the last look
}

func (b *backlog) measure(ctx context.Context, t *table) error {
	begun := time.Now()
	if err := b.until(ctx, func(s *status) bool { return s.stored() >= backlogMessages }); err != nil {
		return fmt.Errorf("build a backlog: %w", err)
	}
	stalled := b.peak()
	progress("memory: a backlog of %s messages after %.0f s, at most %.0f MB", count(backlogMessages), time.Since(begun).Seconds(), stalled)
	if err := os.Mkdir(filepath.Join(b.dir, "there"), 0o700); err != nil {
		return err
	}
	begun = time.Now()
	rates := ""
	for left := slices.Clone(b.names); len(left) > 0; {
		err := b.until(ctx, func(s *status) bool {
			return slices.ContainsFunc(left, func(name string) bool { return s.delivered(name) >= backlogMessages })
		})
		if err != nil {
			return fmt.Errorf("catch up: %w", err)
		}
		left = slices.DeleteFunc(left, func(name string) bool {
			done := b.last.delivered(name) >= backlogMessages
			if done {
				rates += fmt.Sprintf(" %s %s records/s", name, count(backlogMessages/time.Since(begun).Seconds()))
			}
			return done
		})
	}
	most := b.peak()
	progress("memory: caught up after %.0f s, at most %.0f MB", time.Since(begun).Seconds(), most)
	t.bar(bar{
		name:     "memory of leat with 1.2 GB of backlog for " + strings.Join(b.names, " and ") + ", MB",
		measured: fmt.Sprintf("%.0f MB stalled, %.0f MB in all", stalled, most), ratio: most, wanted: mostMemory, most: true,
	})
	t.note("catching up:%s", rates)
	return nil
}

// peak returns the most memory that the process has had, in MB.
func (b *backlog) peak() float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid))
	return field(string(text), "VmHWM:") * 1024 / 1e6
}

// status is the part of leat's status that is of interest here.
type status struct {
	Sources []struct {
		Stored int64 `json:"stored"`
	} `json:"sources"`
	Consumers []struct {
		Name   string `json:"name"`
		Shards []struct {
			Delivered int64 `json:"delivered"`
		} `json:"shards"`
	} `json:"consumers"`
}

func (s *status) stored() int64 { return s.Sources[0].Stored }

func (s *status) delivered(consumer string) (n int64) {
	for _, c := range s.Consumers {
		for _, shard := range c.Shards {
			if c.Name == consumer {
				n += shard.Delivered
			}
		}
	}
	return n
}

// until waits until the status is as wanted. While leat starts there is none.
func (b *backlog) until(ctx context.Context, is func(*status) bool) error {
	return until(ctx, 50*time.Millisecond, func() bool {
		if b.client == nil {
			client, err := remote.Dial(filepath.Join(b.dir, "data"))
			if err != nil {
				return false
			}
			b.client = client
		}
		text, err := b.client.Status(ctx)
		b.last = status{}
		return err == nil && json.Unmarshal(text, &b.last) == nil && len(b.last.Sources) > 0 && is(&b.last)
	})
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// kinesisServer is a running server of the Kinesis API.
type kinesisServer struct {
	url    string
	cmd    *exec.Cmd
	log    *bytes.Buffer
	opened float64 // seconds from its start to its first answer
	idle   float64 // bytes of memory after that
}

// startKinesis starts leat dev, with further flags, or kinesalite with its defaults, which keep everything in memory.
func startKinesis(ctx context.Context, program, dir string, flags ...string) (*kinesisServer, error) {
	name := filepath.Base(program)
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	args := append([]string{"dev", "--port", port, "--data", filepath.Join(dir, "data")}, flags...)
	if name == "kinesalite" {
		args = []string{"--port", port}
	}
	s := &kinesisServer{url: "http://127.0.0.1:" + port + "/", cmd: exec.CommandContext(ctx, program, args...), log: &bytes.Buffer{}} //nolint:gosec // programs that .ci/bench has built
	s.cmd.Stderr = s.log
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	k := newKinesisClient(s.url, 1)
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = until(starting, time.Millisecond, func() bool {
		_, err := k.call(ctx, "ListStreams", []byte("{}"), nil)
		return err == nil
	})
	if err != nil {
		_ = s.stop()
		return nil, fmt.Errorf("%s did not start: %s", name, s.log)
	}
	s.opened = time.Since(begun).Seconds()
	s.idle = s.memory()
	return s, nil
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// memory is what the process holds now, in bytes.
func (s *kinesisServer) memory() float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	return field(string(text), "VmRSS:") * 1024
}

func (s *kinesisServer) stop() error { return end(s.cmd, 5*time.Second) }

// How the servers are loaded.
const (
	serverSeconds = "5"
	serverPuts    = "500" // records in a PutRecords
	serverWriters = "8"   // connections
	serverSingles = "16"  // connections that put one record at a time
)

// measureServer compares leat dev with kinesalite.
func measureServer(ctx context.Context, o *options, t *table) error {
	runs := map[string]map[string][]float64{}
	names := []string{"leat"}
	if _, have := o.tool("kinesalite"); have {
		names = append(names, "kinesalite")
	}
	for round := range o.rounds {
		for _, name := range names {
			got, err := serverRun(ctx, o, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if runs[name] == nil {
				runs[name] = map[string][]float64{}
			}
			for what, value := range got {
				runs[name][what] = append(runs[name][what], value)
			}
			progress("kinesis %d/%d: %-10s puts %s, reads %s records/s, p99 of one %.1f ms", round+1, o.rounds, name, count(got["puts"]), count(got["reads"]), got["p99"]*1e3)
		}
	}
	ours, theirs := runs["leat"], runs["kinesalite"]
	for _, c := range []struct {
		what, name string
		others     float64
	}{
		{"puts", "PutRecords, 500 × 200 bytes, 8 connections, 4 shards, synced", 165_000},
		{"reads", "GetRecords, everything, one reader per shard", 400_000},
	} {
		if theirs != nil {
			t.bar(bar{
				name: c.name + " / kinesalite", measured: span(ours[c.what], "records/s"), against: span(theirs[c.what], "records/s"),
				ratio: median(ratios(ours[c.what], theirs[c.what])), wanted: 15,
			})
		}
		t.bar(bar{
			name: c.name + " / the fastest in memory", measured: span(ours[c.what], "records/s"), against: count(c.others) + " records/s",
			ratio: median(ours[c.what]) / c.others, wanted: 1,
		})
	}
	if theirs != nil {
		t.bar(bar{
			name: "p99 of one PutRecord at a time, 16 connections, ms / kinesalite", measured: millis(ours["p99"]), against: millis(theirs["p99"]),
			ratio: median(ratios(ours["p99"], theirs["p99"])), wanted: 1, most: true,
		})
		t.note("kinesalite: start %s, idle %.0f MB", millis(theirs["start"]), median(theirs["idle"])/1e6)
	} else {
		t.note("kinesalite could not be installed, so leat dev is compared with nothing.")
	}
	t.bar(bar{name: "leat dev, start to first answer, ms", measured: millis(ours["start"]), ratio: median(ours["start"]) * 1e3, wanted: 300, most: true})
	t.bar(bar{name: "leat dev, idle memory, MB", measured: fmt.Sprintf("%.0f MB", median(ours["idle"])/1e6), ratio: median(ours["idle"]) / 1e6, wanted: 60, most: true})
	t.note("leat dev: p50 and p99 of a PutRecords of 500: %s, %s; single puts %s a second; at most %.0f MB", millis(ours["p50 of 500"]), millis(ours["p99 of 500"]),
		span(ours["singles"], "requests"), median(ours["peak"])/1e6)
	return nil
}

func millis(seconds []float64) string {
	ms := make([]float64, len(seconds))
	for i := range seconds {
		ms[i] = seconds[i] * 1e3
	}
	return span(ms, "ms")
}

// serverRun measures one server once.
func serverRun(ctx context.Context, o *options, name string) (map[string]float64, error) {
	dir, remove, err := o.scratch()
	if err != nil {
		return nil, err
	}
	defer remove()
	program, _ := o.tool(name)
	s, err := startKinesis(ctx, program, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.stop() }()
	if err := newKinesisClient(s.url, 1).prepare(ctx, 4); err != nil {
		return nil, err
	}
	got := map[string]float64{"start": s.opened, "idle": s.idle}
	singles, err := runChild(ctx, "load", s.url, serverSingles, "1", "3")
	if err != nil {
		return nil, err
	}
	got["p99"], got["singles"] = singles.P99, singles.Count/singles.Seconds
	puts, err := runChild(ctx, "load", s.url, serverWriters, serverPuts, serverSeconds)
	if err != nil {
		return nil, err
	}
	got["puts"], got["p50 of 500"], got["p99 of 500"] = puts.Count/puts.Seconds, puts.P50, puts.P99
	reads, err := runChild(ctx, "drain", s.url, strconv.FormatFloat(singles.Count+puts.Count, 'f', 0, 64))
	if err != nil {
		return nil, err
	}
	got["reads"] = reads.Count / reads.Seconds
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	got["peak"] = field(strings.ReplaceAll(string(text), "\t", " "), "VmHWM:") * 1024
	return got, nil
}

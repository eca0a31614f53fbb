// Command bench compares Leat with floors and rivals in one run, and prints a table. The script .ci/bench builds what it needs and
// calls it; docs/benchmarks.md says what every line means.
//
// Whatever is measured runs in a process of its own, so that its processor time, its memory and what it writes are known, and in
// turn with what it is compared with: on a machine that others use only neighbouring runs can be compared.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	dir    string // for everything that is written, on the disk to be measured
	tools  string // where leat, the tests of the engine and, if it could be had, the rival are
	rounds int
	only   string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2:]))
	}
	var o options
	flag.StringVar(&o.dir, "dir", os.TempDir(), "folder to write to")
	flag.StringVar(&o.tools, "tools", "", "folder of leat, local.test and rival")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flag.StringVar(&o.only, "only", "", "parts to measure, of websocket, connections, engine, memory, kinesis and writer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	parts := []struct {
		name    string
		measure func(context.Context, *options, *table) error
	}{{"websocket", measureWebsocket}, {"connections", measureConnections}, {"engine", measureEngine}, {"memory", measureMemory}, {"kinesis", measureServer}, {"writer", measureWriter}}
	t := &table{}
	begun, waited := time.Now(), pressure()
	for _, part := range parts {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), part.name) {
			continue
		}
		if err := part.measure(ctx, o, t); err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	if now := pressure(); now > waited {
		t.note("for %.0f %% of the time something on this machine waited for a core", 100*(now-waited)/time.Since(begun).Seconds())
	}
	t.print(os.Stdout)
	return nil
}

// pressure is for how many seconds something has waited for a core since the machine was started; 0 where the kernel does not say.
func pressure() float64 {
	text, _ := os.ReadFile("/proc/pressure/cpu")
	some, _, _ := strings.Cut(string(text), "\n")
	_, total, _ := strings.Cut(some, "total=")
	micros, _ := strconv.ParseFloat(total, 64)
	return micros / 1e6
}

// tool returns the path of a program, and whether it is there.
func (o *options) tool(name string) (string, bool) {
	path := filepath.Join(o.tools, name)
	_, err := os.Stat(path)
	return path, err == nil
}

// scratch makes an empty folder, and returns what removes it.
func (o *options) scratch() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(o.dir, "run-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// progress tells whoever waits what is done.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

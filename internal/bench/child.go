package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// report is what a child prints when it is done.
type report struct {
	Seconds float64 `json:"seconds"` // from the open connection to the last message
	Allocs  float64 `json:"allocs"`  // in that time
	Commits float64 `json:"commits"`
	Written float64 `json:"written"` // bytes that the process has caused to be written to disks in its life
	Count   float64 `json:"count"`   // of what was done
	P50     float64 `json:"p50"`     // seconds of one request
	P99     float64 `json:"p99"`
	Peak    float64 `json:"peak"` // bytes of memory: a process that is no child has it from getrusage

	cpu float64 // seconds of its life, by getrusage
}

// runChild runs this program again, and returns what it reports.
func runChild(ctx context.Context, args ...string) (report, error) {
	self, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"child"}, args...)...) //nolint:gosec // this program
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return report{}, fmt.Errorf("child %s: %w", args[0], err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return report{}, fmt.Errorf("child %s printed %q: %w", args[0], out.String(), err)
	}
	r.cpu, _ = used(cmd.ProcessState) // its memory would begin with ours
	return r, nil
}

// used returns what a process has used that has ended.
func used(p *os.ProcessState) (cpu, peak float64) {
	cpu = (p.UserTime() + p.SystemTime()).Seconds()
	if usage, ok := p.SysUsage().(*syscall.Rusage); ok {
		peak = float64(usage.Maxrss) * 1024
	}
	return cpu, peak
}

// child does one measurement in this process.
func child(args []string) int {
	work, ok := map[string]func(context.Context, []string) (report, error){"nowhere": nowhere, "durable": durable, "load": load, "drain": drain, "forward": forward, "kinesis": kinesisChild}[args[0]]
	if !ok {
		fmt.Fprintf(os.Stderr, "bench: there is no child %q\n", args[0])
		return 2
	}
	stop := profile(args[0] + "-" + filepath.Base(args[len(args)-1]))
	r, err := work(context.Background(), args[1:])
	stop()
	if err == nil {
		r.Written, r.Peak = written(), peak()
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// profile writes where the processor time goes into the folder LEAT_BENCH_PROFILE, if that is set, until what it returns is called.
func profile(name string) (stop func()) {
	dir := os.Getenv("LEAT_BENCH_PROFILE")
	if dir == "" {
		return func() {}
	}
	f, err := os.Create(filepath.Join(dir, name+".pprof")) //nolint:gosec // where the caller says
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}
}

// written is what this process has caused to be written to disks, as the kernel counts it.
func written() float64 {
	text, _ := os.ReadFile("/proc/self/io")
	return field(string(text), "write_bytes:")
}

// peak is the most memory that this process has had, in bytes.
func peak() float64 {
	text, _ := os.ReadFile("/proc/self/status")
	return field(string(text), "VmHWM:") * 1024
}

// field returns the number behind name in a file of /proc; 0 if it is not there.
func field(text, name string) (n float64) {
	_, after, _ := strings.Cut("\n"+text, "\n"+name)
	_, _ = fmt.Sscan(after, &n)
	return n
}

// stopwatch measures time and allocations from its start.
type stopwatch struct {
	begun  time.Time
	allocs uint64
}

func (s *stopwatch) start() {
	s.allocs = allocs()
	s.begun = time.Now()
}

func (s *stopwatch) stop() report {
	return report{Seconds: time.Since(s.begun).Seconds(), Allocs: float64(allocs() - s.allocs)}
}

func allocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// end asks a process to end, and makes it after a while.
func end(cmd *exec.Cmd, grace time.Duration) error {
	_ = cmd.Process.Signal(os.Interrupt)
	hard := time.AfterFunc(grace, func() { _ = cmd.Process.Kill() })
	defer hard.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

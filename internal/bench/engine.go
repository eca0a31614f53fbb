package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// The benchmarks of package stream/local that are run, and for how long.
const (
	putsOf    = "8x500"
	putCount  = "12000x"
	perPut    = 500
	readCount = "2x"
)

// measureEngine runs the benchmarks of the engine and its floors in turn.
func measureEngine(ctx context.Context, o *options, t *table) error {
	program, ok := o.tool("local.test")
	if !ok {
		return fmt.Errorf("%s is missing", program)
	}
	values := map[string][]float64{} // by benchmark and unit
	for round := range o.rounds {
		for _, run := range []benchmark{
			{"^BenchmarkCommit$/^floor$/^" + putsOf + "$", putCount},
			{"^BenchmarkCommit$/^engine$/^" + putsOf + "$", putCount},
			{"^BenchmarkCommit$/^alone$/^" + putsOf + "$", putCount},
			{"^BenchmarkRead$", readCount},
		} {
			got, err := run.run(ctx, o, program)
			if err != nil {
				return err
			}
			for name, value := range got {
				values[name] = append(values[name], value)
				if strings.HasSuffix(name, " records/s") {
					progress("engine %d/%d: %s %s", round+1, o.rounds, name, count(value))
				}
			}
		}
	}
	puts := func(name, unit string) []float64 { return values["Commit/"+name+"/"+putsOf+" "+unit] }
	engine, floor, alone := puts("engine", "records/s"), puts("floor", "records/s"), puts("alone", "records/s")
	t.bar(bar{
		name: "engine, 8 writers × 500 × 200 bytes / preallocated file, group commit", measured: span(engine, "records/s"), against: span(floor, "records/s"),
		ratio: median(ratios(engine, floor)), wanted: 0.6,
	})
	read := values["Read records/s"]
	t.bar(bar{name: "engine, reading 200-byte records, millions a second", measured: span(read, "records/s"), ratio: median(read) / 1e6, wanted: 2})
	t.note("engine / file with a write and fdatasync of each writer: %.2f (%s)", median(ratios(engine, alone)), span(alone, "records/s"))
	t.note("engine commit: %.3f allocations per record, %.2f bytes written to disk per payload byte", median(puts("engine", "allocs/op"))/perPut, median(puts("engine", "written-bytes/byte")))
	t.note("engine read: %.4f allocations per record", median(values["Read allocs/record"]))
	return nil
}

// benchmark is one benchmark of a test program, and how often it is to do what it does.
type benchmark struct{ pattern, times string }

// run returns its figures by name and unit.
func (b benchmark) run(ctx context.Context, o *options, program string) (map[string]float64, error) {
	dir, remove, err := o.scratch()
	if err != nil {
		return nil, err
	}
	defer remove()
	cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", b.pattern, "-test.benchtime", b.times) //nolint:gosec // a program that .ci/bench has built
	cmd.Env = append(os.Environ(), "LEAT_BENCH_DIR="+dir)
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		maps.Copy(values, figures(line))
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s printed no figures: %s", b.pattern, text)
	}
	return values, nil
}

// figures reads a line such as "BenchmarkRead-2  3  12 ns/op  5 records/s".
func figures(line string) map[string]float64 {
	words := strings.Fields(line)
	if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
		return nil
	}
	name := strings.TrimPrefix(words[0], "Benchmark")
	if at := strings.LastIndexByte(name, '-'); at > 0 {
		name = name[:at]
	}
	values := map[string]float64{}
	for i := 2; i+1 < len(words); i += 2 {
		if v, err := strconv.ParseFloat(words[i], 64); err == nil {
			values[name+" "+words[i+1]] = v
		}
	}
	return values
}

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// table is what is printed at the end.
type table struct {
	bars  []bar
	notes []string
}

// bar is one figure that is to be reached.
type bar struct {
	name     string
	measured string // ours
	against  string // the floor or the rival; empty: the bar is a figure of its own
	ratio    float64
	wanted   float64
	most     bool // the bar is an upper bound
}

func (b *bar) verdict() string {
	if b.ratio >= b.wanted != b.most || b.ratio == b.wanted {
		return "ok"
	}
	return "short"
}

func (t *table) bar(b bar) { t.bars = append(t.bars, b) }

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) print(w io.Writer) {
	fmt.Fprintln(w)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "bar\tmeasured\tfloor or rival\tratio\twanted\t")
	for i := range t.bars {
		b := &t.bars[i]
		sign := "≥"
		if b.most {
			sign = "≤"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%.2f\t%s %g\t%s\n", b.name, b.measured, b.against, b.ratio, sign, b.wanted, b.verdict())
	}
	_ = tab.Flush()
	fmt.Fprintln(w)
	for _, n := range t.notes {
		fmt.Fprintln(w, n)
	}
}

// median returns the middle of values, which are not empty.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// ratios returns a[i]/b[i]: of neighbouring runs.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// span says of values their median, least and greatest.
func span(values []float64, unit string) string {
	return fmt.Sprintf("%s %s (%s–%s)", count(median(values)), unit, count(slices.Min(values)), count(slices.Max(values)))
}

// count prints a number with three digits that count.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0f k", n/1e3)
	}
	return fmt.Sprintf("%.3g", n)
}

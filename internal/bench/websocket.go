package main

import (
	"context"
	"fmt"
)

// How many messages a run takes.
const (
	ourMessages   = 3_000_000
	rivalMessages = 300_000
)

// measureWebsocket compares storing what a WebSocket brings with only reading it, and with a rival that writes it to a file.
func measureWebsocket(ctx context.Context, o *options, t *table) error {
	runs := map[string][]report{}
	for round := range o.rounds {
		for _, name := range []string{"nowhere", "durable", "once", "rival"} {
			r, ok, err := connectedRun(ctx, o, name, 1)
			if err != nil {
				return err
			}
			if ok {
				runs[name] = append(runs[name], r)
				progress("websocket %d/%d: %-8s %s msg/s", round+1, o.rounds, name, count(r.Seconds))
			}
		}
	}
	rate := func(name string) []float64 { return pick(runs[name], func(r report) float64 { return r.Seconds }) }
	for _, c := range []struct{ name, text string }{{"durable", "partition_key"}, {"once", "partition_key, event_id"}} {
		t.bar(bar{
			name: "WebSocket to disk, " + c.text + " / read only", measured: span(rate(c.name), "msg/s"), against: span(rate("nowhere"), "msg/s"),
			ratio: median(ratios(rate(c.name), rate("nowhere"))), wanted: 0.5,
		})
	}
	if len(runs["rival"]) > 0 {
		t.bar(bar{
			name: "WebSocket to disk, synced / Redpanda Connect to file, not synced", measured: span(rate("durable"), "msg/s"),
			against: span(rate("rival"), "msg/s"), ratio: median(ratios(rate("durable"), rate("rival"))), wanted: 6,
		})
	} else {
		t.note("Redpanda Connect could not be built, so nothing is compared with it.")
	}
	cpu := func(name string) float64 {
		return median(pick(runs[name], func(r report) float64 { return r.cpu }))
	}
	t.note("by processor time: reading only takes %.2f of what storing takes", cpu("nowhere")/cpu("durable"))
	if len(runs["rival"]) > 0 {
		t.note("by processor time: Redpanda Connect takes %.1f times what storing takes", cpu("rival")/cpu("durable"))
	}
	for _, name := range []string{"nowhere", "durable", "once", "rival"} {
		if len(runs[name]) > 0 {
			t.note("websocket %-8s %s", name+":", costs(runs[name]))
		}
	}
	return nil
}

func pick(runs []report, of func(report) float64) []float64 {
	values := make([]float64, len(runs))
	for i := range runs {
		values[i] = of(runs[i])
	}
	return values
}

func costs(runs []report) string {
	of := func(f func(report) float64) float64 { return median(pick(runs, f)) }
	text := fmt.Sprintf("%.2f CPU s per million messages, at most %.0f MB of memory",
		of(func(r report) float64 { return r.cpu }), of(func(r report) float64 { return r.Peak })/1e6)
	if allocs := of(func(r report) float64 { return r.Allocs }); allocs > 0 {
		text += fmt.Sprintf(", %.3f allocations per message", allocs)
	}
	if commits := of(func(r report) float64 { return r.Commits }); commits > 0 {
		text += fmt.Sprintf(", %.0f messages per commit", 1/commits)
	}
	if written := of(func(r report) float64 { return r.Written }); written > 0 {
		text += fmt.Sprintf(", %.2f bytes written to disk per payload byte", written)
	}
	return text
}

package main

import (
	"context"
	"fmt"
	"strconv"
)

// manyConnections is how many connections the second half of the part has.
const manyConnections = 100

// measureConnections compares one connection and many, each read to nowhere, to disk and by a rival, and measures how long messages take at
// half the rate that was reached.
func measureConnections(ctx context.Context, o *options, t *table) error {
	for _, connections := range []int{1, manyConnections} {
		if err := measureConnected(ctx, o, t, connections); err != nil {
			return err
		}
	}
	return nil
}

func measureConnected(ctx context.Context, o *options, t *table, connections int) error {
	runs := map[string][]report{}
	names := []string{"nowhere", "durable", "rival"}
	for round := range o.rounds {
		for _, name := range names {
			r, ok, err := connectedRun(ctx, o, name, connections)
			if err != nil {
				return err
			}
			if ok {
				runs[name] = append(runs[name], r)
				progress("%d connections %d/%d: %-8s %s msg/s", connections, round+1, o.rounds, name, count(r.Seconds))
			}
		}
		half := runs["durable"][round].Seconds / 2
		r, err := latencyRun(ctx, o, connections, half)
		if err != nil {
			return err
		}
		runs["latency"] = append(runs["latency"], r)
		progress("%d connections %d/%d: latency at %s msg/s: p50 %.1f ms, p99 %.1f ms", connections, round+1, o.rounds, count(half), r.P50*1e3, r.P99*1e3)
	}
	rate := func(name string) []float64 { return pick(runs[name], func(r report) float64 { return r.Seconds }) }
	title := fmt.Sprintf("%d connections to disk", connections)
	t.note("%s: %s, read only %s, ratio %.2f", title, span(rate("durable"), "msg/s"), span(rate("nowhere"), "msg/s"), median(ratios(rate("durable"), rate("nowhere"))))
	if len(runs["rival"]) > 0 {
		t.bar(bar{
			name: title + ", synced / Redpanda Connect to file, not synced", measured: span(rate("durable"), "msg/s"), against: span(rate("rival"), "msg/s"),
			ratio: median(ratios(rate("durable"), rate("rival"))), wanted: 6,
		})
	}
	p99 := pick(runs["latency"], func(r report) float64 { return r.P99 })
	t.bar(bar{name: title + ", sent to durable at half the rate, p99 in ms", measured: millis(p99), ratio: median(p99) * 1e3, wanted: 20, most: true})
	for _, name := range names {
		if len(runs[name]) > 0 {
			t.note("%d connections, %-8s %s", connections, name+":", costs(runs[name]))
		}
	}
	return nil
}

// connectedRun measures one thing once; everything but memory is per message, processor time per million, and Seconds is messages a second.
func connectedRun(ctx context.Context, o *options, name string, connections int) (r report, ok bool, err error) {
	messages := ourMessages
	if name == "rival" {
		messages = rivalMessages
	}
	each := messages / connections
	s, err := send(each)
	if err != nil {
		return r, false, err
	}
	defer s.stop()
	dir, remove, err := o.scratch()
	if err != nil {
		return r, false, err
	}
	defer remove()
	switch name {
	case "rival":
		program, have := o.tool("rival")
		if !have {
			return r, false, nil
		}
		with := toFile(program, dir, s)
		with.connections = connections
		r, err = with.run(ctx)
	case "nowhere":
		r, err = runChild(ctx, "nowhere", s.url, strconv.Itoa(each), strconv.Itoa(connections))
	default:
		r, err = runChild(ctx, "durable", s.url, strconv.Itoa(each), strconv.Itoa(connections), dir, name)
	}
	n := float64(messages)
	r.Seconds, r.cpu = n/r.Seconds, r.cpu/n*1e6
	r.Allocs, r.Commits, r.Written = r.Allocs/n, r.Commits/n, r.Written/n/messageSize
	return r, true, err
}

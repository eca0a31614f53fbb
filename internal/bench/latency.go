package main

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
)

// clocked is a Producer that notes how long it took from the sending of a message until it was durable.
type clocked struct {
	source.Producer
	took *delays
}

// Put implements source.Producer.
func (c *clocked) Put(ctx context.Context, d source.Delivery) error {
	sent := make([]int64, 0, len(d.Events))
	for i := range d.Events {
		if at := sentAt(d.Events[i].Data); at > 0 {
			sent = append(sent, at)
		}
	}
	if err := c.Producer.Put(ctx, d); err != nil {
		return err
	}
	c.took.add(sent, time.Now().UnixMicro())
	return nil
}

// sentAt returns when provider.Blast sent a message, in microseconds since 1970.
func sentAt(message []byte) int64 {
	_, rest, ok := bytes.Cut(message, []byte(`"at":"`))
	if !ok || len(rest) < 16 {
		return 0
	}
	at, _ := strconv.ParseInt(string(rest[:16]), 10, 64)
	return at
}

// delays are how long messages took, each.
type delays struct {
	mu     sync.Mutex
	micros []int64
}

func (d *delays) add(sent []int64, now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range sent {
		d.micros = append(d.micros, now-at)
	}
}

// quantile returns how many seconds a part of the messages took at most; 0 if there were none.
func (d *delays) quantile(part float64) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.micros) == 0 {
		return 0
	}
	slices.Sort(d.micros)
	return float64(d.micros[min(len(d.micros)-1, int(part*float64(len(d.micros))))]) / 1e6
}

// latencySeconds is for how long messages are sent whose delay is measured.
const latencySeconds = 5

// latencyRun measures how long a message takes from its sending until it is durable, at a rate of all connections together.
func latencyRun(ctx context.Context, o *options, connections int, rate float64) (r report, err error) {
	each := max(1, int(rate)/connections)
	s, err := serveBlast(&provider.Blast{Size: messageSize, Count: int64(each * latencySeconds), Varied: true, Rate: each})
	if err != nil {
		return r, err
	}
	defer s.stop()
	dir, remove, err := o.scratch()
	if err != nil {
		return r, err
	}
	defer remove()
	return runChild(ctx, "durable", s.url, strconv.Itoa(each*latencySeconds), strconv.Itoa(connections), dir, "latency")
}

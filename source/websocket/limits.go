package websocket

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Limits are how much a provider takes from us.
type Limits struct {
	// At most so many messages to the provider, pings and the answers to its pings included, over each connection. What is more waits. The answers to pings do not wait, but
	// what is sent behind them does. Default: without limit.
	Messages int `yaml:"messages" min:"1" max:"100000"`

	// Within any time of this length.
	Per time.Duration `yaml:"per" default:"1s" min:"10ms" max:"1h"`
}

// pacer keeps Limits. Its zero value has none.
type pacer struct {
	per time.Duration

	mu   sync.Mutex
	sent []time.Time // the last ones, as a ring
	next int
}

func (p *pacer) limit(l Limits) {
	if l.Messages > 0 {
		p.per, p.sent = l.Per, make([]time.Time, l.Messages)
	}
}

// take grants the next message and returns how long to wait before it is sent.
func (p *pacer) take(now time.Time) time.Duration {
	if len(p.sent) == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now
	if oldest := p.sent[p.next]; !oldest.IsZero() && oldest.Add(p.per).After(now) {
		at = oldest.Add(p.per)
	}
	p.sent[p.next] = at
	p.next = (p.next + 1) % len(p.sent)
	return at.Sub(now)
}

// wait waits until a message may be sent.
func (p *pacer) wait(ctx context.Context) error { return p.waitUnless(ctx, nil) }

var errOver = errors.New("the connection is over")

// waitUnless is wait, but that it fails at once when over is closed.
func (p *pacer) waitUnless(ctx context.Context, over <-chan struct{}) error {
	d := p.take(time.Now())
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-over:
		return errOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

package provider

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Ticker is an http.Handler that sends {"id":1}, {"id":2} … one each Interval, to all connections
// that are open at the time, and never again. Ids are produced whether or not
// anybody is connected, from Start on, or else from the first connection on.
type Ticker struct {
	// Interval is the time between two messages; the first is sent one Interval after the
	// start. Default 10 ms.
	Interval time.Duration

	Clients

	mu      sync.Mutex
	started time.Time
	stopped bool
	last    int64 // produced, once stopped
}

// Start begins to produce ids, if that has not begun.
func (p *Ticker) Start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started.IsZero() {
		p.started = time.Now()
	}
}

// Stop ends the production; connections stay open. It returns Produced.
func (p *Ticker) Stop() int64 {
	last := p.Produced()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped, p.last = true, last
	}
	return p.last
}

// Produced returns the highest id so far: ids 1 to Produced were to be had.
func (p *Ticker) Produced() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.started.IsZero():
		return 0
	case p.stopped:
		return p.last
	}
	return int64(time.Since(p.started) / p.interval())
}

func (p *Ticker) interval() time.Duration {
	if p.Interval <= 0 {
		return 10 * time.Millisecond
	}
	return p.Interval
}

// ServeHTTP implements http.Handler.
func (p *Ticker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Start()
	p.serve(w, r, p.play)
}

func (p *Ticker) play(ctx context.Context, c *conn) error {
	for id := p.Produced() + 1; ; id++ {
		if err := c.wait(ctx, p.due(id)); err != nil {
			return err
		}
		if p.Produced() < id { // stopped
			return c.idle(ctx)
		}
		if err := c.send(opText, numbered(id)); err != nil {
			return err
		}
	}
}

func (p *Ticker) due(id int64) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started.Add(time.Duration(id) * p.interval())
}

package examples_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	ws "github.com/coder/websocket"
)

// exchange is a provider of numbered trades over WebSocket, with the rules of one. Trade n of each symbol happens n times every after the start.
type exchange struct {
	symbols []string
	every   time.Duration
	trade   func(symbol string, n int64, at time.Time) string

	// subscribed answers the first message of a client, before trades are sent to it. Without an answer the client is turned away. Nil: nothing need be said.
	subscribed func(text string, last int64) []string
	deadline   time.Duration // for the first message

	beat      time.Duration // between two heartbeats
	heartbeat func(symbol string, last int64, at time.Time) string

	lifetime time.Duration // of a connection
	ping     time.Duration // between two pings; without a pong within three of that the connection is closed

	mu      sync.Mutex
	started time.Time
	clients []*client
	opened  int
	most    int // clients at a time
}

type client struct {
	*ws.Conn
	ctx   context.Context
	lossy bool // there is never more than one
}

// begin starts the clock.
func (x *exchange) begin() { x.started = time.Now() }

func (x *exchange) last(now time.Time) int64 { return int64(now.Sub(x.started) / x.every) }

func (x *exchange) due(n int64) time.Time { return x.started.Add(time.Duration(n) * x.every) }

func (x *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	x.mu.Lock()
	x.opened++
	c := &client{Conn: conn, ctx: r.Context()}
	x.mu.Unlock()
	if x.subscribed != nil && !x.greet(c) {
		return
	}
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	c.ctx = ctx
	x.join(c)
	defer x.part(c)
	if x.ping > 0 {
		go c.pings(x.ping)
	}
	go func() { // what the client says behind that, and its goodbye
		for {
			if _, _, err := c.Read(ctx); err != nil {
				stop()
				return
			}
		}
	}()
	x.play(c)
}

func (x *exchange) greet(c *client) bool {
	ctx, stop := context.WithTimeout(c.ctx, x.deadline)
	defer stop()
	_, text, err := c.Read(ctx)
	if err != nil {
		return false
	}
	answers := x.subscribed(string(text), x.last(time.Now()))
	for _, answer := range answers {
		if c.Write(c.ctx, ws.MessageText, []byte(answer)) != nil {
			return false
		}
	}
	return len(answers) > 0
}

func (x *exchange) join(c *client) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c.lossy = !slices.ContainsFunc(x.clients, func(o *client) bool { return o.lossy })
	x.clients = append(x.clients, c)
	x.most = max(x.most, len(x.clients))
}

func (x *exchange) part(c *client) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.clients = slices.DeleteFunc(x.clients, func(o *client) bool { return o == c })
}

// pings closes the connection if a pong does not come.
func (c *client) pings(every time.Duration) {
	for sleepUntil(c.ctx, time.Now().Add(every)) {
		ctx, stop := context.WithTimeout(c.ctx, 3*every)
		err := c.Ping(ctx)
		stop()
		if err != nil {
			_ = c.CloseNow()
			return
		}
	}
}

// play sends what is due until the connection is as old as it may become. A lossy connection leaves out one trade in seven.
func (x *exchange) play(c *client) {
	end := time.Now().Add(100 * 365 * 24 * time.Hour)
	if x.lifetime > 0 {
		end = time.Now().Add(x.lifetime)
	}
	next, beat := x.last(time.Now())+1, time.Now().Add(x.beat)
	for {
		at := x.due(next)
		isBeat := x.beat > 0 && beat.Before(at)
		if isBeat {
			at = beat
		}
		if at.After(end) {
			if sleepUntil(c.ctx, end) {
				_ = c.CloseNow()
			}
			return
		}
		if !sleepUntil(c.ctx, at) {
			return
		}
		var err error
		for _, symbol := range x.symbols {
			switch {
			case isBeat:
				err = c.Write(c.ctx, ws.MessageText, []byte(x.heartbeat(symbol, next-1, at)))
			case !c.lossy || next%7 != 0:
				err = c.Write(c.ctx, ws.MessageText, []byte(x.trade(symbol, next, at)))
			}
			if err != nil {
				return
			}
		}
		if isBeat {
			beat = beat.Add(x.beat)
		} else {
			next++
		}
	}
}

// cut ends the connection of the oldest client without a goodbye.
func (x *exchange) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.clients) > 0 {
		_ = x.clients[0].CloseNow()
	}
}

// tell says something to all clients.
func (x *exchange) tell(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.clients {
		_ = c.Write(c.ctx, ws.MessageText, []byte(text))
	}
}

// sleepUntil reports whether the time came before ctx ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package provider

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Discord is an http.Handler that speaks as the gateway of Discord does: hello, heartbeats, identify, and sessions that outlive their connections, with
// zlib-stream where it is asked for. It never drops an event of a session that is kept.
// Source of the rules: discord/discord-api-docs, gateway.mdx and opcodes-and-status-codes.mdx.
type Discord struct {
	// Interval is the time between two heartbeats. Default 41.25 s. A client that lets half as much again pass is dropped.
	Interval time.Duration

	// Keep is how long a session without a connection is kept. Default 2 minutes.
	Keep time.Duration

	// Latency is the time from the connection to the hello.
	Latency time.Duration

	// ResumeURL is where READY says that sessions go on.
	ResumeURL string

	mu         sync.Mutex
	sessions   map[string]*gatewaySession
	calls      map[*gatewayCall]bool
	made       int // sessions
	events     int
	identified int
	resumed    int
	beats      []string
	codes      []websocket.StatusCode
}

// gatewaySession is one session.
type gatewaySession struct {
	id   string
	log  []string // what was dispatched: the first one has the number 1
	call *gatewayCall
	left time.Time // when its connection ended
}

// gatewayCall is one connection.
type gatewayCall struct {
	p     *Discord
	c     *websocket.Conn
	out   chan string // bounded: a client that does not read is dropped
	beat  chan struct{}
	zip   *zlib.Writer
	frame bytes.Buffer
}

// Publish sends an event to all sessions and returns its number, which is d.id in it.
func (p *Discord) Publish() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events++
	for _, s := range p.sessions {
		p.dispatch(s, "MESSAGE_CREATE", fmt.Sprintf(`{"id":%d,"content":"hello"}`, p.events))
	}
	return p.events
}

// Say sends a text to all connections: {"op":7,"d":null} asks them to reconnect, {"op":1,"d":null} for a heartbeat.
func (p *Discord) Say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for call := range p.calls {
		call.push(text)
	}
}

// Forget forgets all sessions.
func (p *Discord) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions = nil
}

// Seen is what a Discord has seen.
type Seen struct {
	Identified, Resumed int
	Beats               []string               // what was in the heartbeats
	Codes               []websocket.StatusCode // that clients left with; -1 without
}

// Seen returns what was seen up to now.
func (p *Discord) Seen() Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Seen{p.identified, p.resumed, append([]string(nil), p.beats...), append([]websocket.StatusCode(nil), p.codes...)}
}

// dispatch sends an event of a session. The caller holds mu.
func (p *Discord) dispatch(s *gatewaySession, kind, d string) {
	s.log = append(s.log, fmt.Sprintf(`{"op":0,"s":%d,"t":%q,"d":%s}`, len(s.log)+1, kind, d))
	if s.call != nil {
		s.call.push(s.log[len(s.log)-1])
	}
}

func (c *gatewayCall) push(text string) {
	select {
	case c.out <- text:
	default:
		go func() { _ = c.c.CloseNow() }()
	}
}

// ServeHTTP implements http.Handler.
func (p *Discord) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	time.Sleep(p.Latency)
	call := &gatewayCall{p: p, c: c, out: make(chan string, 10_000), beat: make(chan struct{}, 1)}
	if r.URL.Query().Get("compress") == "zlib-stream" {
		call.zip = zlib.NewWriter(&call.frame)
	}
	p.mu.Lock()
	if p.calls == nil {
		p.calls = map[*gatewayCall]bool{}
	}
	p.calls[call] = true
	p.mu.Unlock()
	call.push(fmt.Sprintf(`{"op":10,"d":{"heartbeat_interval":%d}}`, orDefault(p.Interval, 41250*time.Millisecond).Milliseconds()))
	ctx, cancel := context.WithCancel(r.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		call.write(ctx)
	}()
	code := call.hear(ctx)
	cancel()
	<-over
	call.ended(code)
}

// write sends what is to be sent, until the client falls silent or ctx ends.
func (c *gatewayCall) write(ctx context.Context) {
	dead := orDefault(c.p.Interval, 41250*time.Millisecond) * 3 / 2
	silence := time.NewTimer(dead)
	defer silence.Stop()
	for {
		select {
		case text := <-c.out:
			kind, data := websocket.MessageText, []byte(text)
			if c.zip != nil {
				c.frame.Reset()
				_, _ = c.zip.Write(data)
				_ = c.zip.Flush()
				kind, data = websocket.MessageBinary, c.frame.Bytes()
			}
			if c.c.Write(ctx, kind, data) != nil {
				return
			}
		case <-c.beat:
			silence.Reset(dead)
		case <-silence.C:
			_ = c.c.Close(4009, "Session timed out.")
			return
		case <-ctx.Done():
			return
		}
	}
}

// hear takes what the client says until it leaves, and returns its close code.
func (c *gatewayCall) hear(ctx context.Context) websocket.StatusCode {
	for {
		_, text, err := c.c.Read(ctx)
		if err != nil {
			return websocket.CloseStatus(err)
		}
		var m struct {
			Op int             `json:"op"`
			D  json.RawMessage `json:"d"`
		}
		if json.Unmarshal(text, &m) != nil {
			_ = c.c.Close(4002, "Error while decoding payload.")
			return -1
		}
		if code := c.take(m.Op, m.D); code != 0 {
			_ = c.c.Close(code, "")
			return -1
		}
	}
}

// take does what the client wants. It returns the code to close with; 0: go on.
func (c *gatewayCall) take(op int, d json.RawMessage) websocket.StatusCode {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	var want struct {
		Token   string `json:"token"`
		Session string `json:"session_id"`
		Seq     int    `json:"seq"`
	}
	if op == 2 || op == 6 {
		if json.Unmarshal(d, &want) != nil || want.Token != "token" {
			return 4004
		}
	}
	switch op {
	case 1:
		p.beats = append(p.beats, string(d))
		select {
		case c.beat <- struct{}{}:
		default:
		}
		c.push(`{"op":11}`)
	case 2:
		p.identify(c)
	case 6:
		return p.resume(c, want.Session, want.Seq)
	default:
		return 4001
	}
	return 0
}

// identify begins a session. The caller holds mu.
func (p *Discord) identify(c *gatewayCall) {
	if p.sessions == nil {
		p.sessions = map[string]*gatewaySession{}
	}
	p.identified++
	p.made++
	s := &gatewaySession{id: fmt.Sprintf("session%d", p.made), call: c}
	p.sessions[s.id] = s
	p.dispatch(s, "READY", fmt.Sprintf(`{"session_id":%q,"resume_gateway_url":%q}`, s.id, p.ResumeURL))
}

// resume goes on with a session. The caller holds mu.
func (p *Discord) resume(c *gatewayCall, id string, seq int) websocket.StatusCode {
	s := p.sessions[id]
	switch {
	case s == nil || s.call == nil && time.Since(s.left) > orDefault(p.Keep, 2*time.Minute):
		c.push(`{"op":9,"d":false}`)
		return 0
	case seq > len(s.log):
		return 4007
	}
	p.resumed++
	s.call = nil
	for _, text := range s.log[seq:] {
		c.push(text)
	}
	s.call = c
	p.dispatch(s, "RESUMED", `{}`)
	return 0
}

// ended notes how a connection ended. With 1000 and 1001 its session ends, too.
func (c *gatewayCall) ended(code websocket.StatusCode) {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, c)
	p.codes = append(p.codes, code)
	for id, s := range p.sessions {
		if s.call != c {
			continue
		}
		if s.call, s.left = nil, time.Now(); code == websocket.StatusNormalClosure || code == websocket.StatusGoingAway {
			delete(p.sessions, id)
		}
	}
}

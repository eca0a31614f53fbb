package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Slack is an http.Handler that speaks as Socket Mode of Slack does: an address for one connection by POST to apps.connections.open, a hello that says how long the
// connection may live, envelopes that are spread over the connections, and come again until they are acknowledged, and a warning before the end.
// Source of the rules: slackapi/node-slack-sdk, packages/socket-mode.
type Slack struct {
	// Token is what apps.connections.open is asked with. Empty: anything will do.
	Token string

	// Address is how the clients get to it, such as ws://wss.slack.example. Empty: connections need no ticket.
	Address string

	// Lifetime is how long a connection may live. Default 18060 s. Warning is how long before its end it is told; default 10 s.
	Lifetime, Warning time.Duration

	// Deadline is how long an envelope waits for its acknowledgement before it comes again. Default 3 s.
	Deadline time.Duration

	mu      sync.Mutex
	queue   []*envelope
	wake    chan struct{} // closed when something is put into queue
	tickets map[string]bool
	links   map[*websocket.Conn]bool
	made    int // envelopes, and events
	asked   int
	acked   map[string]int
	sent    map[string]int
}

// envelope is an event that is not acknowledged.
type envelope struct {
	id, event string
	attempt   int
	due       time.Time // when it comes again; zero: it is not on its way
}

// Publish makes an event and returns its id.
func (p *Slack) Publish() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	e := &envelope{event: fmt.Sprintf("Ev%d", p.made)}
	p.put(e)
	return e.event
}

// Acked returns how often each event was acknowledged, and Sent how often it was sent.
func (p *Slack) Acked() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.acked)
}

// Sent returns how often each event was sent.
func (p *Slack) Sent() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.sent)
}

// Cut breaks all connections off, and returns how many there were.
func (p *Slack) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.links {
		go func() { _ = c.CloseNow() }()
	}
	return len(p.links)
}

// put puts an envelope into the queue. The caller holds mu.
func (p *Slack) put(e *envelope) {
	e.due = time.Time{}
	p.queue = append(p.queue, e)
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
}

// ServeHTTP implements http.Handler.
func (p *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/apps.connections.open") {
		p.open(w, r)
		return
	}
	p.mu.Lock()
	ticket := r.URL.Query().Get("ticket")
	welcome := p.Address == "" || p.tickets[ticket]
	delete(p.tickets, ticket)
	p.mu.Unlock()
	if !welcome {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	l := &link{p: p, c: c, waiting: map[string]*envelope{}}
	p.mu.Lock()
	if p.links == nil {
		p.links, p.acked, p.sent = map[*websocket.Conn]bool{}, map[string]int{}, map[string]int{}
	}
	p.links[c] = true
	n := len(p.links)
	p.mu.Unlock()
	defer l.left()
	l.serve(r.Context(), n)
}

// open answers apps.connections.open.
func (p *Slack) open(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method != http.MethodPost:
		_, _ = w.Write([]byte(`{"ok":false,"error":"method_deprecated"}`))
		return
	case p.Token != "" && r.Header.Get("Authorization") != "Bearer "+p.Token:
		_, _ = w.Write([]byte(`{"ok":false,"error":"invalid_auth"}`))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tickets == nil {
		p.tickets = map[string]bool{}
	}
	p.asked++
	ticket := fmt.Sprintf("ticket%d", p.asked)
	p.tickets[ticket] = true
	_, _ = fmt.Fprintf(w, `{"ok":true,"url":"%s/link/?ticket=%s"}`, p.Address, ticket)
}

// link is one connection.
type link struct {
	p       *Slack
	c       *websocket.Conn
	waiting map[string]*envelope // by the id of the envelope; guarded by mu of p
}

func (l *link) serve(ctx context.Context, n int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lives := orDefault(l.p.Lifetime, 18060*time.Second)
	warned := time.NewTimer(lives - orDefault(l.p.Warning, 10*time.Second))
	ends := time.NewTimer(lives)
	defer warned.Stop()
	defer ends.Stop()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		l.hear(ctx)
	}()
	defer func() { <-heard }()
	defer func() { _ = l.c.CloseNow() }()
	if !l.say(ctx, fmt.Sprintf(`{"type":"hello","num_connections":%d,"debug_info":{"approximate_connection_time":%d}}`, n, int(lives.Seconds()))) {
		return
	}
	for {
		text, wake := l.next()
		if text != "" {
			if !l.say(ctx, text) {
				return
			}
			continue
		}
		again := time.NewTimer(orDefault(l.p.Deadline, 3*time.Second))
		select {
		case <-wake:
		case <-again.C:
		case <-warned.C:
			l.say(ctx, `{"type":"disconnect","reason":"warning","debug_info":{}}`)
		case <-ends.C:
			l.say(ctx, `{"type":"disconnect","reason":"refresh_requested","debug_info":{}}`)
			_ = l.c.Close(websocket.StatusNormalClosure, "")
			return
		case <-heard:
			return
		}
		again.Stop()
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// next returns the next envelope; nothing if there is none, and what is closed when there may be one.
func (l *link) next() (string, <-chan struct{}) {
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for id, e := range l.waiting {
		if !now.Before(e.due) {
			delete(l.waiting, id)
			p.put(e)
		}
	}
	if len(p.queue) == 0 {
		if p.wake == nil {
			p.wake = make(chan struct{})
		}
		return "", p.wake
	}
	e := p.queue[0]
	p.queue = p.queue[1:]
	e.id, e.due = fmt.Sprintf("env-%s-%d", e.event, e.attempt), now.Add(orDefault(p.Deadline, 3*time.Second))
	l.waiting[e.id] = e
	p.sent[e.event]++
	reason := ""
	if e.attempt > 0 {
		reason = "timeout"
	}
	text := fmt.Sprintf(`{"envelope_id":%q,"payload":{"type":"event_callback","event_id":%q,"event_time":%d,"event":{"type":"message","text":"hello"}},"type":"events_api",`+
		`"accepts_response_payload":false,"retry_attempt":%d,"retry_reason":%q}`, e.id, e.event, now.Unix(), e.attempt, reason)
	e.attempt++
	return text, nil
}

func (l *link) say(ctx context.Context, text string) bool {
	return l.c.Write(ctx, websocket.MessageText, []byte(text)) == nil
}

// hear takes acknowledgements until the end.
func (l *link) hear(ctx context.Context) {
	for {
		_, text, err := l.c.Read(ctx)
		if err != nil {
			return
		}
		var ack struct {
			ID string `json:"envelope_id"`
		}
		if json.Unmarshal(text, &ack) != nil {
			continue
		}
		l.p.mu.Lock()
		if e := l.waiting[ack.ID]; e != nil {
			l.p.acked[e.event]++
			delete(l.waiting, ack.ID)
		}
		l.p.mu.Unlock()
	}
}

// left puts back what is not acknowledged.
func (l *link) left() {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	delete(l.p.links, l.c)
	for _, e := range l.waiting {
		l.p.put(e)
	}
}

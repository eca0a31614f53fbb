package provider

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// AcceptThenClose is an http.Handler that upgrades each request and then closes the TCP
// connection at once, without a close frame.
type AcceptThenClose struct {
	Clients
}

// ServeHTTP implements http.Handler.
func (p *AcceptThenClose) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, func(_ context.Context, c *conn) error { return c.raw.Close() })
}

// CloseWith is an http.Handler that upgrades each request and then says goodbye at once.
type CloseWith struct {
	// Code of the close frame. Default 1000.
	Code int

	// Reason of the close frame, of which at most 123 bytes are sent.
	Reason string

	Clients
}

// ServeHTTP implements http.Handler.
func (p *CloseWith) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, func(ctx context.Context, c *conn) error { return c.close(ctx, p.Code, p.Reason) })
}

// SilentAfter is an http.Handler that sends {"id":1} to {"id":Messages} on each connection and
// then nothing: not even a pong. The connection stays open until the client leaves.
type SilentAfter struct {
	// Messages is how many messages are sent. Default none.
	Messages int

	Clients
}

// ServeHTTP implements http.Handler.
func (p *SilentAfter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, func(_ context.Context, c *conn) error {
		for id := 1; id <= p.Messages; id++ {
			if err := c.send(opText, numbered(int64(id))); err != nil {
				return err
			}
		}
		return c.stall()
	})
}

// HTTPStatus is an http.Handler that answers each request with a status and does not upgrade.
// Its Counts stay 0 but for Refused.
type HTTPStatus struct {
	// Code is the status. Default 503.
	Code int

	// RetryAfter is sent in whole seconds, rounded up, in the header of that name. 0: no header.
	RetryAfter time.Duration

	// Body is the text of the answer. Default the name of the status.
	Body string

	Clients
}

// ServeHTTP implements http.Handler.
func (p *HTTPStatus) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.count(func(n *Counts) { n.Refused++ })
	code, body := p.Code, p.Body
	if code == 0 {
		code = http.StatusServiceUnavailable
	}
	if body == "" {
		body = http.StatusText(code)
	}
	if p.RetryAfter > 0 {
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	http.Error(w, body, code)
}

// numbered is the message {"id":n}.
func numbered(id int64) []byte {
	return append(strconv.AppendInt([]byte(`{"id":`), id, 10), '}')
}

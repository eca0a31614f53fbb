package websocket

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/version"
	"github.com/leatstream/leat/source"
)

// Source opens WebSocket connections to one provider. Its zero value needs a Config with a URL.
type Source struct {
	Config Config

	// Dial opens the network connections; nil is the network of this machine.
	Dial source.Dialer

	once    sync.Once
	client  *http.Client
	prepare *source.Preparation

	discard int64 // maxDiscarded, in tests less
}

// Open implements source.Source.
func (s *Source) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.once.Do(s.start)
	cursor, kept, resumes := string(after), map[string]any(nil), false
	if s.Config.Session != nil {
		cursor, kept, resumes = s.Config.Session.recall(after)
	}
	vars, err := s.prepare.Variables(ctx, leat.Cursor(cursor))
	if err != nil {
		return nil, err
	}
	maps.Copy(vars, kept)
	var c *conn
	err = s.prepare.Try(ctx, vars, func() error {
		c, err = s.open(ctx, vars)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.resumed = resumes
	return c, nil
}

// Returns implements source.Returner.
func (s *Source) Returns() bool { return s.Config.Returns() }

// open returns a connection that has been told all that is to be said first.
func (s *Source) open(ctx context.Context, vars map[string]any) (*conn, error) {
	address, err := source.Address(&s.Config.URL, s.Config.Query, vars)
	if err != nil {
		return nil, err
	}
	chunks, err := s.Config.Symbols.chunks()
	if err != nil {
		return nil, unsaid("", err)
	}
	c, err := s.dial(ctx, address, vars)
	if err != nil {
		return nil, err
	}
	c.Tape = source.StartTaping(ctx, address)
	if source.IsUnstored(ctx) {
		c.acks = nil
	}
	c.vars.named = maps.Clone(vars) // messages change it
	every, err := s.greet(ctx, c)
	if err != nil {
		c.Tape.Ended(err)
		_ = c.raw.Close()
		_ = c.ws.CloseNow()
		return nil, err
	}
	c.start(every)
	if err := c.subscribe(ctx, chunks); err != nil {
		c.Tape.Ended(err)
		c.Abort()
		var end *source.EndError
		if errors.As(c.Ended(), &end) && end.Kind != source.EndRead {
			return nil, end // that is why it could not be said
		}
		return nil, err
	}
	if c.session == nil {
		c.Opened()
	}
	return c, nil
}

// greet prepares a conn, as far as it can be before it is started, and returns how often the provider's own ping is sent.
func (s *Source) greet(ctx context.Context, c *conn) (every time.Duration, err error) {
	c.ws.SetReadLimit(-1) // we count ourselves: its own limit would end the connection
	if c.intake, err = s.Config.Intake.Start(ctx); err != nil {
		return 0, err
	}
	c.intake.Tell(c.Feed)
	if err = c.greet(ctx); err == nil && s.Config.PingMessage != nil {
		every, err = c.interval()
	}
	if err != nil {
		c.intake.Close()
	}
	return every, err
}

func (s *Source) start() {
	setting.Default(&s.Config)
	if s.Config.PingMessage != nil {
		setting.Default(s.Config.PingMessage)
	}
	if s.Config.Ack != nil {
		setting.Default(s.Config.Ack)
	}
	s.discard = cmp.Or(s.discard, maxDiscarded)
	s.prepare = s.Config.Before.Start(s.Dial)
	s.client = &http.Client{Transport: s.Config.Before.Transport(&s.Config.URL, s.Config.Timeout, s.Dial), CheckRedirect: source.CheckRedirect}
}

// dial returns a conn that is still to be started.
func (s *Source) dial(ctx context.Context, address string, vars map[string]any) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.Config.Timeout)
	defer cancel()
	c := newConn(&s.Config, s.discard)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { c.raw = below(got.Conn) }})
	header := http.Header{"User-Agent": {version.UserAgent()}}
	if err := s.Config.Headers.Expand(header, vars); err != nil {
		return nil, err
	}
	mode := websocket.CompressionContextTakeover
	if s.Config.Compression == "off" {
		mode = websocket.CompressionDisabled
	}
	ws, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{ //nolint:bodyclose // the library has closed it
		HTTPClient: s.client, HTTPHeader: header, CompressionMode: mode, Host: header.Get("Host"), OnPongReceived: c.pong, OnPingReceived: c.pinged,
	})
	if err != nil {
		return nil, s.refused(response, err)
	}
	c.ws = ws
	return c, nil
}

// below returns the network connection under TLS.
func below(c net.Conn) net.Conn {
	for {
		t, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = t.NetConn()
	}
}

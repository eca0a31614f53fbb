package tcp

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Source opens connections to one provider. Its zero value needs a Config with an Address.
type Source struct {
	Config Config

	// Dial opens the network connections; nil is the network of this machine.
	Dial source.Dialer

	once    sync.Once
	prepare *source.Preparation
	address expression.Template
	lines   []expression.Template
	err     error
}

// Open implements source.Source.
func (s *Source) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.once.Do(s.start)
	if s.err != nil {
		return nil, s.err
	}
	return s.prepare.Open(ctx, after, func(vars map[string]any) (source.Conn, error) { return s.open(ctx, vars) })
}

func (s *Source) start() {
	setting.Default(&s.Config)
	s.prepare = s.Config.Before.Start(s.Dial)
	var err error
	s.lines, err = s.Config.templates()
	if s.address, s.err = expression.ParseTemplate(s.Config.Address); s.err == nil {
		s.err = err
	}
}

// open returns a connection over which all has been sent.
func (s *Source) open(ctx context.Context, vars map[string]any) (source.Conn, error) {
	address, err := s.address.Expand(vars, nil)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	raw, c, err := s.dial(ctx, address)
	if err != nil {
		return nil, &source.EndError{Kind: source.EndDial, Err: source.Tellable(err)}
	}
	abort := func() { _ = raw.Close() } // the end of raw is the end of everything, at once
	tape := source.StartTaping(ctx, "tcp://"+address)
	if err := s.send(ctx, c, vars, tape); err != nil {
		abort()
		err = &source.EndError{Kind: source.EndSubscribe, Err: err}
		tape.Ended(err)
		return nil, err
	}
	intake, err := s.Config.Intake.Start(ctx)
	if err != nil {
		abort()
		return nil, err
	}
	m := &source.Messages{
		Feed: source.NewFeed(source.Settle), Framing: source.Lines{}, Limit: s.Config.MaxMessage,
		Silence: s.Config.Silence, Abort: abort, Intake: intake,
	}
	m.Feed.Tape = tape
	return source.StartReading(m.Feed, abort, func(ctx context.Context) error {
		defer abort()
		return m.Run(ctx, c)
	}), nil
}

// dial returns the network connection, and what speaks over it.
func (s *Source) dial(ctx context.Context, address string) (raw, c net.Conn, err error) {
	dial := s.Config.Before.Dialer(&s.address, s.Dial)
	if dial == nil {
		dial = (&net.Dialer{KeepAliveConfig: source.KeepAlive}).DialContext
	}
	return source.Plain{Dial: dial, TLS: s.Config.TLS, Timeout: s.Config.Timeout}.Connect(ctx, address)
}

// send says what is to be said first.
func (s *Source) send(ctx context.Context, c net.Conn, vars map[string]any, tape *source.Taping) error {
	var text strings.Builder
	for i := range s.lines {
		line, err := s.lines[i].Expand(vars, nil)
		if err != nil {
			return err
		}
		if line != "" {
			text.WriteString(strings.NewReplacer("\r", " ", "\n", " ").Replace(line) + "\r\n") // a cursor must not become a line of its own
			tape.Out([]byte(line), false)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = c.SetWriteDeadline(time.Now().Add(s.Config.Timeout))
	if _, err := c.Write([]byte(text.String())); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

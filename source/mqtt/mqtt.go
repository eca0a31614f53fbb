package mqtt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Source opens connections to one broker, one at a time. Its zero value needs a Config with a URL, a ClientID and Topics.
type Source struct {
	Config Config

	// Dial opens the network connections; nil is the network of this machine.
	Dial source.Dialer

	once    sync.Once
	prepare *source.Preparation
	dialect dialect
}

// Returns implements source.Returner.
func (s *Source) Returns() bool { return s.Config.Returns() }

// Open implements source.Source. The broker keeps the position: the cursor does not count.
func (s *Source) Open(ctx context.Context, _ leat.Cursor) (source.Conn, error) {
	s.once.Do(func() {
		setting.Default(&s.Config)
		s.dialect = fiveDialect{}
		if s.Config.Version == "3.1.1" {
			s.dialect = threeDialect{}
		}
		s.prepare = s.Config.Before.Start(s.Dial)
	})
	return s.prepare.Open(ctx, "", func(vars map[string]any) (source.Conn, error) { return s.open(ctx, vars) })
}

// open returns a connection with the subscription that the broker has taken.
func (s *Source) open(ctx context.Context, vars map[string]any) (source.Conn, error) {
	config, err := s.Config.expanded(vars)
	if err != nil {
		return nil, err
	}
	address, encrypted, err := config.address()
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	raw, over, err := s.dial(ctx, address, encrypted)
	if err != nil {
		return nil, &source.EndError{Kind: source.EndDial, Err: source.Tellable(err)}
	}
	c := newConn(s, raw, over)
	c.config = config
	c.Feed.Tape = source.StartTaping(ctx, config.URL)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if err := c.greet(); err != nil {
		_ = raw.Close()
		c.Feed.Tape.Ended(err)
		return nil, err
	}
	if c.intake, err = s.Config.Intake.Start(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	c.intake.Tell(c.Feed)
	c.start()
	select {
	case <-c.ready:
		if c.taken.Load() {
			return c, nil
		}
		err = c.Ended()
	case <-time.After(s.Config.Timeout):
		err = &source.EndError{Kind: source.EndSubscribe, Reason: "no answer within " + setting.FormatDuration(s.Config.Timeout)}
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.Abort()
	return nil, err
}

// dial returns the network connection, and what speaks over it.
func (s *Source) dial(ctx context.Context, address string, encrypted bool) (raw, over net.Conn, err error) {
	url, err := expression.ParseTemplate(s.Config.URL)
	if err != nil {
		return nil, nil, err
	}
	dial := s.Config.Before.Dialer(&url, s.Dial)
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return source.Plain{Dial: dial, TLS: encrypted, Timeout: s.Config.Timeout}.Connect(ctx, address)
}

// greet says who we are, and what we want, and reads whether the broker takes us.
func (c *conn) greet() error {
	var hello bytes.Buffer
	if err := c.dialect.hello(&hello, c.config); err != nil {
		return err
	}
	_ = c.over.SetDeadline(time.Now().Add(c.config.Timeout))
	if _, err := c.over.Write(hello.Bytes()); err != nil {
		return &source.EndError{Kind: source.EndDial, Err: source.Tellable(err)}
	}
	// The packet before there is a limit for it: it has a length of its own, which is believed up to a bound.
	c.r = bufio.NewReader(c.over)
	if head, err := c.r.Peek(2); err == nil && (head[0]>>4 != typeConnack && head[0]>>4 != typeDisconnect || head[1] >= 0x80 && !c.shortAnswer()) {
		return &source.EndError{Kind: source.EndProtocol, Reason: "the broker did not answer the connect"}
	}
	present, err := c.dialect.welcome(c.r)
	var end *source.EndError
	switch {
	case errors.As(err, &end):
		return end
	case err != nil:
		return &source.EndError{Kind: source.EndDial, Err: source.Tellable(err)}
	}
	c.present = present
	_ = c.over.SetDeadline(time.Time{})
	var want bytes.Buffer
	if err := c.dialect.subscribe(&want, c.config); err != nil {
		return err
	}
	if err := c.write(want.Bytes()); err != nil {
		return &source.EndError{Kind: source.EndSubscribe, Err: source.Tellable(err)}
	}
	return nil
}

// shortAnswer reports whether the packet that comes is not longer than 16 KiB, whose length takes two bytes.
func (c *conn) shortAnswer() bool {
	head, err := c.r.Peek(3)
	return err == nil && head[2] < 0x80
}

package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
)

// Source opens connections to one provider. Its zero value needs a Config with a URL.
type Source struct {
	Config Config

	// Dial opens the network connections; nil is the network of this machine.
	Dial source.Dialer

	once   sync.Once
	client *source.Client
}

// Returns implements source.Returner.
func (s *Source) Returns() bool { return s.Config.Returns() }

// Identifies implements source.Identifier.
func (s *Source) Identifies() bool { return s.Config.Identifies() }

// Open implements source.Source.
func (s *Source) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.once.Do(func() {
		setting.Default(&s.Config)
		s.client = source.NewClient(&s.Config.Request, s.Dial)
	})
	header := http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-store"}}
	if after != "" && s.Config.Returns() {
		header.Set("Last-Event-ID", string(after))
	}
	vars, err := s.client.Variables(ctx, after)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(ctx, vars, header)
	if err != nil {
		return nil, err
	}
	if err := isStream(answer); err != nil {
		answer.Close()
		return nil, err
	}
	p := newParser(&s.Config, answer.Abort)
	if p.out.Intake, err = s.Config.Intake.Start(ctx); err != nil {
		answer.Close()
		return nil, err
	}
	p.out.Feed.Tape = answer.StartTaping(ctx)
	return source.StartReading(p.out.Feed, answer.Abort, func(ctx context.Context) error {
		defer answer.Close()
		return p.ended(p.out.Run(ctx, answer.Body))
	}), nil
}

// maxName is what the name of a field takes in its line.
const maxName = 16

// isStream returns what is wrong with an answer that is no stream of events.
func isStream(a *source.Answer) error {
	if a.Status != http.StatusOK {
		return &source.EndError{Kind: source.EndHTTP, Code: a.Status, Reason: http.StatusText(a.Status)}
	}
	content := a.Header.Get("Content-Type")
	if kind, _, _ := mime.ParseMediaType(content); kind != "text/event-stream" {
		return &source.EndError{Kind: source.EndProtocol, Reason: fmt.Sprintf("the answer is %q, not text/event-stream", source.Clean(content))}
	}
	return nil
}

// ended completes the reason of the end.
func (p *parser) ended(err error) error {
	var end *source.EndError
	if !errors.As(err, &end) || end.Kind != source.EndClose && end.Kind != source.EndRead {
		return err
	}
	if end.Kind == source.EndClose && p.begun {
		end.Kind, end.Err = source.EndRead, io.ErrUnexpectedEOF
	}
	end.RetryAfter = p.retry
	return err
}

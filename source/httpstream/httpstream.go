package httpstream

import (
	"context"
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

// Open implements source.Source.
func (s *Source) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.once.Do(func() {
		setting.Default(&s.Config)
		s.client = source.NewClient(&s.Config.Request, s.Dial)
	})
	vars, err := s.client.Variables(ctx, after)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(ctx, vars, http.Header{"Accept": {"application/json, */*;q=0.5"}})
	if err != nil {
		return nil, err
	}
	intake, err := s.Config.Intake.Start(ctx)
	if err != nil {
		answer.Close()
		return nil, err
	}
	m := &source.Messages{
		Feed: source.NewFeed(source.Settle), Framing: newFraming(s.Config.Framing), Limit: s.Config.MaxMessage,
		Silence: s.Config.Silence, Abort: answer.Abort, Intake: intake,
	}
	m.Feed.Tape = answer.StartTaping(ctx)
	return source.StartReading(m.Feed, answer.Abort, func(ctx context.Context) error {
		defer answer.Close()
		return m.Run(ctx, answer.Body)
	}), nil
}

package sse

import (
	"context"
	"io"
	"time"

	"github.com/leatstream/leat/source"
)

// Read reads the events of a stream without a provider.
func Read(config *Config, from io.Reader) source.Conn {
	p := newParser(config, func() {})
	p.out.Silence = time.Hour
	return source.StartReading(p.out.Feed, func() {}, func(ctx context.Context) error { return p.ended(p.out.Run(ctx, from)) })
}

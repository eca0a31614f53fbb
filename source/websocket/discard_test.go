package websocket

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
)

// A message that is too large even to be read past ends the connection, but not before it is told.
func TestMessagesWithoutEndAreToldBeforeTheConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served, listener := make(chan error, 1), n.Listen("feed:80")
		go func() { served <- provider.Serve(ctx, listener, &provider.Oversize{Size: 3 << 20}) }()
		s := &Source{Config: Config{URL: expression.MustParseTemplate("ws://feed:80/"), Compression: "off", MaxMessage: 1 << 10}, Dial: n.DialContext, discard: 1 << 20}
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if events, err := c.Next(t.Context()); len(events) != 1 || err != nil {
			t.Errorf("got %d events, %v", len(events), err)
		}
		var skip *source.SkipError
		if _, err := c.Next(t.Context()); !errors.As(err, &skip) || skip.Bytes < 1<<20 {
			t.Errorf("got %v", err)
		}
		var end *source.EndError
		if _, err := c.Next(t.Context()); !errors.As(err, &end) || end.Kind != source.EndProtocol {
			t.Errorf("got %v", err)
		}
		_ = c.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// A large message does not keep its memory for the small ones behind it.
func TestLargeChunksAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(context.Background())
		served, listener := make(chan error, 1), n.Listen("feed:80")
		go func() { served <- provider.Serve(ctx, listener, &provider.Oversize{Size: 3 << 20}) }()
		s := &Source{Config: Config{URL: expression.MustParseTemplate("ws://feed:80/"), Compression: "off"}, Dial: n.DialContext}
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for got := 0; got < 3; {
			events, err := c.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got += len(events)
		}
		_ = c.Close()
		if kept := cap(c.(*conn).chunk); kept > chunkSize {
			t.Errorf("%d bytes are kept", kept)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

package sse_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/sourcetest"
	"github.com/leatstream/leat/source/sse"
)

func TestSuite(t *testing.T) {
	for name, end := range map[string]string{"LF": "\n", "CR": "\r", "CRLF": "\r\n"} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Kit{
				Serve: func(ctx context.Context, n *pipenet.Network, play sourcetest.Play) error {
					return serve(ctx, n, end, play)
				},
				Source: func(n *pipenet.Network) source.Source {
					c := sse.Config{MaxMessage: sourcetest.Limit}
					c.URL = expression.MustParseTemplate("http://" + sourcetest.Address + "/stream")
					return &sse.Source{Config: c, Dial: n.DialContext}
				},
				Cursor: `[{"topic":"a","offset":7}]`,
			})
		})
	}
}

// serve plays on the answers to requests.
func serve(ctx context.Context, n *pipenet.Network, end string, play sourcetest.Play) error {
	return provider.Serve(ctx, n.Listen(sourcetest.Address), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w)
		write := func(text string) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			return flush.Flush()
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_ = write(":ok" + end + end)
		over := make(chan struct{})
		play(&sourcetest.Player{
			Event:  func(text string) error { return write("id: 1" + end + "data: " + text + end + end) },
			Alive:  func() error { return write(":thump" + end) },
			End:    func() { close(over) },
			Break:  func() { panic(http.ErrAbortHandler) },
			Gone:   r.Context().Done(),
			Cursor: r.Header.Get("Last-Event-ID"),
		})
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
}

package httpstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/httpstream"
	"github.com/leatstream/leat/source/sourcetest"
)

// framed writes a message in each framing.
var framed = map[string]struct{ event, alive func(text string) string }{
	"ndjson":   {func(text string) string { return text + "\r\n" }, func(string) string { return "\r\n" }},
	"json":     {func(text string) string { return text }, func(string) string { return "\n" }},
	"length":   {func(text string) string { return fmt.Sprintf("%d\r\n%s", len(text), text) }, func(string) string { return "\r\n" }},
	"length32": {big32, func(string) string { return big32("") }},
	"varint":   {varint, func(string) string { return varint("") }},
}

func big32(text string) string {
	n := len(text)
	return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}

func varint(text string) string {
	var head []byte
	n := len(text)
	for ; n >= 0x80; n >>= 7 {
		head = append(head, byte(n)|0x80)
	}
	return string(append(head, byte(n))) + text
}

// serve plays on the answers to requests.
func serve(ctx context.Context, n *pipenet.Network, framing string, play sourcetest.Play) error {
	return provider.Serve(ctx, n.Listen(sourcetest.Address), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w)
		write := func(text string) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			return flush.Flush()
		}
		w.WriteHeader(http.StatusOK)
		_ = flush.Flush()
		over := make(chan struct{})
		play(&sourcetest.Player{
			Event:  func(text string) error { return write(framed[framing].event(text)) },
			Alive:  func() error { return write(framed[framing].alive("")) },
			End:    func() { close(over) },
			Break:  func() { panic(http.ErrAbortHandler) },
			Gone:   r.Context().Done(),
			Cursor: r.URL.Query().Get("since"),
		})
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
}

func TestSuite(t *testing.T) {
	for framing := range framed {
		t.Run(framing, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Kit{
				Serve: func(ctx context.Context, n *pipenet.Network, play sourcetest.Play) error {
					return serve(ctx, n, framing, play)
				},
				Source: func(n *pipenet.Network) source.Source {
					c := httpstream.Config{Framing: framing, MaxMessage: sourcetest.Limit}
					c.URL = expression.MustParseTemplate("http://" + sourcetest.Address + "/stream")
					c.Query = map[string]expression.Template{"since": expression.MustParseTemplate("{{cursor}}")}
					return &httpstream.Source{Config: c, Dial: n.DialContext}
				},
				Cursor: "7-a&b",
			})
		})
	}
}

package poll_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/poll"
	"github.com/leatstream/leat/source/sourcetest"
)

// ahead is how many events the provider of the suite holds for a client.
const ahead = 100

// session is what the provider knows of one connection.
type session struct {
	mu     sync.Mutex
	items  []string // item i has the number i+1
	taken  int
	broken bool
	room   chan struct{}
}

func (s *session) add(ctx context.Context, text string) error {
	for {
		s.mu.Lock()
		if len(s.items)-s.taken < ahead {
			s.items = append(s.items, text)
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-s.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// after returns the events behind a number.
func (s *session) after(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		panic(http.ErrAbortHandler)
	}
	s.taken = max(s.taken, n)
	select {
	case s.room <- struct{}{}:
	default:
	}
	var out []string
	for i := n; i < len(s.items); i++ {
		out = append(out, fmt.Sprintf(`{"seq":%d,"v":%s}`, i+1, s.items[i]))
	}
	return `{"data":{"list":[` + strings.Join(out, ",") + "]}}"
}

func serve(ctx context.Context, n *pipenet.Network, play sourcetest.Play) error {
	var mu sync.Mutex
	sessions := map[string]*session{}
	var players sync.WaitGroup
	defer players.Wait()
	return provider.Serve(ctx, n.Listen(sourcetest.Address), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		since, name := r.URL.Query().Get("since"), r.URL.Query().Get("conn")
		mu.Lock()
		s := sessions[name]
		if s == nil {
			s = &session{room: make(chan struct{}, 1)}
			sessions[name] = s
			players.Go(func() {
				play(&sourcetest.Player{
					Event: func(text string) error { return s.add(ctx, text) },
					Alive: ctx.Err,
					Break: func() {
						s.mu.Lock()
						s.broken = true
						s.mu.Unlock()
					},
					Gone:   ctx.Done(),
					Cursor: since,
				})
			})
		}
		mu.Unlock()
		number, _ := strconv.Atoi(since)
		_, _ = w.Write([]byte(s.after(number)))
	}))
}

// perOpen is a Source whose provider can tell its connections from each other.
type perOpen struct {
	n     *pipenet.Network
	conns int
}

func (p *perOpen) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	p.conns++
	c := poll.Config{Interval: time.Second, MaxMessage: sourcetest.Limit, Pages: source.Pages{Items: expression.MustParsePath("data.list")}, Cursor: expression.MustParse("seq")}
	c.URL = expression.MustParseTemplate(fmt.Sprintf("http://%s/?conn=%d", sourcetest.Address, p.conns))
	c.Query = map[string]expression.Template{"since": expression.MustParseTemplate("{{cursor}}")}
	return (&poll.Source{Config: c, Dial: p.n.DialContext}).Open(ctx, after)
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Kit{
		Serve:  serve,
		Source: func(n *pipenet.Network) source.Source { return &perOpen{n: n} },
		Cursor: "7",
		Asks:   true,
		Text:   func(e leat.Event) string { return gjson.GetBytes(e.Data, "v").Raw },
	})
}

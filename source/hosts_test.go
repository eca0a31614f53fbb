package source_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// A host that takes connections and ends them at once is left as one that takes none.
func TestAHostWhereConnectionsEndSoonIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		ctx, stop := context.WithCancel(t.Context())
		var bad, good atomic.Int64
		ticker := &provider.Ticker{Interval: time.Second}
		served := make(chan error, 2)
		for address, h := range map[string]http.HandlerFunc{
			"bad:80": func(w http.ResponseWriter, r *http.Request) {
				bad.Add(1)
				if c, err := ws.Accept(w, r, nil); err == nil {
					_ = c.CloseNow()
				}
			},
			"good:80": func(w http.ResponseWriter, r *http.Request) {
				good.Add(1)
				ticker.ServeHTTP(w, r)
			},
		} {
			l := n.Listen(address)
			go func() { served <- provider.Serve(ctx, l, h) }()
		}
		m := &source.Manager{
			Name: "feed", Producer: &producer.Producer{Engine: newMemory(), Stream: "s", Source: "feed"}, Log: slog.New(slog.DiscardHandler),
			Source: &websocket.Source{Dial: n.DialContext, Config: websocket.Config{
				URL: expression.MustParseTemplate("ws://{{host}}/"), Before: source.Before{Hosts: []string{"bad:80", "good:80"}}, Compression: "off",
			}},
		}
		done := make(chan error, 1)
		running, end := context.WithCancel(ctx)
		go func() { done <- m.Run(running) }()
		time.Sleep(time.Minute)
		if bad.Load() != 1 || good.Load() != 1 {
			t.Errorf("%d connections to the bad host, %d to the good one", bad.Load(), good.Load())
		}
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stop()
		for range 2 {
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
	})
}

// A provider that takes a connection and then says that it does not know us gets a new token at the next attempt.
func TestATokenIsForgottenWhereAConnectionEndsWithARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := &tokenServer{}
		n := site(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/feed" {
				tokens.ServeHTTP(w, r)
				return
			}
			c, err := ws.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.CloseNow()
			if r.Header.Get("Authorization") == "Bearer token-1" {
				_ = c.Close(ws.StatusPolicyViolation, "who is token-1?")
				return
			}
			for r.Context().Err() == nil {
				_ = c.Write(r.Context(), ws.MessageText, []byte("{}"))
				time.Sleep(time.Second)
			}
		})
		m := &source.Manager{
			Name: "feed", Producer: &producer.Producer{Engine: newMemory(), Stream: "s", Source: "feed"}, Log: slog.New(slog.DiscardHandler),
			Source: &websocket.Source{Dial: n.DialContext, Config: websocket.Config{
				URL: expression.MustParseTemplate("ws://api/feed"), Headers: source.Headers{"Authorization": setting.NewSecret("Bearer {{token}}")},
				Before: oauth2("basic"), Compression: "off",
			}},
		}
		ctx, end := context.WithTimeout(t.Context(), 3*time.Minute)
		defer end()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if s := m.Status(); tokens.issued != 2 || s.Events < 100 {
			t.Errorf("%d tokens were issued, %d events came", tokens.issued, s.Events)
		}
		time.Sleep(time.Minute)
	})
}

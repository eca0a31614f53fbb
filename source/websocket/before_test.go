package websocket_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// Header fields are templates, and stay secret.
func TestHeadersAreEvaluatedAtEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := pipenet.New()
		var got http.Header
		serve(t, n, "b:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.Header
			(&provider.Ticker{}).ServeHTTP(w, r)
		}))
		c := websocket.Config{
			URL: expression.MustParseTemplate("ws://{{host}}/"),
			Headers: source.Headers{
				"X-Time": setting.NewSecret("{{unix()}}"), "X-Key": setting.NewSecret("{{hex(hmac_sha256(key, cursor))}}"), "X-Cursor": setting.NewSecret("{{cursor}}"),
			},
			Before: source.Before{Hosts: []string{"a:80", "b:80"}, Variables: map[string]expression.Template{"key": expression.MustParseTemplate(secret)}},
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		s := &websocket.Source{Config: c, Dial: n.DialContext}
		var end *source.EndError
		if _, err := s.Open(t.Context(), ""); !errors.As(err, &end) || end.Kind != source.EndDial {
			t.Errorf("the first host is not there: got %v", err)
		}
		time.Sleep(time.Minute)
		conn, err := s.Open(t.Context(), "7")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if got.Get("X-Time") != "946684860" || len(got.Get("X-Key")) != 64 || got.Get("X-Cursor") != "7" {
			t.Errorf("got %v", got)
		}
		s = &websocket.Source{Config: c, Dial: n.DialContext}
		s.Config.Headers = source.Headers{"X-Bad": setting.NewSecret(secret + "{{int(cursor)}}")}
		if _, err := s.Open(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "X-Bad") || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

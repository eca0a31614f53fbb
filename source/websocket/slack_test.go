package websocket_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	ws "github.com/coder/websocket"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/source/websocket"
)

// office hands out tickets for one connection each, as Slack does for Socket Mode, and takes connections that have one.
type office struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	tickets map[string]bool
	issued  int
	answer  string // instead of a ticket
	said    []string
}

func newOffice(t *testing.T) *office {
	o := &office{t: t, tickets: map[string]bool{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/link/" {
		o.mu.Lock()
		ticket := r.URL.Query().Get("ticket")
		good := o.tickets[ticket]
		delete(o.tickets, ticket)
		o.mu.Unlock()
		if !good {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		c, err := ws.Accept(w, r, nil)
		if err != nil {
			o.t.Error(err)
			return
		}
		defer c.CloseNow()
		_, said, _ := c.Read(r.Context())
		o.mu.Lock()
		o.said = append(o.said, string(said))
		o.mu.Unlock()
		_ = c.Write(r.Context(), ws.MessageText, []byte(`{"type":"hello"}`))
		_, _, _ = c.Read(r.Context())
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer xapp-sesame":
		_, _ = io.WriteString(w, `{"ok":false,"error":"not_authed"}`)
	case o.answer != "":
		_, _ = io.WriteString(w, o.answer)
	default:
		o.issued++
		ticket := fmt.Sprintf("a+b/%d=", o.issued)
		o.tickets[ticket] = true
		address := strings.Replace(o.URL, "http", "ws", 1) + "/link/?ticket=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(ticket) + "&app_id=1"
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "url": address})
	}
}

// ofConfig returns the source of a configuration.
func ofConfig(t *testing.T, text string, env map[string]string) *websocket.Source {
	t.Helper()
	adapters := config.Adapters{Sources: map[string]func() any{"websocket": func() any { return new(websocket.Config) }}}
	c, diagnostics := config.Load([]config.Input{{Name: "leat.yaml", Text: []byte(text)}}, adapters, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	var out strings.Builder
	if err := diagnostics.Print(&out, config.PrintOptions{}); err != nil || len(diagnostics) > 0 {
		t.Fatal(out.String(), err)
	}
	return &websocket.Source{Config: *c.Sources[0].Adapter.(*websocket.Config)}
}

const slack = `
streams: {s: {}}
sources:
  - name: slack
    type: websocket
    url: "{{url}}&debug_reconnects=true"
    lookup:
      - url: ADDRESS/apps.connections.open
        method: POST
        headers: {Authorization: "Bearer ${APP_TOKEN}"}
        set: {url: url}
        fail: ok == false
        again: error in ["ratelimited", "internal_error"]
        why: error
    allow_private: true
    subscribe: {app: "{{url}}"}
    stream: s
    stall: off
`

func TestAnAddressThatIsGivenForOneConnection(t *testing.T) {
	o := newOffice(t)
	s := ofConfig(t, strings.Replace(slack, "ADDRESS", o.URL, 1), map[string]string{"APP_TOKEN": "xapp-sesame"})
	for range 2 { // each connection has a ticket of its own
		c, err := s.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		events, err := c.Next(t.Context())
		if err != nil || string(events[0].Data) != `{"type":"hello"}` {
			t.Errorf("got %v, %v", events, err)
		}
		_ = c.Close()
	}
	if o.issued != 2 || !strings.Contains(o.said[0], "ticket=a%2Bb%2F1%3D&app_id=1") {
		t.Errorf("%d tickets, said %q", o.issued, o.said)
	}
	for answer, want := range map[string]source.EndKind{
		`{"ok":false,"error":"invalid_auth"}`:         source.EndFatal,
		`{"ok":false,"error":"ratelimited"}`:          source.EndDial,
		`{"ok":true}`:                                 source.EndProtocol,
		`{"ok":true,"url":"ws://127.0.0.1:1/?x=y"}`:   source.EndDial,
		`{"ok":true,"url":"gopher://127.0.0.1:1/?x"}`: source.EndDial,
	} {
		o.answer = answer
		var end *source.EndError
		if _, err := s.Open(t.Context(), ""); !errors.As(err, &end) || end.Kind != want {
			t.Errorf("%s: got %v", answer, err)
		}
	}
	o.answer = ""
	denied := ofConfig(t, strings.Replace(slack, "ADDRESS", o.URL, 1), map[string]string{"APP_TOKEN": "xapp-other"})
	var end *source.EndError
	if _, err := denied.Open(t.Context(), ""); !errors.As(err, &end) || !end.Refused() || end.Reason != "lookup[0]: not_authed" {
		t.Errorf("got %v", err)
	}
}

// What a look-up says does not lead to this machine, though the look-up itself stands in the configuration and may be there.
func TestAnAddressThatIsGivenDoesNotLeadToThisMachine(t *testing.T) {
	o := newOffice(t)
	text := strings.Replace(strings.Replace(slack, "ADDRESS", o.URL, 1), "allow_private: true", "allow_private: false", 1)
	s := ofConfig(t, text, map[string]string{"APP_TOKEN": "xapp-sesame"})
	if _, err := s.Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "allow_private") || o.issued != 1 {
		t.Errorf("got %v, %d tickets", err, o.issued)
	}
}

// A token of Coinbase lives for two minutes: each message that subscribes has its own.
func TestMessagesAreSignedWhenTheyAreSent(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := ws.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		for range 2 {
			_, said, _ := c.Read(r.Context())
			heard = append(heard, string(said))
		}
		_ = c.Write(r.Context(), ws.MessageText, []byte(`{"done":true}`))
		_, _, _ = c.Read(r.Context())
	}))
	defer server.Close()
	const message = `{type: subscribe, channel: CHANNEL, jwt: '{{jwt("ES256", key, {"sub": name, "iss": "cdp", "nbf": unix(), "exp": unix() + 120}, {"kid": name, "nonce": random_hex(16)})}}'}`
	s := ofConfig(t, `
streams: {s: {}}
sources:
  - name: coinbase
    type: websocket
    url: `+strings.Replace(server.URL, "http", "ws", 1)+`
    variables: {key: "${CDP_KEY}", name: "${CDP_NAME}"}
    subscribe: `+strings.Replace(message, "CHANNEL", "user", 1)+`
    subscriptions:
      - `+strings.Replace(message, "CHANNEL", "heartbeats", 1)+`
    stream: s
`, map[string]string{"CDP_KEY": string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), "CDP_NAME": `organizations/"x"`})
	c, err := s.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	for _, said := range heard {
		var m struct{ JWT string }
		if err := json.Unmarshal([]byte(said), &m); err != nil {
			t.Fatal(err)
		}
		signed := m.JWT[:strings.LastIndexByte(m.JWT, '.')]
		signature, err := base64.RawURLEncoding.DecodeString(m.JWT[len(signed)+1:])
		sum := sha256.Sum256([]byte(signed))
		if err != nil || len(signature) != 64 || !ecdsa.Verify(&key.PublicKey, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Errorf("the signature of %s does not hold: %v", said, err)
		}
		claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(signed, ".")[1])
		if !strings.Contains(string(claims), `"sub":"organizations/\"x\""`) {
			t.Errorf("the claims are %s", claims)
		}
	}
	if len(heard) != 2 || heard[0] == heard[1] {
		t.Errorf("heard %v", heard)
	}
}

package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/version"
	"github.com/leatstream/leat/source"
)

// Source opens WebSocket connections to one provider. Its zero value needs a Config with a URL.
type Source struct {
	Config Config

	// Dial opens the network connections; nil is the network of this machine.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	once   sync.Once
	client *http.Client
}

// Open implements source.Source.
func (s *Source) Open(ctx context.Context, after leat.Cursor) (source.Conn, error) {
	s.once.Do(s.prepare)
	vars := map[string]any{"cursor": string(after)}
	address, err := s.address(vars)
	if err != nil {
		return nil, err
	}
	ws, err := s.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := s.subscribe(ctx, ws, vars); err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	return newConn(ws, &s.Config), nil
}

func (s *Source) prepare() {
	setting.Default(&s.Config)
	s.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            s.Dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
			TLSHandshakeTimeout:    s.Config.Timeout,
			ResponseHeaderTimeout:  s.Config.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("more than three redirects")
			}
			return nil
		},
	}
}

// address returns the URL of the next attempt.
func (s *Source) address(vars map[string]any) (string, error) {
	text, err := s.Config.URL.Expand(vars, url.QueryEscape)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	query := u.Query()
	for name, template := range s.Config.Query {
		value, err := template.Expand(vars, nil)
		if err != nil {
			return "", fmt.Errorf("query %s: %w", name, err)
		}
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(s.Config.Query) > 0 {
		u.RawQuery = query.Encode()
	}
	return u.String(), nil
}

func (s *Source) dial(ctx context.Context, address string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.Config.Timeout)
	defer cancel()
	header := http.Header{"User-Agent": {version.UserAgent()}}
	for name, value := range s.Config.Headers {
		header.Set(name, value.Reveal())
	}
	mode := websocket.CompressionContextTakeover
	if s.Config.Compression == "off" {
		mode = websocket.CompressionDisabled
	}
	ws, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: s.client, HTTPHeader: header, CompressionMode: mode, Host: header.Get("Host"),
	})
	if err != nil {
		return nil, s.refused(response, err)
	}
	return ws, nil
}

// refused says why there is no connection. The error of the library is left out where it would repeat the
// address, which may hold a secret.
func (s *Source) refused(response *http.Response, err error) error {
	if response == nil || response.StatusCode == http.StatusSwitchingProtocols {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return &source.EndError{Kind: source.EndDial, Err: err}
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 256))
	_ = response.Body.Close()
	return &source.EndError{
		Kind: source.EndHTTP, Code: response.StatusCode, Reason: clean(string(body)),
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
}

// retryAfter reads the header of RFC 9110 §10.2.3: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1<<31)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

func (s *Source) subscribe(ctx context.Context, ws *websocket.Conn, vars map[string]any) error {
	if s.Config.Subscribe.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Config.Timeout)
	defer cancel()
	text, err := s.Config.Subscribe.text.Expand(vars, nil)
	if err == nil {
		err = ws.Write(ctx, websocket.MessageText, []byte(text))
	}
	if err != nil {
		return &source.EndError{Kind: source.EndSubscribe, Err: err}
	}
	return nil
}

// clean makes a text of the provider fit for a log: one line of at most 256 bytes.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > 256 {
		text = strings.ToValidUTF8(text[:256], "") + "…"
	}
	return strings.TrimSpace(text)
}

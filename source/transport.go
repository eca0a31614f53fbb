package source

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/leatstream/leat/internal/expression"
)

// Dialer opens network connections, as net.Dialer.DialContext does.
type Dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// maxHead bounds the status line and the header of an answer, in bytes.
const maxHead = 64 << 10

// NewTransport returns what carries HTTP to one provider. The TLS handshake and the head of an answer may take timeout, each. A nil dial is
// the network of this machine.
func NewTransport(timeout time.Duration, dial Dialer) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		MaxResponseHeaderBytes: maxHead,
		IdleConnTimeout:        timeout,
	}
}

// Plain is how a provider is reached that speaks over TCP, or TLS over that.
type Plain struct {
	Dial    Dialer        // not nil
	TLS     bool          // whether it is TLS
	Timeout time.Duration // of connecting, and of the TLS handshake
}

// Connect opens the network connection to host:port, and returns it and what speaks over it, which without TLS is the same.
func (p Plain) Connect(ctx context.Context, address string) (raw, over net.Conn, err error) {
	limited, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if raw, err = p.Dial(limited, "tcp", address); err != nil || !p.TLS {
		return raw, raw, err
	}
	host, _, _ := net.SplitHostPort(address)
	encrypted := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host})
	limited, cancel = context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if err := encrypted.HandshakeContext(limited); err != nil {
		_ = raw.Close()
		return nil, nil, cmp.Or(limited.Err(), err)
	}
	return raw, encrypted, nil
}

// KeepAlive is how the network is asked whether the other side is still there.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}

// errNoAddress takes the place of an error that repeats the address, which may hold a secret.
var errNoAddress = errors.New("url: what it expands to is not an address; what {{…}} inserts behind its beginning is escaped, each / too; where a path is found out let {{…}} be the whole address")

// Address returns what the template of an address and those of its query expand to, escaped. A parameter without a value is left out, such
// as a cursor at the first connection.
func Address(address *expression.Template, query map[string]expression.Template, vars map[string]any) (string, error) {
	text, err := address.ExpandAddress(vars)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	u, err := parseAddress(text)
	if err != nil {
		return "", err
	}
	values := u.Query()
	for name, template := range query {
		value, err := template.Expand(vars, nil)
		if err != nil {
			return "", fmt.Errorf("query %s: %w", name, err)
		}
		if value != "" {
			values.Set(name, value)
		}
	}
	if len(query) > 0 {
		u.RawQuery = values.Encode()
	}
	return u.String(), nil
}

// parseAddress returns the parts of an address, which has a scheme and a host.
func parseAddress(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return nil, errNoAddress
	}
	return u, nil
}

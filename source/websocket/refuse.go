package websocket

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/source"
)

// Errors of the net/http and net/url packages repeat addresses, which may hold secrets. What is told here is either of a kind that is known
// to hold none, or a text of ours.
var (
	errNoAddress = errors.New("url: what it expands to is not an address")
	errHandshake = errors.New("the provider did not answer as a WebSocket does, or sent us to an address that is none")
	errPlain     = errors.New("the provider does not speak TLS: is it ws:// instead of wss://?")
)

// redirectError says why a redirect is not followed.
type redirectError string

// Error implements error.
func (e redirectError) Error() string { return string(e) }

// redirect follows three redirects on the same host. Any other host, and anybody on the way, must not get the headers, which hold
// keys.
func redirect(next *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	raised := from.Scheme == "http" && next.URL.Scheme == "https"
	switch {
	case len(via) > 3:
		return redirectError("more than three redirects")
	case from.Scheme == "https" && !(next.URL.Scheme == "https"):
		return redirectError("a redirect from wss:// to ws:// is not followed")
	case !strings.EqualFold(from.Hostname(), next.URL.Hostname()), port(from) != port(next.URL) && !(raised && port(from) == "80" && port(next.URL) == "443"):
		return redirectError(fmt.Sprintf("a redirect to another host is not followed: %q", clean(next.URL.Host)))
	}
	return nil
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// refused says why there is no connection.
func (s *Source) refused(response *http.Response, err error) error {
	s.client.CloseIdleConnections()
	if response == nil {
		return &source.EndError{Kind: source.EndDial, Err: tellable(err)}
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return &source.EndError{Kind: source.EndDial, Err: err}
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 256))
	_ = response.Body.Close()
	return &source.EndError{
		Kind: source.EndHTTP, Code: response.StatusCode, Reason: clean(string(body)),
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
}

// tellable returns what of the cause of a failed attempt can be told.
func tellable(err error) error {
	var address *url.Error
	for errors.As(err, &address) {
		err = address.Err
	}
	var redirected redirectError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &redirected):
		return redirected
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &network):
		return network
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return errPlain
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return errHandshake
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

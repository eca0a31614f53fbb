package source

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

	"github.com/leatstream/leat/internal/setting"
)

// Errors of the net/http and net/url packages repeat addresses, which may hold secrets. What is told here is either of a kind that is known
// to hold none, or a text of ours.
var (
	errHandshake = errors.New("the provider did not answer as expected, or sent us to an address that is none")
	errHead      = fmt.Errorf("the head of the answer is longer than %d bytes", maxHead)
	errPlain     = errors.New("the provider does not speak TLS: is the s in wss:// or https:// one too many?")
)

// redirectError says why a redirect is not followed.
type redirectError string

// Error implements error.
func (e redirectError) Error() string { return string(e) }

// CheckRedirect is for http.Client. It follows three redirects on the same host. Any other host, and anybody on the way, must not
// get the headers, which hold keys.
func CheckRedirect(next *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	raised := from.Scheme == "http" && next.URL.Scheme == "https"
	switch {
	case len(via) > 3:
		return redirectError("more than three redirects")
	case from.Scheme == "https" && !(next.URL.Scheme == "https"):
		return redirectError("a redirect away from TLS is not followed")
	case !strings.EqualFold(from.Hostname(), next.URL.Hostname()), port(from) != port(next.URL) && !(raised && port(from) == "80" && port(next.URL) == "443"):
		return redirectError(fmt.Sprintf("a redirect to another host is not followed: %q", Clean(next.URL.Host)))
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

// Refused says why there is no connection: the provider answered with another status than what was asked for. It closes the body.
func Refused(response *http.Response) *EndError {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 256))
	_ = response.Body.Close()
	return &EndError{
		Kind: EndHTTP, Code: response.StatusCode, Reason: Clean(unsaid(string(body), response.Request)),
		RetryAfter: RetryAfter(response.Header.Get("Retry-After"), time.Now()), Hints: hintsOf(response.Header),
	}
}

// unsaid returns a text of the provider without the keys of a request, which it may repeat.
func unsaid(text string, request *http.Request) string {
	if request == nil {
		return text
	}
	for name, values := range request.Header {
		if !setting.Telling(name) && !strings.EqualFold(name, "Cookie") {
			continue
		}
		for word := range strings.FieldsFuncSeq(strings.Join(values, " "), func(r rune) bool { return strings.ContainsRune(" \t;,=", r) }) {
			if len(word) > len("Bearer") {
				text = strings.ReplaceAll(text, word, "(secret)")
			}
		}
	}
	return text
}

// Tellable returns what of the cause of a failed attempt can be told: nothing that may hold a secret.
func Tellable(err error) error {
	var address *url.Error
	for errors.As(err, &address) {
		err = address.Err
	}
	var redirected redirectError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errPrivate):
		return errPrivate
	case errors.As(err, &redirected):
		return redirected
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &network):
		return network
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return errPlain
	case strings.Contains(err.Error(), "response headers exceeded"):
		return errHead
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return errHandshake
}

// RetryAfter reads the header of RFC 9110 §10.2.3: seconds, or a date. 0: it says nothing.
func RetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1<<31)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// Clean makes a text of the provider fit for a log: one line of at most 256 bytes.
func Clean(text string) string {
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

package source

import (
	"bufio"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/internal/version"
)

// Client asks one provider over HTTP. It may be used by several goroutines at a time.
type Client struct {
	request *Request
	prepare *Preparation
	http    *http.Client
}

// NewClient returns the Client for a Request whose defaults are filled in, and that Check has passed. dial opens the network
// connections; nil is the network of this machine.
func NewClient(r *Request, dial Dialer) *Client {
	c := newClient(r, &r.Before, dial)
	c.prepare = r.Before.Start(dial)
	return c
}

// newClient returns a Client that finds nothing out before it asks. Where its host comes from is judged with b.
func newClient(r *Request, b *Before, dial Dialer) *Client {
	c := &Client{request: r}
	transport := b.Transport(&r.URL, r.Timeout, dial)
	transport.MaxIdleConns = 2
	transport.DisableCompression = true // it is ours
	c.http = &http.Client{Transport: transport, CheckRedirect: CheckRedirect}
	return c
}

// Variables returns what the templates of the request may use in an attempt to connect, as Preparation does.
func (c *Client) Variables(ctx context.Context, after leat.Cursor) (map[string]any, error) {
	return c.prepare.Variables(ctx, after)
}

// Answer is what a provider answered. Its Body is decompressed as it is read; whoever reads it bounds it.
type Answer struct {
	Status int
	Header http.Header
	Body   io.Reader

	response *http.Response
	stop     context.CancelFunc
}

// Abort ends the reading of the body at once. It may be called at any time and more than once.
func (a *Answer) Abort() { a.stop() }

// StartTaping tells the Tape of a context of the answer, and of the body of the request. Without a Tape it returns nil.
func (a *Answer) StartTaping(ctx context.Context) *Taping {
	if TapeOf(ctx) == nil {
		return nil
	}
	request := a.response.Request
	t := StartTaping(ctx, request.URL.String())
	if request.GetBody != nil && request.ContentLength > 0 {
		if body, err := request.GetBody(); err == nil {
			text, _ := io.ReadAll(body) // a text in memory
			t.Out(text, false)
		}
	}
	return t
}

// readAll reads the body, up to one byte more than most, which may take patience. An error is an *EndError.
func (a *Answer) readAll(ctx context.Context, patience time.Duration, most int64) ([]byte, error) {
	late := time.AfterFunc(patience, a.Abort)
	defer late.Stop()
	defer context.AfterFunc(ctx, a.Abort)()
	text, err := io.ReadAll(io.LimitReader(a.Body, most+1))
	switch {
	case err != nil && !late.Stop():
		return nil, &EndError{Kind: EndRead, Reason: "the answer took longer than " + setting.FormatDuration(patience)}
	case err != nil:
		return nil, &EndError{Kind: EndRead, Err: Tellable(err)}
	}
	return text, nil
}

// URL returns the address that answered.
func (a *Answer) URL() *url.URL { return a.response.Request.URL }

// Close ends the request. After a body that was read to its end the connection is used again. It is not called while the body is read.
func (a *Answer) Close() {
	_ = a.response.Body.Close()
	a.stop()
}

// Do sends the request with variables in its templates, which come from Variables, and header fields that the settings do not have. A status below 200 or
// from 300 on, but for one in also, is an *EndError. ctx counts until the answer has begun.
func (c *Client) Do(ctx context.Context, vars map[string]any, header http.Header, also ...int) (*Answer, error) {
	return c.try(ctx, vars, func() (*Answer, error) { return c.do(ctx, vars, header, also) })
}

// Follow is Do for an address that the provider has named, on the same host. The templates of its query do not count.
func (c *Client) Follow(ctx context.Context, address string, vars map[string]any, header http.Header) (*Answer, error) {
	return c.try(ctx, vars, func() (*Answer, error) { return c.follow(ctx, address, vars, header) })
}

func (c *Client) try(ctx context.Context, vars map[string]any, ask func() (*Answer, error)) (a *Answer, err error) {
	if err := c.prepare.renew(ctx, vars); err != nil {
		return nil, err
	}
	err = c.prepare.Try(ctx, vars, func() error {
		a, err = ask()
		return err
	})
	return a, err
}

func (c *Client) do(ctx context.Context, vars map[string]any, header http.Header, also []int) (*Answer, error) {
	return c.ask(ctx, also, func(life context.Context) (*http.Request, error) { return c.build(life, vars, header) })
}

func (c *Client) follow(ctx context.Context, address string, vars map[string]any, header http.Header) (*Answer, error) {
	return c.ask(ctx, nil, func(life context.Context) (*http.Request, error) {
		request, err := c.build(life, vars, header)
		if err == nil {
			request.URL, err = url.Parse(address)
		}
		if err != nil {
			return nil, errNoAddress
		}
		return request, nil
	})
}

// ask sends the request that build returns for as long as its context lives, and returns the answer.
func (c *Client) ask(ctx context.Context, also []int, build func(life context.Context) (*http.Request, error)) (*Answer, error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	request, err := build(life)
	if err != nil {
		stop()
		return nil, err
	}
	a, err := c.send(ctx, request, stop)
	if err != nil {
		return nil, err
	}
	return c.accept(a, also)
}

// send returns the answer to a request, which stop ends.
func (c *Client) send(ctx context.Context, request *http.Request, stop context.CancelFunc) (*Answer, error) {
	ended := context.AfterFunc(ctx, stop)
	limit := time.AfterFunc(2*c.request.Timeout, stop)
	response, err := c.http.Do(request)
	late := !limit.Stop()
	ended()
	switch {
	case err == nil && late:
		_ = response.Body.Close()
		fallthrough
	case late:
		stop()
		return nil, &EndError{Kind: EndDial, Reason: "no answer within " + setting.FormatDuration(2*c.request.Timeout)}
	case err != nil:
		stop()
		c.http.CloseIdleConnections()
		return nil, &EndError{Kind: EndDial, Err: Tellable(err)}
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, response: response, stop: stop}, nil
}

// accept refuses an answer that is none.
func (c *Client) accept(a *Answer, also []int) (*Answer, error) {
	good := a.Status >= 200 && a.Status < 300
	for _, status := range also {
		good = good || a.Status == status
	}
	body, err := decompressed(a.response)
	a.Body = body
	if !good {
		if err == nil {
			a.response.Body = struct {
				io.Reader
				io.Closer
			}{body, a.response.Body}
		}
		err = Refused(a.response)
	}
	if err != nil {
		a.Close()
		c.http.CloseIdleConnections()
		return nil, err
	}
	return a, nil
}

// CloseIdle closes the network connections that are kept for the next request.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

func (c *Client) build(ctx context.Context, vars map[string]any, header http.Header) (*http.Request, error) {
	address, err := Address(&c.request.URL, c.request.Query, vars)
	if err != nil {
		return nil, err
	}
	body, err := c.request.Body.text.Expand(vars, nil)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	method := cmp.Or(c.request.Method, map[bool]string{true: http.MethodGet, false: http.MethodPost}[body == ""])
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, errNoAddress // the cause repeats the address, which may hold a secret
	}
	request.Header.Set("User-Agent", version.UserAgent())
	if c.request.Body.json {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.request.Compression != "off" {
		request.Header.Set("Accept-Encoding", "gzip, deflate")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if err := c.request.Headers.Expand(request.Header, vars); err != nil {
		return nil, err
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	return request, nil
}

// decompressed returns what the body of an answer says. It begins to read only when it is read itself.
func decompressed(response *http.Response) (io.Reader, error) {
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return response.Body, nil
	case "gzip", "x-gzip":
		return &lazy{from: response.Body, open: func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) }}, nil
	case "deflate":
		return &lazy{from: response.Body, open: inflate}, nil
	default:
		return nil, &EndError{Kind: EndProtocol, Reason: fmt.Sprintf("the content encoding %q was not offered", Clean(encoding))}
	}
}

// inflate reads the format of zlib, which deflate means, or raw deflate, which some take it for.
func inflate(r *bufio.Reader) (io.Reader, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(r)
	}
	return flate.NewReader(r), nil
}

// lazy opens a decompressor when something is read from it.
type lazy struct {
	from io.Reader
	open func(*bufio.Reader) (io.Reader, error)
	r    io.Reader
}

// Read implements io.Reader.
func (l *lazy) Read(b []byte) (int, error) {
	if l.r == nil {
		r, err := l.open(bufio.NewReader(l.from))
		if err != nil {
			return 0, err
		}
		l.r = r
	}
	return l.r.Read(b)
}

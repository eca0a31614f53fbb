package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Request are the settings of transports that ask over HTTP. Texts may contain {{cursor}}, the position to resume from; it is empty at the
// first connection. They are evaluated again at every attempt.
type Request struct {
	// The address, http:// or https://. What {{…}} inserts is escaped. Redirects are followed on the same host only.
	URL expression.Template `yaml:"url,required"`

	// The method of the request. Default: POST where there is a body, else GET.
	Method string `yaml:"method" enum:"GET,POST"`

	// Query parameters that are added to the address, escaped. One whose value is empty is left out, such as a cursor at the
	// first connection.
	Query map[string]expression.Template `yaml:"query"`

	// Header fields of the request, such as an API key: {Authorization: "Bearer ${TOKEN}"}. They may contain {{cursor}}, too; one whose value
	// is empty is left out. Without a User-Agent it is that of Leat.
	Headers map[string]setting.Secret `yaml:"headers"`

	// The body of the request: a text, or a mapping or list that is sent as JSON. Default: none.
	Body Body `yaml:"body"`

	// How long connecting, the TLS handshake and the answer may take, each; all together twice as long.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// Whether to offer compression (gzip and deflate) to the provider, which decides whether to use it. A provider that gathers events
	// to compress them delays them: then off is better.
	Compression string `yaml:"compression" default:"offer" enum:"offer,off"`
}

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (r *Request) Check() error {
	wrong := []error{r.checkAddress()}
	for _, secret := range r.Headers {
		if _, err := expression.ParseTemplate(secret.Reveal()); err != nil {
			wrong = append(wrong, &setting.FieldError{Field: "headers", Err: err})
		}
	}
	if r.Method == http.MethodGet && !r.Body.IsZero() {
		wrong = append(wrong, setting.FieldErrorf("method", "a GET request has no body"))
	}
	return errors.Join(wrong...)
}

func (r *Request) checkAddress() error {
	text, err := r.URL.Expand(map[string]any{"cursor": "", "page": ""}, url.QueryEscape)
	if err != nil {
		return &setting.FieldError{Field: "url", Err: err}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return &setting.FieldError{Field: "url", Err: errors.New("not an address")}
	case u.Scheme == "ws" || u.Scheme == "wss":
		return &setting.FieldError{Field: "url", Err: fmt.Errorf("expected an address that begins with http:// or https://, got %s://", u.Scheme), Hint: "is it a source of type websocket?"}
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return &setting.FieldError{Field: "url", Err: errors.New("expected an address that begins with http:// or https://")}
	}
	return nil
}

// UsesCursor implements Resumer.
func (r *Request) UsesCursor() bool { return r.Uses("cursor") }

// Uses reports whether a text names a variable.
func (r *Request) Uses(variable string) bool {
	for _, t := range r.Query {
		if t.Uses(variable) {
			return true
		}
	}
	for _, secret := range r.Headers {
		if t, err := expression.ParseTemplate(secret.Reveal()); err == nil && t.Uses(variable) {
			return true
		}
	}
	return r.URL.Uses(variable) || r.Body.text.Uses(variable)
}

// Body is a text to be sent. In YAML it is a text, or a mapping or list that is sent as JSON.
type Body struct {
	text expression.Template
	json bool
}

// NewBody returns the Body of a text.
func NewBody(text string) (Body, error) {
	t, err := expression.ParseTemplate(text)
	return Body{text: t}, err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Body) UnmarshalText(text []byte) (err error) {
	*b, err = NewBody(string(text))
	return err
}

// UnmarshalValue takes a mapping or list as plain Go values; package config calls it.
func (b *Body) UnmarshalValue(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot be sent as JSON: %w", err)
	}
	err = b.UnmarshalText(text)
	b.json = true
	return err
}

// IsZero reports whether there is nothing to be sent.
func (b *Body) IsZero() bool { return b.text.IsZero() }

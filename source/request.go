package source

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Request are the settings of transports that ask over HTTP. Texts may contain {{cursor}}, the position to resume from, which is empty at the
// first connection, and the variables of Before. They are evaluated again at every attempt.
type Request struct {
	// The address, http:// or https://. It may begin with {{…}} that is an address; behind that, what {{…}} inserts is escaped. Redirects are
	// followed on the same host only.
	URL expression.Template `yaml:"url,required"`

	// The method of the request. Default: POST where there is a body, else GET.
	Method string `yaml:"method" enum:"GET,POST"`

	// Query parameters that are added to the address, escaped. One whose value is empty is left out, such as a cursor at the
	// first connection.
	Query map[string]expression.Template `yaml:"query"`

	// Header fields of the request, such as an API key: {Authorization: "Bearer ${TOKEN}"}. They may contain {{…}}, too; one whose value
	// is empty is left out. Without a User-Agent it is that of Leat.
	Headers Headers `yaml:"headers"`

	// The body of the request: a text, or a mapping or list that is sent as JSON. Default: none.
	Body Body `yaml:"body"`

	// How long connecting, the TLS handshake and the answer may take, each; all together twice as long.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// Whether to offer compression (gzip and deflate) to the provider, which decides whether to use it. A provider that gathers events
	// to compress them delays them: then off is better.
	Compression string `yaml:"compression" default:"offer" enum:"offer,off"`

	// What the source finds out before it connects.
	Before Before `yaml:",inline"`
}

// Prepares implements Preparer.
func (r *Request) Prepares() *Before { return &r.Before }

// Check returns what is wrong with the settings taken together. It repeats no text of theirs, which may hold secrets.
func (r *Request) Check() error { return r.CheckWith() }

// CheckWith is Check where the texts may use more variables.
func (r *Request) CheckWith(more ...string) error {
	wrong := []error{
		r.Before.CheckAddress(&r.URL, "http", "https"), r.Headers.Check(), r.Before.CheckUse("url", r.names()), r.Before.CheckNames("url", r.URL.Names(), more...),
		r.Before.CheckNames("headers", r.Headers.Names(), more...), r.Before.CheckNames("body", r.Body.text.Names(), more...),
		r.Before.CheckNames("query", queryNames(r.Query), more...),
	}
	if r.Method == http.MethodGet && !r.Body.IsZero() {
		wrong = append(wrong, setting.FieldErrorf("method", "a GET request has no body"))
	}
	return errors.Join(wrong...)
}

// UsesCursor implements Resumer.
func (r *Request) UsesCursor() bool { return r.Uses("cursor") }

// Uses reports whether a text names a variable.
func (r *Request) Uses(variable string) bool {
	return slices.Contains(r.names(), variable) || r.Before.Uses(variable)
}

// names returns the variables that the texts of the request name.
func (r *Request) names() []string {
	return slices.Concat(r.URL.Names(), queryNames(r.Query), r.Body.text.Names(), r.Headers.Names())
}

func queryNames(query map[string]expression.Template) (names []string) {
	for _, t := range query {
		names = append(names, t.Names()...)
	}
	return names
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
	t, err := expression.JSONTemplate(value)
	*b = Body{text: t, json: true}
	return err
}

// IsZero reports whether there is nothing to be sent.
func (b *Body) IsZero() bool { return b.text.IsZero() }

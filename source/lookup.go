package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Lookup is a request over HTTP whose answer a source needs before it connects.
type Lookup struct {
	// The address, http:// or https://, as that of a source. Its texts may use {{cursor}}, {{host}}, {{token}}, variables, and what the look-ups before it
	// have set. Redirects are followed on the same host only.
	URL expression.Template `yaml:"url,required"`

	// The method of the request. Default: POST where there is a body, else GET.
	Method string `yaml:"method" enum:"GET,POST"`

	// Query parameters that are added to the address, escaped. One whose value is empty is left out.
	Query map[string]expression.Template `yaml:"query"`

	// Header fields of the request. They may contain {{…}}; one whose value is empty is left out.
	Headers Headers `yaml:"headers"`

	// The body of the request: a text, or a mapping or list that is sent as JSON. Default: none.
	Body Body `yaml:"body"`

	// How long connecting, the TLS handshake and the answer may take, each; all together twice as long.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// Variables for all texts behind it, {{NAME}}, by what they are in the answer: {url: data.url}. It must have them. msg is the whole answer, also if it is a text
	// and no JSON. One whose name says that it is secret, such as ticket_token, is hidden in recordings.
	Set map[string]expression.Value `yaml:"set"`

	// For how long an answer is used again, for the same cursor and host. It is forgotten when the provider refuses us, as with 401 or 403. Default: each attempt
	// asks anew.
	Keep time.Duration `yaml:"keep" default:"off"`

	// Answers that refuse us, though their status does not say so: a condition such as ok == false. The next attempt is made after a minute or more.
	Fail expression.Condition `yaml:"fail"`

	// Answers that say to try again: a condition such as error == "ratelimited". It counts before fail.
	Again expression.Condition `yaml:"again"`

	// Why, of an answer for which fail or again holds: a member path such as error.
	Why expression.Value `yaml:"why"`
}

const (
	maxLookups      = 16
	maxLookupAnswer = 1 << 20
)

// check returns what is wrong with a look-up in which known variables may be used.
func (l *Lookup) check(b *Before, field string, known []string) error {
	wrong := []error{below(field, l.Headers.Check()), below(field, b.checkAddress(&l.URL, known, "http", "https"))}
	if l.Method == http.MethodGet && !l.Body.IsZero() {
		wrong = append(wrong, setting.FieldErrorf(field+".method", "a GET request has no body"))
	}
	names := l.names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			wrong = append(wrong, setting.FieldErrorf(field, "it uses {{%s}}, which nothing before it sets", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Set)) {
		if err := b.checkVariable(name); err != nil {
			wrong = append(wrong, &setting.FieldError{Field: field + ".set." + name, Err: err})
		} else if slices.Contains(known, name) {
			wrong = append(wrong, setting.FieldErrorf(field+".set."+name, "{{%s}} is set before it", name))
		}
	}
	if !l.Why.IsZero() && l.Fail.IsZero() && l.Again.IsZero() {
		wrong = append(wrong, setting.FieldErrorf(field+".why", "says why an answer refuses us, and neither fail nor again says which do"))
	}
	return errors.Join(wrong...)
}

// below moves errors about fields below another field.
func below(field string, err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var moved []error
		for _, e := range joined.Unwrap() {
			moved = append(moved, below(field, e))
		}
		return errors.Join(moved...)
	}
	var about *setting.FieldError
	if errors.As(err, &about) {
		return &setting.FieldError{Field: field + "." + about.Field, Err: about.Err, Hint: about.Hint}
	}
	return err
}

// request returns the look-up as a Request.
func (l *Lookup) request() *Request {
	return &Request{URL: l.URL, Method: l.Method, Query: l.Query, Headers: l.Headers, Body: l.Body, Timeout: l.Timeout, Compression: "offer"}
}

func (l *Lookup) names() []string { return l.request().names() }

// looking is a Lookup that is used.
type looking struct {
	*Lookup
	name   string // for errors
	client *Client
	after  []string // variables that an answer depends on
	kept   kept[map[string]any]
}

// ask returns the variables that the look-up sets, and whether they come from an earlier answer.
func (l *looking) ask(ctx context.Context, vars map[string]any) (map[string]any, error) {
	if l.Keep <= 0 {
		return l.fetch(ctx, vars)
	}
	key := ""
	for _, name := range l.after {
		key += fmt.Sprintf("%q ", vars[name])
	}
	return l.kept.get(ctx, key, func() (map[string]any, time.Time, error) {
		set, err := l.fetch(ctx, vars)
		return set, time.Now().Add(l.Keep), err
	})
}

// fetch asks the provider.
func (l *looking) fetch(ctx context.Context, vars map[string]any) (map[string]any, error) {
	a, err := l.client.do(ctx, vars, http.Header{"Accept": {"application/json, */*;q=0.5"}}, nil)
	if err != nil {
		return nil, l.told(err)
	}
	defer a.Close()
	text, err := a.readAll(ctx, 2*l.Timeout, maxLookupAnswer)
	if err != nil {
		return nil, l.told(err)
	}
	if len(text) > maxLookupAnswer {
		return nil, &EndError{Kind: EndProtocol, Reason: l.name + ": the answer has more than 1MiB"}
	}
	if !expression.ValidText(string(text)) {
		text, _ = json.Marshal(string(text)) // a text
	}
	var look expression.Look
	look.Reset(text)
	switch {
	case l.Again.Holds(&look):
		return nil, &EndError{Kind: EndDial, Reason: l.why(&look), RetryAfter: RetryAfter(a.Header.Get("Retry-After"), time.Now())}
	case l.Fail.Holds(&look):
		return nil, &EndError{Kind: EndFatal, Reason: l.why(&look)}
	}
	set := map[string]any{}
	for name, value := range l.Set {
		got, ok := value.Evaluate(look.Message())
		if !ok {
			return nil, &EndError{Kind: EndProtocol, Reason: fmt.Sprintf("%s: the answer has no %s", l.name, value.String())}
		}
		set[name] = got
	}
	return set, nil
}

// told says of an error that it is about this look-up.
func (l *looking) told(err error) error {
	var end *EndError
	if !errors.As(err, &end) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	out := *end
	out.Reason = l.name
	if end.Reason != "" {
		out.Reason += ": " + end.Reason
	}
	return &out
}

// why returns what an answer says about itself.
func (l *looking) why(look *expression.Look) string {
	text, ok := l.Why.Text(look.Message())
	if !ok {
		text = "the answer refuses us"
	}
	return l.name + ": " + Clean(text)
}

package source

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// OAuth2 is a server that hands out tokens, and who we are there.
type OAuth2 struct {
	// The address of its token endpoint, https://.
	TokenURL expression.Template `yaml:"token_url,required"`

	// The name that the server knows us by.
	ClientID string `yaml:"client_id,required"`

	// The secret to it.
	ClientSecret setting.Secret `yaml:"client_secret,required"`

	// What the token is to allow. Default: what the server decides.
	Scopes []string `yaml:"scopes"`

	// Whom the token is for, as some servers want to know. Default: nothing is said.
	Audience string `yaml:"audience"`

	// How client_id and client_secret are sent: in the header field Authorization, or in the body.
	Auth string `yaml:"auth" default:"basic" enum:"basic,body"`

	// How long connecting, the TLS handshake and the answer may take, each; all together twice as long.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`
}

func (o *OAuth2) check(b *Before) error {
	var about *setting.FieldError
	if err := b.checkAddress(&o.TokenURL, []string{"host"}, "http", "https"); errors.As(err, &about) {
		return &setting.FieldError{Field: "token_url", Err: about.Err, Hint: about.Hint}
	}
	return nil
}

// request returns what asks for a token with the variable form.
func (o *OAuth2) request() *Request {
	return &Request{URL: o.TokenURL, Method: http.MethodPost, Body: formBody, Timeout: o.Timeout, Compression: "offer"}
}

// soon is how long before its end a token is replaced, at most; of one that lives shortly it is a tenth of its life.
const soon = time.Minute

// fetch asks for a token, and returns until when it is to be used; zero: the server did not say.
func (o *OAuth2) fetch(ctx context.Context, client *Client, vars map[string]any) (string, time.Time, error) {
	form, header := o.form()
	all := maps.Clone(vars)
	all["form"] = form.Encode()
	asked := time.Now()
	a, err := client.do(ctx, all, header, []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden})
	if err != nil {
		return "", time.Time{}, aboutToken(err)
	}
	defer a.Close()
	text, err := a.readAll(ctx, 2*o.Timeout, maxToken)
	if err != nil {
		return "", time.Time{}, aboutToken(err)
	}
	var answer struct {
		Token   string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Expires json.RawMessage `json:"expires_in"` // some write it as a text
		Error   string          `json:"error"`
		Why     string          `json:"error_description"`
	}
	err = json.Unmarshal(text, &answer)
	switch {
	case a.Status >= 300 || answer.Error != "":
		why := strings.Trim(answer.Error+": "+answer.Why, ": ")
		if secret := o.ClientSecret.Reveal(); secret != "" {
			why = strings.ReplaceAll(why, secret, "(secret)")
		}
		return "", time.Time{}, &EndError{Kind: EndHTTP, Code: max(a.Status, http.StatusBadRequest), Reason: "oauth2: " + Clean(why)}
	case err != nil, answer.Token == "":
		return "", time.Time{}, &EndError{Kind: EndProtocol, Reason: "oauth2: the answer has no access_token"}
	}
	var until time.Time
	if seconds, err := strconv.ParseFloat(strings.Trim(string(answer.Expires), `"`), 64); err == nil && seconds > 0 && seconds < 1e9 {
		life := time.Duration(seconds * float64(time.Second))
		until = asked.Add(life - min(soon, life/10))
	}
	return answer.Token, until, nil
}

// form returns what is sent: RFC 6749 §4.4.2, and §2.3.1, which escapes both parts of basic authentication.
func (o *OAuth2) form() (url.Values, http.Header) {
	form := url.Values{"grant_type": {"client_credentials"}}
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if len(o.Scopes) > 0 {
		form.Set("scope", strings.Join(o.Scopes, " "))
	}
	if o.Audience != "" {
		form.Set("audience", o.Audience)
	}
	if o.Auth == "body" {
		form.Set("client_id", o.ClientID)
		form.Set("client_secret", o.ClientSecret.Reveal())
		return form, header
	}
	basic := http.Request{Header: header}
	basic.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.ClientSecret.Reveal()))
	return form, header
}

// aboutToken says of an error that it is about the token.
func aboutToken(err error) error {
	return (&looking{name: "oauth2"}).told(err)
}

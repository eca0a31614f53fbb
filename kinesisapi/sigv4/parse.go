package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	timeForm  = "20060102T150405Z"
	dayForm   = "20060102"
)

// parts are what a request says of its signature.
type parts struct {
	query         bool // in the query, not in the header
	algorithm     string
	signature     string
	signedHeaders []string
	token         string
	date          time.Time // UTC
	dateHeader    string    // which header the date is from; empty: the query
	expires       time.Duration

	// of the credential
	accessKey, day, region, service, terminator string

	params []param // of the query
}

// parse reads the parts of the header or the query. If one is missing, the error names it in the words of AWS.
func parse(r *http.Request) (parts, error) {
	p := parts{params: parseQuery(r.URL.RawQuery)}
	header := r.Header.Get("Authorization")
	_, p.query = p.param("X-Amz-Algorithm")
	switch {
	case header == "" && !p.query:
		return p, &Error{CodeMissing, "Missing Authentication Token"}
	case header != "" && p.query:
		return p, &Error{CodeInvalid, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}
	case p.query:
		return p, p.fromQuery()
	}
	return p, p.fromHeader(r, header)
}

func (p *parts) fromHeader(r *http.Request, header string) error {
	name, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	fields := map[string]string{}
	for part := range strings.FieldsFuncSeq(rest, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }) {
		if key, value, ok := strings.Cut(part, "="); ok && fields[key] == "" {
			fields[key] = value
		}
	}
	date := r.Header.Get("X-Amz-Date")
	p.dateHeader = "x-amz-date"
	if date == "" {
		date, p.dateHeader = r.Header.Get("Date"), "date"
	}
	var missing strings.Builder
	for _, key := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[key] == "" {
			missing.WriteString("Authorization header requires '" + key + "' parameter. ")
		}
	}
	if date == "" {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if credential := fields["Credential"]; missing.Len() > 0 {
		_ = p.setCredential(credential) // Scope reads what is there
		return &Error{CodeIncomplete, missing.String() + "Authorization=" + header}
	}
	p.token = r.Header.Get("X-Amz-Security-Token")
	p.algorithm, p.signature, p.signedHeaders = name, fields["Signature"], strings.Split(fields["SignedHeaders"], ";")
	return p.set(fields["Credential"], date)
}

func (p *parts) fromQuery() error {
	values := map[string]string{}
	var missing strings.Builder
	for _, key := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if values[key], _ = p.param(key); values[key] == "" {
			missing.WriteString("AWS query-string parameters must include '" + key + "'. ")
		}
	}
	credential := values["X-Amz-Credential"]
	if missing.Len() > 0 {
		_ = p.setCredential(credential) // Scope reads what is there
		return &Error{CodeIncomplete, missing.String() + "Re-examine the query-string parameters."}
	}
	p.token, _ = p.param("X-Amz-Security-Token")
	p.algorithm, p.signature = values["X-Amz-Algorithm"], values["X-Amz-Signature"]
	p.signedHeaders = strings.Split(values["X-Amz-SignedHeaders"], ";")
	if err := p.set(credential, values["X-Amz-Date"]); err != nil {
		return err
	}
	text, given := p.param("X-Amz-Expires")
	if !given {
		return nil
	}
	seconds, err := time.ParseDuration(text + "s")
	if err != nil || strings.Trim(text, "0123456789") != "" {
		return &Error{CodeIncomplete, "X-Amz-Expires should be a number"}
	}
	p.expires = max(seconds, time.Nanosecond)
	return nil
}

// set reads the credential and the date.
func (p *parts) set(credential, date string) error {
	if err := p.setCredential(credential); err != nil {
		return err
	}
	if p.algorithm != algorithm {
		return &Error{CodeIncomplete, "Unsupported AWS 'algorithm': '" + p.algorithm + "'. "}
	}
	t, err := time.Parse(timeForm, date)
	if err != nil && p.dateHeader == "date" {
		t, err = http.ParseTime(date)
	}
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return &Error{CodeIncomplete, "Date must be in ISO-8601 'basic format'. Got '" + date + "'. See http://en.wikipedia.org/wiki/ISO_8601"}
	}
	p.date = t.UTC()
	return nil
}

func (p *parts) setCredential(s string) error {
	elements := strings.Split(s, "/")
	if len(elements) != 5 {
		return &Error{
			CodeIncomplete,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + s + "'",
		}
	}
	p.accessKey, p.day, p.region, p.service, p.terminator = elements[0], elements[1], elements[2], elements[3], elements[4]
	return nil
}

// checkTime refuses what was signed too long ago, or too far in the future.
func (p *parts) checkTime(now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	life, name := Tolerance, "15 min."
	if p.expires > 0 && p.expires < life {
		life, name = p.expires, p.expires.String()
	}
	at := p.date.Format(timeForm)
	switch oldest, newest := now.Add(-life), now.Add(Tolerance); {
	case p.date.Before(oldest):
		return &Error{CodeInvalid, "Signature expired: " + at + " is now earlier than " + oldest.Format(timeForm) +
			" (" + now.Format(timeForm) + " - " + name + ")"}
	case p.date.After(newest):
		return &Error{CodeInvalid, "Signature not yet current: " + at + " is still later than " + newest.Format(timeForm) +
			" (" + now.Format(timeForm) + " + 15 min.)"}
	}
	return nil
}

// checkSigned refuses requests of which something that decides is not signed. AWS's text is the one for the host; the others imitate it.
func (p *parts) checkSigned(r *http.Request) error {
	must := func(header string) error {
		if slices.Contains(p.signedHeaders, strings.ToLower(header)) {
			return nil
		}
		return &Error{CodeInvalid, "'" + header + "' must be a 'SignedHeader' in the AWS Authorization."}
	}
	if !slices.Contains(p.signedHeaders, ":authority") {
		if must("host") != nil {
			return must("Host' or ':authority")
		}
	}
	if p.dateHeader != "" {
		if err := must(p.dateHeader); err != nil {
			return err
		}
	}
	for _, header := range []string{"X-Amz-Target", "X-Amz-Security-Token"} {
		value := r.Header.Get(header)
		if value == "" {
			continue
		}
		// Signers move such headers into the query, which is signed as a whole.
		if moved, ok := p.param(header); ok && p.query && moved == value {
			continue
		}
		if err := must(header); err != nil {
			return err
		}
	}
	return nil
}

// param is one parameter of a query, decoded.
type param struct {
	key, value string
	bad        bool // its escapes are wrong
}

// parseQuery keeps everything, in order: what a parser drops would not be signed.
func parseQuery(raw string) []param {
	if raw == "" {
		return nil
	}
	var params []param
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		k, errKey := url.QueryUnescape(key)
		v, errValue := url.QueryUnescape(value)
		params = append(params, param{k, v, errKey != nil || errValue != nil})
	}
	return params
}

// param returns the first parameter with the name.
func (p *parts) param(key string) (string, bool) {
	for i := range p.params {
		if p.params[i].key == key {
			return p.params[i].value, true
		}
	}
	return "", false
}

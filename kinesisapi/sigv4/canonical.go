package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// canonical returns the canonical request, of which the signature is made. It is false for a request that has none: wrong escapes, or
// signed headers that are not in rising order in lower case.
//
//	method \n path \n query \n (header: values \n)… \n signed headers \n SHA-256 of the body
func (p *parts) canonical(r *http.Request, body []byte) ([]byte, bool) {
	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.URL.EscapedPath())
	b = append(b, '\n')
	b, ok := p.appendQuery(b)
	if !ok {
		return nil, false
	}
	b = append(b, '\n')
	for i, name := range p.signedHeaders {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= p.signedHeaders[i-1] {
			return nil, false
		}
		b = append(append(b, name...), ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, strings.Join(p.signedHeaders, ";")...)
	b = append(b, '\n')
	sum := sha256.Sum256(body)
	return hex.AppendEncode(b, sum[:]), true
}

// appendPath appends the path without empty segments, "." and "..", and escaped once more, as all services but S3 want it.
func appendPath(b []byte, escaped string) []byte {
	var kept []string
	for segment := range strings.SplitSeq(escaped, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, segment)
		}
	}
	for _, segment := range kept {
		b = appendEscaped(append(b, '/'), segment)
	}
	if len(kept) == 0 || strings.HasSuffix(escaped, "/") {
		b = append(b, '/')
	}
	return b
}

// appendQuery appends all parameters but the signature itself, sorted by escaped name and value.
func (p *parts) appendQuery(b []byte) ([]byte, bool) {
	pairs := make([][2]string, 0, len(p.params))
	for i := range p.params {
		if p.params[i].bad {
			return nil, false
		}
		if p.query && p.params[i].key == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{
			string(appendEscaped(nil, p.params[i].key)),
			string(appendEscaped(nil, p.params[i].value)),
		})
	}
	slices.SortFunc(pairs, func(x, y [2]string) int {
		if c := strings.Compare(x[0], y[0]); c != 0 {
			return c
		}
		return strings.Compare(x[1], y[1])
	})
	for i, pair := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, pair[0]...), '='), pair[1]...)
	}
	return b, true
}

// appendHeader appends the values of a header with a comma between them, trimmed, runs of spaces as one.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	values := r.Header.Values(name)
	switch {
	case name == "host" || name == ":authority":
		values = []string{r.Host}
	case name == "content-length" && len(values) == 0 && r.ContentLength >= 0: // net/http may keep it apart
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		value = strings.Trim(value, " \t")
		for j := range len(value) {
			if value[j] != ' ' || value[j-1] != ' ' {
				b = append(b, value[j])
			}
		}
	}
	return b
}

// appendEscaped escapes everything but letters, digits and - . _ ~.
func appendEscaped(b []byte, s string) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

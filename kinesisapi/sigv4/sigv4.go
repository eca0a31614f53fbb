// Package sigv4 verifies requests that are signed with AWS Signature Version 4, in the Authorization header or in the query.
//
// The body is always hashed. A request that was signed over UNSIGNED-PAYLOAD is refused, over TLS too: no client of Kinesis sends one,
// and TLS may end at a proxy in front of the server, behind which a body could be exchanged. X-Amz-Content-Sha256 is not needed.
//
// What decides about a request must be signed: host, date, operation (X-Amz-Target) and session token.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Verifier verifies signatures. Its fields must not be changed once it is in use; any number of goroutines may use it. It must not be
// copied.
type Verifier struct {
	// Keys are the accepted keys, by access key id.
	Keys map[string]Key

	// Service is the service of the credential scope. Empty: kinesis.
	Service string

	// Regions are the accepted regions. Empty: all, as the region is a name space.
	Regions []string

	cache keyCache
}

// Key is what belongs to an access key id.
type Key struct {
	Secret  string
	Token   string // session token that must come with the key; empty: none may
	Account string // empty: the access key id if it has 12 digits
}

// Identity says who sent a request, and for which region.
type Identity struct {
	AccessKey string
	Account   string // 12 digits, or empty: the default account
	Region    string // of the credential scope; empty: the default region, only from Scope
}

// Error is a refusal in the words of AWS.
type Error struct {
	Code    string // as in __type, such as InvalidSignatureException
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The codes of an Error.
const (
	CodeMissing    = "MissingAuthenticationTokenException"
	CodeIncomplete = "IncompleteSignatureException"
	CodeInvalid    = "InvalidSignatureException"
	CodeUnknownKey = "UnrecognizedClientException"
)

// Tolerance is how far the time of a signature may be from now, in both directions. X-Amz-Expires may shorten it.
const Tolerance = 15 * time.Minute

const (
	mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key " +
		"and signing method. Consult the service documentation for details."
	unknownKey = "The security token included in the request is invalid."
)

// Verify returns who signed r, whose body the caller has read. Every error is an *Error. r is as the server of net/http hands it over
// and is not changed.
func (v *Verifier) Verify(r *http.Request, body []byte) (Identity, error) {
	return v.verify(r, body, time.Now())
}

// Scope returns what a request says of itself, without verifying anything: for servers that only this machine can reach. The error is
// that of a request without its parts (*Error); the Identity is then as far as it could be read.
func Scope(r *http.Request) (Identity, error) {
	p, err := parse(r)
	id := Identity{AccessKey: p.accessKey, Account: accountOf(p.accessKey)}
	if validRegion(p.region) {
		id.Region = p.region
	}
	return id, err
}

func (v *Verifier) verify(r *http.Request, body []byte, now time.Time) (Identity, error) {
	p, err := parse(r)
	if err != nil {
		return Identity{}, err
	}
	if err := v.checkScope(&p); err != nil {
		return Identity{}, err
	}
	if err := p.checkTime(now); err != nil {
		return Identity{}, err
	}
	key, ok := v.Keys[p.accessKey]
	if !ok || subtle.ConstantTimeCompare([]byte(p.token), []byte(key.Token)) == 0 {
		return Identity{}, &Error{CodeUnknownKey, unknownKey}
	}
	if err := p.checkSigned(r); err != nil {
		return Identity{}, err
	}
	canonical, ok := p.canonical(r, body)
	if !ok || !v.signedWith(&p, key.Secret, canonical) {
		return Identity{}, &Error{CodeInvalid, mismatch}
	}
	id := Identity{AccessKey: p.accessKey, Account: key.Account, Region: p.region}
	if id.Account == "" {
		id.Account = accountOf(p.accessKey)
	}
	return id, nil
}

// checkScope refuses credentials for something else. AWS tells all that is wrong at once.
func (v *Verifier) checkScope(p *parts) error {
	var wrong strings.Builder
	if !validRegion(p.region) || len(v.Regions) > 0 && !slices.Contains(v.Regions, p.region) {
		wrong.WriteString("Credential should be scoped to a valid region. ")
	}
	service := v.Service
	if service == "" {
		service = "kinesis"
	}
	if p.service != service {
		wrong.WriteString("Credential should be scoped to correct service: '" + service + "'. ")
	}
	if p.terminator != "aws4_request" {
		wrong.WriteString("Credential should be scoped with a valid terminator: 'aws4_request', not '" + p.terminator + "'. ")
	}
	if day := p.date.Format(dayForm); p.day != day {
		wrong.WriteString("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			p.day + "' != '" + day + "', from '" + p.date.Format(timeForm) + "'. ")
	}
	if wrong.Len() > 0 {
		return &Error{CodeInvalid, wrong.String()}
	}
	return nil
}

// signedWith compares the signature with the one that the secret gives for the canonical request. Only keys that have verified
// something are kept.
func (v *Verifier) signedWith(p *parts, secret string, canonical []byte) bool {
	scope := p.day + "/" + p.region + "/" + p.service + "/" + p.terminator
	name := cacheKey{p.accessKey, scope}
	key, cached := v.cache.get(name)
	if !cached {
		key = signingKey(secret, p)
	}
	sum := sha256.Sum256(canonical)
	text := algorithm + "\n" + p.date.Format(timeForm) + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	// One text is right, as at AWS: the digits of a signature are lower case.
	if want := hex.EncodeToString(mac(key, text)); !hmac.Equal([]byte(p.signature), []byte(want)) {
		return false
	}
	if !cached {
		v.cache.put(name, key)
	}
	return true
}

func signingKey(secret string, p *parts) []byte {
	key := mac([]byte("AWS4"+secret), p.day)
	key = mac(key, p.region)
	key = mac(key, p.service)
	return mac(key, p.terminator)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// accountOf is a convention of test setups: an access key id of 12 digits is the number of the account.
func accountOf(accessKey string) string {
	if len(accessKey) != 12 || strings.Trim(accessKey, "0123456789") != "" {
		return ""
	}
	return accessKey
}

// validRegion reports whether a region can be a name space of streams.
func validRegion(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

package kinesis

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// The limits of a request, keys included.
const (
	maxRecords = 500
	maxRequest = 10 << 20
)

// answerTime is how long a request may take. After that its outcome is unknown.
const answerTime = 30 * time.Second

// wire sends PutRecords. The SDK would take five times as long to write a request; its signer and its credentials are used. All methods
// may be called by any number of goroutines.
type wire struct {
	client      sdk.HTTPClient
	url         string
	region      string
	json        bool
	credentials aws.CredentialsProvider
	signer      *v4.Signer
	bodies      sync.Pool // of *[]byte
}

// reply is an answer together with its memory.
type reply struct {
	answer
	body *[]byte
}

// put sends the entries and returns an outcome for each, or a *requestError. The reply is to be given back to release.
func (w *wire) put(ctx context.Context, stream string, entries []entry) (reply, error) {
	body := w.body()
	if w.json {
		*body = appendJSON(*body, stream, entries)
	} else {
		*body = appendCBOR(*body, stream, entries)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := w.request(ctx, *body)
	if err != nil {
		return reply{}, err
	}
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}))
	response, err := w.client.Do(req) // body is not used again after an error: it may still be read
	if err != nil {
		failed := &requestError{class: lost, message: strings.TrimPrefix(err.Error(), "Post \""+w.url+"\": ")}
		if !connected.Load() {
			failed.class = unreachable
		}
		return reply{}, failed
	}
	defer response.Body.Close()
	answer, err := w.read(response)
	if err != nil {
		return reply{}, err
	}
	w.bodies.Put(body)
	if len(answer.outcomes) != len(entries) {
		return reply{}, &requestError{class: lost, message: fmt.Sprintf("the answer tells of %d records, %d were sent", len(answer.outcomes), len(entries))}
	}
	return answer, nil
}

func (w *wire) body() *[]byte {
	if b, ok := w.bodies.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	return new(make([]byte, 0, 256<<10))
}

func (w *wire) release(r reply) {
	if r.body != nil {
		w.bodies.Put(r.body)
	}
}

func (w *wire) request(ctx context.Context, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	kind := "application/x-amz-cbor-1.1"
	if w.json {
		kind = "application/x-amz-json-1.1"
	}
	req.Header["Content-Type"] = []string{kind}
	req.Header["X-Amz-Target"] = []string{"Kinesis_20131202.PutRecords"}
	who, err := w.credentials.Retrieve(ctx)
	if err != nil {
		return nil, &requestError{class: refused, code: "credentials", message: err.Error()}
	}
	sum := sha256.Sum256(body)
	if err := w.signer.SignHTTP(ctx, who, req, hex.EncodeToString(sum[:]), "kinesis", w.region, time.Now()); err != nil {
		return nil, &requestError{class: refused, code: "credentials", message: err.Error()}
	}
	return req, nil
}

func (w *wire) read(response *http.Response) (reply, error) {
	body := w.body()
	buffer := bytes.NewBuffer(*body)
	if _, err := buffer.ReadFrom(io.LimitReader(response.Body, 4<<20)); err != nil {
		return reply{}, &requestError{class: lost, message: "read the answer: " + err.Error()}
	}
	*body = buffer.Bytes()
	parse := readJSON
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/x-amz-cbor") {
		parse = readCBOR
	}
	a, err := parse(*body)
	if response.StatusCode == http.StatusOK {
		if err != nil {
			return reply{}, &requestError{class: lost, message: err.Error()}
		}
		return reply{a, body}, nil
	}
	if a.kind == "" {
		a.kind = response.Header.Get("X-Amzn-Errortype")
	}
	if a.message == "" {
		a.message = response.Status
	}
	w.bodies.Put(body)
	return reply{}, &requestError{class: classify(a.kind, response.StatusCode), code: shortCode(a.kind), message: a.message}
}

// renew throws the credentials away, so that the next request fetches new ones.
func (w *wire) renew() {
	if known, ok := w.credentials.(interface{ Invalidate() }); ok {
		known.Invalidate()
	}
}

// class says what to do about an error. docs/adr/0009-kinesis-behind-a-spool.md has the table.
type class uint8

const (
	transient   class = iota // try again: nothing was stored
	lost                     // try again: what was sent may be stored
	unreachable              // try again: there was no connection, so nothing was sent
	throttled                // try again, slower
	unsigned                 // new credentials, then as refused
	refused                  // somebody must mend something; ask now and then
	unreadable               // the request itself is wrong: one of its records is
)

// String names the classes of failures that have no code of Kinesis.
func (c class) String() string {
	if c == unreachable {
		return "unreachable"
	}
	return "lost"
}

// requestError is the failure of a whole request.
type requestError struct {
	class   class
	code    string // as Kinesis calls it; empty: no answer came
	message string
}

func (e *requestError) Error() string {
	if e.code == "" {
		return e.message
	}
	return e.code + ": " + e.message
}

// failure returns err as a *requestError.
func failure(err error) *requestError {
	var failed *requestError
	if errors.As(err, &failed) {
		return failed
	}
	return &requestError{class: transient, message: err.Error()}
}

// shortCode returns the name of an error without what some servers write around it.
func shortCode(kind string) string {
	if _, after, ok := strings.Cut(kind, "#"); ok {
		kind = after
	}
	kind, _, _ = strings.Cut(kind, ":")
	return kind
}

func classify(kind string, status int) class {
	switch code := shortCode(kind); code {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException", "ThrottlingException",
		"Throttling", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown", "RequestThrottled":
		return throttled
	case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidSignatureException", "SignatureDoesNotMatch",
		"RequestExpired", "InvalidClientTokenId", "IncompleteSignature", "MissingAuthenticationTokenException", "IncompleteSignatureException":
		return unsigned
	case "ValidationException", "InvalidArgumentException", "SerializationException":
		return unreadable
	case "InternalFailure", "InternalFailureException", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException", "ResourceInUseException":
		return transient
	}
	switch {
	case status == http.StatusTooManyRequests:
		return throttled
	case status == http.StatusRequestEntityTooLarge:
		return unreadable
	case status >= 500:
		return transient
	}
	return refused
}

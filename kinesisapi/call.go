package kinesisapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat"
)

const (
	jsonType  = "application/x-amz-json-1.1"
	cborType  = "application/x-amz-cbor-1.1"
	plainType = "application/json"
	xmlType   = "application/xml"

	targetPrefix = "Kinesis_20131202."

	// maxBody holds a PutRecords of 10 MiB, which base64 makes 13.4 MiB of, and the JSON around it.
	maxBody = 20 << 20
	// largeBody is the size above which bodies take turns: only so many are in memory at a time, and so many answers.
	largeBody = 1 << 20
	maxLarge  = 16
	// maxDeadEnd is how much is read of a body that leads nowhere.
	maxDeadEnd = 64 << 10
	// maxKept is the size of buffers that are kept for later requests.
	maxKept = 16 << 20
)

// call is one request on its way through the checks.
type call struct {
	s       *Server
	w       http.ResponseWriter
	request *http.Request
	scratch *scratch
	keep    bool          // the scratch must not be used again
	turn    chan struct{} // where it holds a place: for large bodies, or for full answers

	now  time.Time
	body []byte
	cbor bool
	op   *operation
	in   value // the members, converted and validated

	region  string
	account string
	name    string // the stream that the request names

	status  int    // of the answer
	failure string // the type of the error that was answered
}

// scratch is memory that requests hand on to later ones.
type scratch struct {
	body   []byte
	data   []byte // payloads
	events []leat.Event
	out    []byte
}

func (m *scratch) reset() {
	clear(m.events)
	*m = scratch{body: trim(m.body), data: trim(m.data), events: m.events[:0], out: trim(m.out)}
}

func trim(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// operation is one entry of the API.
type operation struct {
	name  string
	input *shape

	// run answers with the members of the output; a null value is an empty body.
	run func(*call) (value, error)

	// answer, instead of run, appends the body of the answer to scratch.out, or writes the answer itself and returns errAnswered.
	answer func(*call) error

	// fast, where set, takes a body that nothing is unusual about, and reads it without the model. It reports false for every
	// other one, and must have changed nothing then.
	fast func(*call) bool
	// fastAnswer answers what fast has read.
	fastAnswer func(*call) error
}

// errAnswered says that the answer has been written.
var errAnswered = errors.New("answered")

func (c *call) ctx() context.Context { return c.request.Context() }

// steady is the context of changes, which are not left half done because the client is gone.
func (c *call) steady() context.Context { return context.WithoutCancel(c.request.Context()) }

// serve runs the checks in the order of AWS, each of which answers before the next one runs.
func (c *call) serve() {
	c.now = time.Now()
	h := c.w.Header()
	if !c.readBody() {
		c.status = http.StatusRequestEntityTooLarge
		c.w.WriteHeader(c.status)
		return
	}
	h["x-amzn-RequestId"] = []string{requestID()}
	if c.cors(h) {
		return
	}
	h["x-amz-id-2"] = []string{randomID()}
	if c.request.Method != http.MethodPost {
		c.accessDenied()
		return
	}
	content, _, _ := strings.Cut(c.request.Header.Get("Content-Type"), ";")
	content = strings.TrimSpace(content)
	target := c.request.Header.Get("X-Amz-Target")
	if name, found := strings.CutPrefix(target, targetPrefix); found {
		c.op = operations[name]
	}
	c.cbor = content == cborType
	switch {
	case len(c.body) == 0:
		c.cbor = content != jsonType
		c.fail(&apiError{Type: c.knownOr("SerializationException")})
	case content == jsonType, content == cborType:
		c.known()
	case content == plainType:
		c.deadEnd()
	default:
		if service, operation, _ := strings.Cut(target, "."); service != "" && operation != "" {
			c.write(http.StatusNotFound, xmlType, []byte("<UnknownOperationException/>\n"))
			return
		}
		c.accessDenied()
	}
}

// knownOr returns the type if the target is known, and otherwise the one that says that it is not.
func (c *call) knownOr(kind string) string {
	if c.op == nil {
		return "UnknownOperationException"
	}
	return kind
}

// readBody reports false if the body is too large. If it cannot be read, the connection is cut: no answer would be true, and whatever
// has the status 4xx would keep clients from trying again.
func (c *call) readBody() bool {
	size := c.request.ContentLength
	if size > maxBody {
		return false
	}
	if size >= 0 {
		if size > largeBody {
			c.takeTurn()
		}
		c.scratch.body = grow(c.scratch.body, int(size))[:size]
		_, err := io.ReadFull(c.request.Body, c.scratch.body)
		c.cutIf(err)
		c.body = c.scratch.body
		return true
	}
	body := bytes.NewBuffer(c.scratch.body[:0])
	n, err := body.ReadFrom(io.LimitReader(c.request.Body, largeBody))
	c.cutIf(err)
	if n == largeBody {
		c.takeTurn()
		_, err = body.ReadFrom(io.LimitReader(c.request.Body, maxBody+1-largeBody))
		c.cutIf(err)
	}
	c.scratch.body, c.body = body.Bytes(), body.Bytes()
	return len(c.body) <= maxBody
}

// takeTurn waits for a place for a large body.
func (c *call) takeTurn() {
	select {
	case c.s.large <- struct{}{}:
		c.turn = c.s.large
	case <-c.ctx().Done():
		c.cutIf(c.ctx().Err())
	}
}

// endTurn gives the place to another one.
func (c *call) endTurn() {
	if c.turn != nil {
		<-c.turn
		c.turn = nil
	}
}

// cutIf ends the request without an answer if there is an error: to return would be to answer 200, which is to say that a put is stored.
func (c *call) cutIf(err error) {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// grow returns b, empty, with room for n bytes.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, 0, n+n/4)
	}
	return b[:0]
}

// cors answers a preflight and reports that it did; other requests of a browser get the headers that let it read the answer. Without
// keys only pages of this machine are answered: any other one, wherever its name leads to, could read and delete every stream here, as
// browsers reach loopback.
func (c *call) cors(h http.Header) bool {
	origin := c.request.Header.Get("Origin")
	if origin == "" {
		return false
	}
	if c.s.cfg.Keys == nil && !ofThisMachine(origin) {
		c.accessDenied()
		return true
	}
	h.Set("Access-Control-Allow-Origin", "*")
	if c.request.Method != http.MethodOptions {
		h.Set("Access-Control-Expose-Headers",
			"x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date")
		return false
	}
	for asked, answer := range map[string]string{
		"Access-Control-Request-Headers": "Access-Control-Allow-Headers",
		"Access-Control-Request-Method":  "Access-Control-Allow-Methods",
	} {
		if v := c.request.Header.Get(asked); v != "" {
			h.Set(answer, v)
		}
	}
	h.Set("Access-Control-Max-Age", "172800")
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return true
}

// ofThisMachine reports whether a page comes from this machine.
func ofThisMachine(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// known goes on with a body of a content type that is served.
func (c *call) known() {
	if c.s.cfg.Keys != nil { // what strangers send is not worth the memory of its values
		if err := c.authorize(); err != nil {
			c.fail(err)
			return
		}
	}
	if c.op != nil && c.op.fast != nil && c.op.fast(c) {
		if err := c.authorize(); err != nil {
			c.fail(err)
			return
		}
		c.answer(c.op.fastAnswer)
		return
	}
	if err := c.parse(); err != nil {
		c.fail(&apiError{Type: "SerializationException"})
		return
	}
	if c.op == nil {
		c.fail(&apiError{Type: "UnknownOperationException"})
		return
	}
	if err := c.authorize(); err != nil {
		c.fail(err)
		return
	}
	if err := c.check(); err != nil {
		c.fail(err)
		return
	}
	c.answer(c.op.answerIn)
}

func (c *call) parse() (err error) {
	if c.cbor {
		c.in, err = parseCBOR(c.body)
	} else {
		c.in, err = parseJSON(c.body)
	}
	return err
}

func (c *call) check() error {
	if err := convert(&c.in, c.op.input); err != nil {
		return err
	}
	return validate(&c.in, c.op.input)
}

// answerIn runs the operation and appends its answer.
func (o *operation) answerIn(c *call) error {
	if o.answer != nil {
		return o.answer(c)
	}
	out, err := o.run(c)
	if err == nil && out.kind != kindNull {
		c.append(&out)
	}
	return err
}

func (c *call) answer(run func(*call) error) {
	err := c.s.cfg.Faults.strike(c)
	if err == nil {
		err = c.s.throttle.call(c)
	}
	if err == nil {
		err = c.s.ready(c.ctx())
	}
	if err == nil {
		err = run(c)
	}
	switch {
	case errors.Is(err, errAnswered):
	case err != nil:
		c.fail(c.api(err))
	default:
		c.write(http.StatusOK, c.contentType(), c.scratch.out)
	}
}

// append appends v to the answer.
func (c *call) append(v *value) {
	if c.cbor {
		c.scratch.out = appendCBOR(c.scratch.out, v)
		return
	}
	c.scratch.out = appendJSON(c.scratch.out, v)
}

func (c *call) contentType() string {
	if c.cbor {
		return cborType
	}
	return jsonType
}

// fail answers with an error of the API.
func (c *call) fail(err error) {
	var told *apiError
	if !errors.As(err, &told) {
		told = internal(err.Error())
	}
	c.failure = told.Type
	v := told.value()
	c.scratch.out = c.scratch.out[:0]
	c.append(&v)
	c.write(told.status(), c.contentType(), c.scratch.out)
}

// deadEnd answers a request of the type application/json, which AWS recognises and serves nowhere.
func (c *call) deadEnd() {
	status, kind := http.StatusNotFound, "UnknownOperationException"
	if _, err := parseJSON(c.body[:min(len(c.body), maxDeadEnd)]); err != nil {
		status, kind = http.StatusBadRequest, "SerializationException"
	}
	c.write(status, plainType, fmt.Appendf(nil, `{"Output":{"__type":"com.amazon.coral.service#%s"},"Version":"1.0"}`, kind))
}

func (c *call) accessDenied() {
	c.write(http.StatusForbidden, xmlType, []byte("<AccessDeniedException>\n"+
		"  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"))
}

func (c *call) write(status int, content string, body []byte) {
	h := c.w.Header()
	h["Content-Type"] = []string{content}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.status = status
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// told logs a request that has been answered. A subscription is logged at its end.
func (c *call) told() {
	if !c.s.log.Enabled(c.ctx(), slog.LevelDebug) {
		return
	}
	operation, status := "", c.status
	if c.op != nil {
		operation = c.op.name
	}
	if status == 0 {
		status = http.StatusOK // what has written itself
	}
	attrs := []slog.Attr{
		slog.String("operation", operation), slog.String("stream", c.name), slog.Int("status", status), slog.Int("bytes", len(c.body)),
		slog.Duration("took", time.Since(c.now).Round(time.Microsecond)),
	}
	if c.failure != "" {
		attrs = append(attrs, slog.String("error", c.failure))
	}
	c.s.log.LogAttrs(c.ctx(), slog.LevelDebug, "request", attrs...)
}

// requestID returns a random UUID.
func requestID() string {
	a, b := rand.Uint64(), rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, b>>50|0x8000, b&(1<<48-1))
}

// randomID returns 72 random bytes in base64.
func randomID() string {
	var raw [72]byte
	for i := 0; i < len(raw); i += 8 {
		binary.LittleEndian.PutUint64(raw[i:], rand.Uint64())
	}
	return base64.StdEncoding.EncodeToString(raw[:])
}

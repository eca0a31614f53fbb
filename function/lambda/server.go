package lambda

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/function"
)

// The Runtime API (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) below apiVersion:
//
//	GET  /runtime/invocation/next           waits for an event
//	POST /runtime/invocation/{id}/response  its answer
//	POST /runtime/invocation/{id}/error     its failure
//	POST /runtime/init/error                the function cannot be started
//
// aws-lambda-go takes nothing but 200 and 202 for success, and fails a call without a deadline.
const apiVersion = "/2018-06-01"

// maxDiscard bounds what is read of an answer that is too large, so that its runtime reads the refusal.
const maxDiscard = 64 << 20

// ServeHTTP implements http.Handler for the one process of the worker.
func (w *worker) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, apiVersion)
	id, isCall := strings.CutPrefix(path, "/runtime/invocation/")
	switch {
	case !w.local(r):
		refuse(out, http.StatusForbidden, "Forbidden", "not from the function")
	case r.Method == http.MethodGet && (path == "/ping" || r.URL.Path == "/ping"):
		_, _ = io.WriteString(out, "pong")
	case !ok:
		refuse(out, http.StatusNotFound, "NotFound", "no such path")
	case r.Method == http.MethodGet && path == "/runtime/invocation/next":
		w.next(out, r)
	case r.Method == http.MethodPost && path == "/runtime/init/error":
		w.initError(out, r)
	case r.Method == http.MethodPost && isCall && strings.HasSuffix(id, "/response"):
		w.response(out, r, strings.TrimSuffix(id, "/response"))
	case r.Method == http.MethodPost && isCall && strings.HasSuffix(id, "/error"):
		w.callError(out, r, strings.TrimSuffix(id, "/error"))
	default:
		refuse(out, http.StatusNotFound, "NotFound", "no such path")
	}
}

// next waits for an event without limit.
func (w *worker) next(out http.ResponseWriter, r *http.Request) {
	var c *call
	select {
	case c = <-w.calls:
	case <-r.Context().Done():
		return
	}
	c.lend()
	defer c.give()
	w.mu.Lock()
	w.current = c
	w.mu.Unlock()
	h := out.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(c.event)))
	h.Set("Lambda-Runtime-Aws-Request-Id", c.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(w.f.Config.Timeout).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", w.f.Config.functionARN())
	h.Set("Lambda-Runtime-Trace-Id", c.trace)
	if _, err := out.Write(c.event); err != nil {
		c.finish(func() { c.lost = true })
	}
}

// find returns the call with an id, if it is not over.
func (w *worker) find(id string) *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil || w.current.id != id {
		return nil
	}
	return w.current
}

// response takes an answer. It is judged when all of it is there, since a Go function that fails while it writes says so behind it.
func (w *worker) response(out http.ResponseWriter, r *http.Request, id string) {
	c := w.find(id)
	body, err := read(r, maxPayload)
	kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type")
	var ended bool
	switch {
	case c == nil:
	case errors.Is(err, errTooLarge):
		c.finish(func() {
			c.err = &function.Error{Type: "Function.ResponseSizeTooLarge", Message: "Response payload size exceeded maximum allowed payload size (" + strconv.Itoa(maxPayload) + " bytes)."}
		})
		refuse(out, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.Itoa(maxPayload)+" bytes).")
		return
	case err != nil: // the runtime is gone, or will fail
		refuse(out, http.StatusBadRequest, "InvalidRequest", "the answer broke off")
		return
	case kind != "":
		report, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body")) // what cannot be read is empty
		ended = c.finish(func() { c.err = errorOf(report, kind) })
	default:
		ended = c.finish(func() { c.body, c.answered = body, true })
	}
	accept(out, ended)
}

func (w *worker) callError(out http.ResponseWriter, r *http.Request, id string) {
	c := w.find(id)
	body, err := read(r, maxPayload)
	if c == nil || err != nil && !errors.Is(err, errTooLarge) {
		accept(out, false)
		return
	}
	kind := r.Header.Get("Lambda-Runtime-Function-Error-Type")
	accept(out, c.finish(func() { c.err, c.answered = errorOf(body, kind), true }))
}

func (w *worker) initError(out http.ResponseWriter, r *http.Request) {
	body, err := read(r, maxPayload)
	if err != nil && !errors.Is(err, errTooLarge) {
		refuse(out, http.StatusBadRequest, "InvalidRequest", "the report broke off")
		return
	}
	w.mu.Lock()
	w.initial = errorOf(body, r.Header.Get("Lambda-Runtime-Function-Error-Type"))
	w.mu.Unlock()
	accept(out, true)
}

var errTooLarge = errors.New("too large")

// read returns at most limit bytes of a body; the error of a larger one is errTooLarge.
func read(r *http.Request, limit int) ([]byte, error) {
	buf := make([]byte, 0, min(max(r.ContentLength+1, 512), int64(limit)+1))
	for {
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
			return buf[:limit], errTooLarge
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// accept answers that a report was taken, or that its call is unknown or over.
func accept(out http.ResponseWriter, ok bool) {
	if !ok {
		refuse(out, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(out, `{"status":"OK"}`+"\n")
}

func refuse(out http.ResponseWriter, status int, kind, message string) {
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(status)
	_, _ = io.WriteString(out, `{"errorMessage":"`+message+`","errorType":"`+kind+`"}`+"\n")
}

package lambda

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// api is a Runtime API without a process.
func api() *worker {
	f := &Function{}
	f.once.Do(f.setup)
	return &worker{f: f, address: "127.0.0.1:1234", calls: make(chan *call)}
}

func request(w *worker, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = w.address
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	out := httptest.NewRecorder()
	w.ServeHTTP(out, r)
	return out
}

// What aws-lambda-go and the other runtimes rely on.
func TestTheRuntimeAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := api()
		give := func() *call {
			c := newCall([]byte(`{"Records":[]}`))
			time.AfterFunc(24*time.Hour, func() { w.calls <- c }) // next waits without limit
			out := request(w, "GET", "/2018-06-01/runtime/invocation/next", "")
			h := out.Header()
			deadline, err := strconv.ParseInt(h.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
			if out.Code != http.StatusOK || out.Body.String() != string(c.event) || h.Get("Lambda-Runtime-Aws-Request-Id") != c.id || err != nil ||
				deadline != time.Now().Add(3*time.Second).UnixMilli() || h.Get("Lambda-Runtime-Trace-Id") != c.trace ||
				h.Get("Lambda-Runtime-Invoked-Function-Arn") != "arn:aws:lambda:us-east-1:000000000000:function:function" || h.Get("Content-Type") != "application/json" {
				t.Fatalf("next: %d %v %s", out.Code, h, out.Body)
			}
			return c
		}
		path := func(c *call, what string) string { return "/2018-06-01/runtime/invocation/" + c.id + "/" + what }
		wants := func(out *httptest.ResponseRecorder, code int, body string) {
			t.Helper()
			if out.Code != code || !strings.Contains(out.Body.String(), body) {
				t.Errorf("got %d %s, want %d with %q", out.Code, out.Body, code, body)
			}
		}
		c := give()
		wants(request(w, "POST", "/2018-06-01/runtime/invocation/other/response", "1"), 400, "InvalidRequestID")
		wants(request(w, "POST", path(c, "response"), `{"a":1}`), 202, `{"status":"OK"}`)
		<-c.done
		if string(c.body) != `{"a":1}` || c.err != nil || !c.answered || !c.returned() {
			t.Errorf("the answer %s, %v", c.body, c.err)
		}
		wants(request(w, "POST", path(c, "response"), `2`), 400, "InvalidRequestID")
		wants(request(w, "POST", path(c, "error"), `{}`), 400, "InvalidRequestID")
		if string(c.body) != `{"a":1}` {
			t.Errorf("an answer to a call that is over changed it to %s", c.body)
		}

		c = give()
		wants(request(w, "POST", path(c, "error"), `{"errorMessage":"m","errorType":"T","trace":["a",{"line":1}]}`, "Lambda-Runtime-Function-Error-Type", "H"), 202, "OK")
		<-c.done
		if c.err == nil || c.err.Error() != "T: m" || strings.Join(c.err.Stack, "|") != `a|{"line":1}` {
			t.Errorf("the error %+v", c.err)
		}

		c = give()
		wants(request(w, "POST", path(c, "response"), strings.Repeat("x", maxPayload+1)), 413, "RequestEntityTooLarge")
		<-c.done
		if c.err == nil || c.err.Type != "Function.ResponseSizeTooLarge" {
			t.Errorf("the error %+v", c.err)
		}

		wants(request(w, "POST", "/2018-06-01/runtime/init/error", `what is no JSON`, "Lambda-Runtime-Function-Error-Type", "Runtime.X"), 202, "OK")
		if w.initial == nil || w.initial.Error() != "Runtime.X: what is no JSON" {
			t.Errorf("the error of the start %v", w.initial)
		}
		wants(request(w, "GET", "/2018-06-01/ping", ""), 200, "pong")
		for _, other := range []string{"/", "/2018-06-01/runtime/invocation/x", "/2018-06-01/extension/register", "/2018-06-01/runtime/restore/next"} {
			wants(request(w, "POST", other, ""), 404, "NotFound")
		}
		wants(request(w, "GET", "/2018-06-01/runtime/invocation/next", "", "Origin", "https://page.example"), 403, "Forbidden")
		w.address = "127.0.0.1:4321"
		r := httptest.NewRequest(http.MethodGet, "/2018-06-01/runtime/invocation/next", nil)
		r.Host = "rebound.example:4321"
		out := httptest.NewRecorder()
		w.ServeHTTP(out, r)
		wants(out, 403, "Forbidden")
	})
}

func TestAnEventIsLentWhileItIsWritten(t *testing.T) {
	c := newCall(nil)
	if !c.returned() {
		t.Error("nobody has it")
	}
	c.lend()
	if c.returned() {
		t.Error("it may be written over while the server writes it")
	}
	c.give()
	if !c.returned() {
		t.Error("the server has written it")
	}
}

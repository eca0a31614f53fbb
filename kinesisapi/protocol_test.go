package kinesisapi_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/leatstream/leat/kinesisapi"
)

// raw calls the server as it is called by a client that may do everything wrong.
type raw struct {
	method, target, content, body string
	header                        map[string]string
	path                          string
}

func (r raw) send(s http.Handler) *httptest.ResponseRecorder {
	if r.method == "" {
		r.method = http.MethodPost
	}
	req := httptest.NewRequest(r.method, "/"+r.path, strings.NewReader(r.body))
	for name, v := range map[string]string{"X-Amz-Target": r.target, "Content-Type": r.content} {
		if v != "" {
			req.Header.Set(name, v)
		}
	}
	for name, v := range r.header {
		req.Header.Set(name, v)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

const (
	jsonType  = "application/x-amz-json-1.1"
	cborType  = "application/x-amz-cbor-1.1"
	plainType = "application/json"
	list      = "Kinesis_20131202.ListStreams"
)

// The names of headers as AWS spells them, which is not as net/http does.
var requestID, extendedID = "x-amzn-RequestId", "x-amz-id-2"

func signed() map[string]string {
	return map[string]string{"Authorization": authorization, "X-Amz-Date": "20261125T120000Z"}
}

// Every check answers before the next one runs, in the form that belongs to it.
func TestChecksInOrder(t *testing.T) {
	denied := "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"
	dead := func(kind string) string {
		return `{"Output":{"__type":"com.amazon.coral.service#` + kind + `"},"Version":"1.0"}`
	}
	for _, c := range []struct {
		name    string
		in      raw
		status  int
		content string
		body    string
	}{
		{"method", raw{method: "GET", target: list, content: jsonType, body: "{}"}, 403, "application/xml", denied},
		{"empty body, known", raw{target: list, content: jsonType}, 400, jsonType, `{"__type":"SerializationException"}`},
		{"empty body, unknown", raw{target: "x", content: jsonType}, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"empty body of any type is CBOR", raw{target: list, content: "text/plain"}, 400, cborType, `{"__type":"SerializationException"}`},
		{"empty body, no type", raw{}, 400, cborType, `{"__type":"UnknownOperationException"}`},
		{"content type, target", raw{target: "a.b", content: "text/plain", body: "{"}, 404, "application/xml", "<UnknownOperationException/>\n"},
		{"content type, no target", raw{content: "text/plain", body: "{"}, 403, "application/xml", denied},
		{"content type, half a target", raw{target: "Kinesis_20131202", content: "text/plain", body: "{"}, 403, "application/xml", denied},
		{"not an object", raw{target: list, content: jsonType, body: "[]", header: signed()}, 400, jsonType, `{"__type":"SerializationException"}`},
		{"not JSON", raw{target: "x", content: jsonType, body: "{"}, 400, jsonType, `{"__type":"SerializationException"}`},
		{"not CBOR", raw{target: list, content: cborType, body: "{}"}, 400, cborType, `{"__type":"SerializationException"}`},
		{"dead end", raw{target: list, content: plainType, body: "{}"}, 404, plainType, dead("UnknownOperationException")},
		{"dead end, broken", raw{target: list, content: plainType, body: "{"}, 400, plainType, dead("SerializationException")},
		{"unknown target", raw{target: "Kinesis_20131202.Nothing", content: jsonType, body: "{}"}, 400, jsonType, `{"__type":"UnknownOperationException"}`},
		{"no signature", raw{target: list, content: jsonType, body: `{"Limit":"x"}`}, 400, jsonType, `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{
			"half a signature",
			raw{target: list, content: cborType, body: "\xa0", header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=a", "X-Amz-Date": "20261125T120000Z"}},
			400, cborType, `{"__type":"IncompleteSignatureException","message":"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256 Credential=a"}`,
		},
		{"member type", raw{target: list, content: jsonType, body: `{"Limit":"x","ExclusiveStartStreamName":""}`, header: signed()}, 400, jsonType, `{"__type":"SerializationException","Message":"class java.lang.String can not be converted to an Integer"}`},
		{"parameters of the type", raw{target: list, content: jsonType + "; charset=utf-8", body: `{"Limit":1.9,"Unknown":[{}],"NextToken":null}`, path: "any/path", header: signed()}, 200, jsonType, `{"StreamNames":[],"HasMoreStreams":false,"StreamSummaries":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := c.in.send(newRig(t, kinesisapi.Config{}).server)
			body := rec.Body.String()
			if c.content == cborType {
				var err error
				if body, err = kinesisapi.FromCBOR(body); err != nil {
					t.Fatal(err)
				}
			}
			if got := rec.Header().Get("Content-Type"); rec.Code != c.status || got != c.content || body != c.body {
				t.Errorf("got %d %s %s\nwant %d %s %s", rec.Code, got, body, c.status, c.content, c.body)
			}
			uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
			if id := rec.Header()[requestID]; len(id) != 1 || !uuid.MatchString(id[0]) {
				t.Errorf("request id %q", id)
			}
			if id, err := base64.StdEncoding.DecodeString(rec.Header()[extendedID][0]); err != nil || len(id) != 72 {
				t.Errorf("x-amz-id-2 has %d bytes: %v", len(id), err)
			}
		})
	}
}

// A PutRecords of 10 MiB is taken, whatever its form makes of it; what is over 20 MiB has no body in the answer and no request id.
func TestBodyLimit(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":10240}`)
	data := base64.StdEncoding.EncodeToString(make([]byte, 1<<20-1))
	records := strings.TrimSuffix(strings.Repeat(`{"PartitionKey":"k","Data":"`+data+`"},`, 10), ",")
	r.must(t, "PutRecords", `{"StreamName":"s","Records":[`+records+`]}`)
	if answer, body := send(t, r.request(t, "PutRecords", strings.Repeat(" ", 20<<20+1))); answer.StatusCode != 413 || body != "" || answer.Header.Get("x-amzn-RequestId") != "" {
		t.Errorf("got %d %q", answer.StatusCode, body)
	}
	chunked := r.request(t, "PutRecords", "")
	chunked.Body, chunked.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 20<<20+1))), -1
	if answer, body := send(t, chunked); answer.StatusCode != 413 || body != "" {
		t.Errorf("got %d %q", answer.StatusCode, body)
	}
	chunked = r.request(t, "ListStreams", "")
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader("{}")), -1
	if answer, body := send(t, chunked); answer.StatusCode != 200 {
		t.Errorf("got %d %q", answer.StatusCode, body)
	}
}

func TestCORS(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	preflight := raw{method: http.MethodOptions, header: map[string]string{
		"Origin": "http://localhost:3000", "Access-Control-Request-Headers": "x-amz-target", "Access-Control-Request-Method": "POST",
	}}.send(r.server)
	want := map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "x-amz-target", "Access-Control-Allow-Methods": "POST",
		"Access-Control-Max-Age": "172800",
	}
	for name, v := range want {
		if got := preflight.Header().Get(name); got != v {
			t.Errorf("%s is %q, want %q", name, got, v)
		}
	}
	if preflight.Code != 200 || preflight.Body.Len() > 0 || preflight.Header()[extendedID] != nil || preflight.Header()[requestID] == nil {
		t.Errorf("preflight: %d %v", preflight.Code, preflight.Header())
	}
	header := signed()
	header["Origin"] = "http://localhost:3000"
	rec := raw{target: list, content: jsonType, body: "{}", header: header}.send(r.server)
	if rec.Code != 200 || rec.Header().Get("Access-Control-Allow-Origin") != "*" ||
		rec.Header().Get("Access-Control-Expose-Headers") != "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	if rec := (raw{method: http.MethodOptions, body: "{}"}).send(r.server); rec.Code != 403 {
		t.Errorf("OPTIONS without an origin: %d", rec.Code)
	}
}

// What the body is of another type than the model says, the answer names in the words of Java.
func TestSerializationExceptions(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	const big = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber"
	members := []struct {
		operation, member string
		texts             [5]string // of a boolean, a number, a string, a list, an object
	}{
		{"CreateStream", "StreamName", [5]string{"class java.lang.Boolean can not be converted to an String", big + " can not be converted to an String", "", "list", "structure"}},
		{"CreateStream", "ShardCount", [5]string{"class java.lang.Boolean can not be converted to an Integer", "", "class java.lang.String can not be converted to an Integer", "list", "structure"}},
		{"DeleteStream", "EnforceConsumerDeletion", [5]string{"", big + " can not be converted to an Boolean", "'ABC' can not be converted to an Boolean", "list", "structure"}},
		{"PutRecord", "Data", [5]string{"class java.lang.Boolean can not be converted to a Blob", big + " can not be converted to a Blob", "'abc' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3", "list", "structure"}},
		{"ListShards", "StreamCreationTimestamp", [5]string{"class java.lang.Boolean can not be converted to milliseconds since epoch", "", "class java.lang.String can not be converted to milliseconds since epoch", "list", "structure"}},
		{"PutRecords", "Records", [5]string{"Expected list or null", "Expected list or null", "Expected list or null", "", "structure"}},
		{"AddTagsToStream", "Tags", [5]string{"Expected map or null", "Expected map or null", "Expected map or null", "list", ""}},
		{"CreateStream", "StreamModeDetails", [5]string{"Expected null", "Expected null", "Expected null", "list", ""}},
	}
	values := [5]string{"true", "1", `"abc"`, "[]", "{}"}
	for _, m := range members {
		for i, want := range m.texts {
			switch want {
			case "list":
				want = "Start of list found where not expected"
			case "structure":
				want = "Start of structure or map found where not expected."
			}
			status, got := r.do(t, m.operation, fmt.Sprintf(`{%q:%s}`, m.member, values[i]))
			if want == "" {
				if strings.Contains(got, "SerializationException") {
					t.Errorf("%s %s: %s", m.member, values[i], got)
				}
				continue
			}
			if status != 400 || got != `{"__type":"SerializationException","Message":"`+want+`"}` {
				t.Errorf("%s %s:\n got %s\nwant %s", m.member, values[i], got, want)
			}
		}
	}
	for text, why := range map[string]string{
		"ab=c": "Invalid Base64 character: '='", "a-bc": "Invalid Base64 character: '-'", "YR==": "Invalid last non-pad Base64 character dectected",
	} {
		want := `{"__type":"SerializationException","Message":"'` + text + `' can not be converted to a Blob: ` + why + `"}`
		for _, body := range []string{`{"StreamName":"s","PartitionKey":"k","Data":"%s"}`, `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"%s"}]}`} {
			operation := "PutRecord"
			if strings.Contains(body, "Records") {
				operation = "PutRecords"
			}
			if _, got := r.do(t, operation, fmt.Sprintf(body, text)); got != want {
				t.Errorf("%s: %s", operation, got)
			}
		}
	}
}

// An integer is floored and clamped, as AWS does.
func TestIntegersAreFlooredAndClamped(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	for number, printed := range map[string]string{"0.9": "0", "-0.5": "-1", "1e300": "2147483647", "99999999999": "2147483647"} {
		_, got := r.do(t, "ListStreams", `{"Limit":`+number+`}`)
		if !strings.Contains(got, "Value '"+printed+"' at 'limit'") {
			t.Errorf("%s: %s", number, got)
		}
	}
}

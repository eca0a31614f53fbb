package sigv4

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	jsonType = "application/x-amz-json-1.1"
	body     = `{"StreamName":"orders"}`
)

var (
	noon     = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	verifier = &Verifier{Keys: map[string]Key{
		"AKID":         {Secret: "secret", Account: "111111111111"},
		"222222222222": {Secret: "other"},
		"ASIA":         {Secret: "third", Token: "session"},
	}}
	akid = aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
)

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func unsigned(url, body string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", jsonType)
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.DescribeStream")
	return r
}

func sign(r *http.Request, c aws.Credentials, body, service, region string) *http.Request {
	if err := v4.NewSigner().SignHTTP(context.Background(), c, r, hash(body), service, region, noon); err != nil {
		panic(err)
	}
	return r
}

// sent returns a request as a server reads it, and its body.
func sent(t testing.TB, r *http.Request) (*http.Request, []byte) {
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got, b
}

// refused checks for an error whose text is, or begins with, the one given.
func refused(t *testing.T, name string, err error, want string) {
	t.Helper()
	e := (*Error)(nil)
	if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), want) {
		t.Errorf("%s: got %v, want %s", name, err, want)
	}
}

func TestVerifiesWhatTheSDKSigns(t *testing.T) {
	for _, url := range []string{
		"http://kinesis.us-west-2.amazonaws.com/", "http://localhost:4567", "http://h/a%20b/%C3%A9/c/", "http://h/%25/?b=2&a=1&a=0&empty=&sp=a+b&p=%2B",
		"http://h/?X=1&x=2&%C3%A9=%2F",
	} {
		for _, id := range []struct {
			c       aws.Credentials
			account string
		}{
			{akid, "111111111111"},
			{aws.Credentials{AccessKeyID: "222222222222", SecretAccessKey: "other"}, "222222222222"},
			{aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "third", SessionToken: "session"}, ""},
		} {
			for _, body := range []string{"", body} {
				r := unsigned(url, body)
				r.Header.Set("X-Amz-Spaces", "  a   b  c ")
				r.Header["X-Amz-Twice"] = []string{"one", "two"}
				r, b := sent(t, sign(r, id.c, body, "kinesis", "us-west-2"))
				got, err := verifier.verify(r, b, noon.Add(time.Minute))
				if err != nil || got != (Identity{AccessKey: id.c.AccessKeyID, Account: id.account, Region: "us-west-2"}) {
					t.Errorf("%s %s: %+v, %v", url, id.c.AccessKeyID, got, err)
				}
			}
		}
	}
}

func TestVerifiesPresignedURLs(t *testing.T) {
	for _, hoist := range []bool{false, true} {
		for _, c := range []aws.Credentials{akid, {AccessKeyID: "ASIA", SecretAccessKey: "third", SessionToken: "session"}} {
			r := unsigned("http://localhost/?b=1&a=2", body)
			link, headers, err := v4.NewSigner().PresignHTTP(t.Context(), c, r, hash(body), "kinesis", "eu-west-1", noon,
				func(o *v4.SignerOptions) { o.DisableHeaderHoisting = !hoist })
			if err != nil {
				t.Fatal(err)
			}
			presigned := unsigned(link, body)
			for name, values := range headers {
				presigned.Header[name] = values
			}
			got, b := sent(t, presigned)
			id, err := verifier.verify(got, b, noon)
			if err != nil || id.AccessKey != c.AccessKeyID || id.Region != "eu-west-1" {
				t.Errorf("hoisting %v, %s: %+v, %v", hoist, c.AccessKeyID, id, err)
			}
			for _, change := range []func(*http.Request){
				func(r *http.Request) { r.Header.Set("X-Amz-Target", "Kinesis_20131202.DeleteStream") },
				func(r *http.Request) { r.URL.RawQuery += "&c=3" },
				func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "a=2", "a=3", 1) },
				func(r *http.Request) { r.Host = "elsewhere" },
				func(r *http.Request) { r.URL.Path = "/other" },
				func(r *http.Request) { r.Method = "PUT" },
			} {
				changed := got.Clone(t.Context())
				change(changed)
				if _, err := verifier.verify(changed, b, noon); err == nil {
					t.Errorf("hoisting %v: a changed request verifies: %s %s", hoist, changed.Method, changed.URL)
				}
			}
			_, err = verifier.verify(got, b, noon.Add(Tolerance+time.Second))
			refused(t, "late", err, CodeInvalid+": Signature expired: ")
		}
	}
}

// X-Amz-Expires makes a presigned URL good for a shorter time, never for a longer one.
func TestExpiresOnlyShortens(t *testing.T) {
	for _, tc := range []struct {
		expires     string
		after, good time.Duration
	}{{"60", 61 * time.Second, time.Minute}, {"604800", Tolerance + time.Second, Tolerance}} {
		r := unsigned("http://localhost/?X-Amz-Expires="+tc.expires, body)
		link, _, err := v4.NewSigner().PresignHTTP(t.Context(), akid, r, hash(body), "kinesis", "eu-west-1", noon)
		if err != nil {
			t.Fatal(err)
		}
		got, b := sent(t, unsigned(link, body))
		if _, err := verifier.verify(got, b, noon.Add(tc.good)); err != nil {
			t.Error(tc.expires, err)
		}
		_, err = verifier.verify(got, b, noon.Add(tc.after))
		refused(t, tc.expires, err, CodeInvalid+": Signature expired: 20261125T120000Z is now earlier than ")
	}
}

func TestAnyChangeIsRefused(t *testing.T) {
	original, b := sent(t, sign(unsigned("http://localhost/?a=1", body), akid, body, "kinesis", "us-west-2"))
	changes := map[string]func(*http.Request){
		"method":          func(r *http.Request) { r.Method = "GET" },
		"path":            func(r *http.Request) { r.URL.Path = "/x" },
		"query":           func(r *http.Request) { r.URL.RawQuery = "a=2" },
		"query added":     func(r *http.Request) { r.URL.RawQuery = "a=1&b" },
		"query semicolon": func(r *http.Request) { r.URL.RawQuery = "a=1;b=2" },
		"query escapes":   func(r *http.Request) { r.URL.RawQuery = "a=1&%zz" },
		"host":            func(r *http.Request) { r.Host = "localhost:80" },
		"second target":   func(r *http.Request) { r.Header.Add("X-Amz-Target", "x") },
		"target gone":     func(r *http.Request) { r.Header.Del("X-Amz-Target") },
		"token added":     func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") },
		"signature":       replace("Signature=", "Signature=0"),
		"signature empty": func(r *http.Request) {
			head, _, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", head+"Signature=zz")
		},
		"signed headers":        replace("content-length;", ""),
		"signed headers double": replace("host;", "host;host;"),
		"signed headers upper":  replace("=content-length;", "=Content-Length;"),
		"host not signed":       replace("host;", ""),
		"target not signed":     replace(";x-amz-target", ""),
		"date not signed":       replace(";x-amz-date", ""),
		"key":                   replace("AKID", "222222222222"),
		"no such key":           replace("AKID", "AKIE"),
		"region":                replace("us-west-2", "us-east-1"),
		"region of spaces":      replace("us-west-2", "US"),
		"service":               replace("/kinesis/", "/dynamodb/"),
		"terminator":            replace("aws4_request", "aws5_request"),
		"day":                   replace("20261125/", "20261124/"),
		"algorithm":             replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
	}
	for name := range original.Header {
		if name == "Authorization" || name == "User-Agent" {
			continue
		}
		changes["header "+name] = func(r *http.Request) { r.Header.Set(name, r.Header.Get(name)+"1") }
	}
	if _, err := verifier.verify(original, b, noon); err != nil {
		t.Fatal(err)
	}
	for name, change := range changes {
		r := original.Clone(t.Context())
		change(r)
		if id, err := verifier.verify(r, b, noon); err == nil || id != (Identity{}) {
			t.Errorf("%s changed: it verifies as %+v", name, id)
		}
	}
	for _, b := range []string{"", body + " ", strings.ToUpper(body)} {
		_, err := verifier.verify(original, []byte(b), noon)
		refused(t, "body", err, CodeInvalid+": The request signature we calculated does not match")
	}
}

func replace(what, with string) func(*http.Request) {
	return func(r *http.Request) {
		h := r.Header.Get("Authorization")
		if !strings.Contains(h, what) {
			panic(what + " is not in " + h)
		}
		r.Header.Set("Authorization", strings.Replace(h, what, with, 1))
	}
}

func TestSignatureInCapitalsIsRefused(t *testing.T) {
	r := sign(unsigned("http://h/", body), akid, body, "kinesis", "us-west-2")
	head, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	r.Header.Set("Authorization", head+"Signature="+strings.ToUpper(signature))
	if _, err := verifier.verify(r, []byte(body), noon); err == nil {
		t.Fatal("verified")
	}
}

func TestUnsignedPayloadIsRefused(t *testing.T) {
	r := unsigned("http://localhost/", body)
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	if err := v4.NewSigner().SignHTTP(t.Context(), akid, r, "UNSIGNED-PAYLOAD", "kinesis", "us-west-2", noon); err != nil {
		t.Fatal(err)
	}
	got, b := sent(t, r)
	_, err := verifier.verify(got, b, noon)
	refused(t, "unsigned payload", err, CodeInvalid+": "+mismatch)
}

func TestTextsOfTimesAndScopes(t *testing.T) {
	r, b := sent(t, sign(unsigned("http://localhost/", body), akid, body, "kinesis", "us-west-2"))
	for _, ok := range []time.Duration{-Tolerance, 0, Tolerance} {
		if _, err := verifier.verify(r, b, noon.Add(ok)); err != nil {
			t.Error(ok, err)
		}
	}
	_, err := verifier.verify(r, b, noon.Add(Tolerance+time.Second))
	refused(t, "late", err, CodeInvalid+": Signature expired: 20261125T120000Z is now earlier than 20261125T120001Z (20261125T121501Z - 15 min.)")
	_, err = verifier.verify(r, b, noon.Add(-Tolerance-time.Second))
	refused(t, "early", err, CodeInvalid+": Signature not yet current: 20261125T120000Z is still later than 20261125T115959Z (20261125T114459Z + 15 min.)")

	r, b = sent(t, sign(unsigned("http://localhost/", body), akid, body, "dynamodb", "us-west-2"))
	_, err = verifier.verify(r, b, noon)
	refused(t, "service", err, CodeInvalid+": Credential should be scoped to correct service: 'kinesis'. ")
	one := &Verifier{Keys: verifier.Keys, Regions: []string{"eu-west-1"}}
	r, b = sent(t, sign(unsigned("http://localhost/", body), akid, body, "kinesis", "us-west-2"))
	_, err = one.verify(r, b, noon)
	refused(t, "region", err, CodeInvalid+": Credential should be scoped to a valid region. ")
	for _, c := range []aws.Credentials{
		{AccessKeyID: "NONE", SecretAccessKey: "secret"},
		{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "session"},
		{AccessKeyID: "ASIA", SecretAccessKey: "third"},
		{AccessKeyID: "ASIA", SecretAccessKey: "third", SessionToken: "sessiom"},
	} {
		r, b = sent(t, sign(unsigned("http://localhost/", body), c, body, "kinesis", "us-west-2"))
		_, err = verifier.verify(r, b, noon)
		refused(t, c.AccessKeyID+c.SessionToken, err, CodeUnknownKey+": The security token included in the request is invalid.")
	}
}

func TestTextsOfMissingParts(t *testing.T) {
	const noDate = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
	needs := func(part string) string { return "Authorization header requires '" + part + "' parameter. " }
	all := needs("Credential") + needs("Signature") + needs("SignedHeaders")
	for _, tc := range []struct{ url, header, date, want string }{
		{"/", "", "", CodeMissing + ": Missing Authentication Token"},
		{
			"/?X-Amz-Algorithm=x", "a", "",
			CodeInvalid + ": Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
		},
		{"/", "Basic abc", "", CodeIncomplete + ": " + all + noDate + "Authorization=Basic abc"},
		{"/", algorithm + " Credential=a,Signature=b", "x", CodeIncomplete + ": " + needs("SignedHeaders") + "Authorization=" + algorithm + " Credential=a,Signature=b"},
		{"/", algorithm + " Credential=a,Signature=b,SignedHeaders=c", "x", CodeIncomplete + ": Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a'"},
		{"/", algorithm + " Credential=a/b/c/d/e,Signature=b,SignedHeaders=c", "x", CodeIncomplete + ": Date must be in ISO-8601 'basic format'. Got 'x'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"/", "AWS5 Credential=a/b/c/d/e,Signature=b,SignedHeaders=c", "x", CodeIncomplete + ": Unsupported AWS 'algorithm': 'AWS5'. "},
		{
			"/?X-Amz-Algorithm", "", "", CodeIncomplete + ": AWS query-string parameters must include 'X-Amz-Algorithm'. " +
				"AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. " +
				"AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. " +
				"Re-examine the query-string parameters.",
		},
		{"/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-SignedHeaders=c&X-Amz-Date=d", "", "", CodeIncomplete + ": AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters."},
	} {
		r := httptest.NewRequest(http.MethodPost, tc.url, nil)
		r.Header.Set("Authorization", tc.header)
		r.Header.Set("X-Amz-Date", tc.date)
		_, err := verifier.Verify(r, nil)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s %s:\ngot  %v\nwant %s", tc.url, tc.header, err, tc.want)
		}
	}
}

// A Date header is as good as X-Amz-Date, in both forms, if it is signed.
func TestDateHeader(t *testing.T) {
	for _, date := range []string{"20261125T120000Z", "Wed, 25 Nov 2026 12:00:00 GMT"} {
		r := httptest.NewRequest(http.MethodPost, "http://h/", nil)
		r.Header.Set("Date", date)
		p := parts{day: "20261125", region: "r", service: "kinesis", terminator: "aws4_request", date: noon, signedHeaders: []string{"date", "host"}}
		canonical, _ := p.canonical(r, nil)
		sum := sha256.Sum256(canonical)
		signature := hex.EncodeToString(mac(signingKey("secret", &p), algorithm+"\n20261125T120000Z\n20261125/r/kinesis/aws4_request\n"+hex.EncodeToString(sum[:])))
		r.Header.Set("Authorization", algorithm+" Credential=AKID/20261125/r/kinesis/aws4_request,SignedHeaders=date;host,Signature="+signature)
		if _, err := verifier.verify(r, nil, noon); err != nil {
			t.Error(date, err)
		}
	}
}

func TestScopeBelievesTheHeader(t *testing.T) {
	r := sign(unsigned("http://h/", body), aws.Credentials{AccessKeyID: "333333333333", SecretAccessKey: "any"}, body, "kinesis", "eu-north-1")
	if id, err := Scope(r); err != nil || id != (Identity{"333333333333", "333333333333", "eu-north-1"}) {
		t.Errorf("%+v, %v", id, err)
	}
	r.Header.Set("Authorization", algorithm+" Credential=test/2026/../kinesis/aws4_request")
	if id, err := Scope(r); err == nil || id != (Identity{AccessKey: "test"}) {
		t.Errorf("%+v, %v", id, err)
	}
	if id, err := Scope(unsigned("http://h/", body)); err == nil || id != (Identity{}) {
		t.Errorf("%+v, %v", id, err)
	}
}

// Over both versions of HTTP the server's requests are those that were signed.
func TestRequestsOfARealServer(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if _, err := verifier.verify(r, b, noon); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, major := range []int{1, 2} {
		transport := server.Client().Transport.(*http.Transport).Clone()
		if major == 1 {
			transport.Protocols = new(http.Protocols)
			transport.Protocols.SetHTTP1(true)
			transport.TLSClientConfig.NextProtos = nil
		}
		got, err := transport.RoundTrip(sign(unsigned(server.URL+"/a%20b?x=y+z", body), akid, body, "kinesis", "us-west-2"))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(got.Body)
		got.Body.Close()
		transport.CloseIdleConnections()
		if got.StatusCode != http.StatusOK || got.ProtoMajor != major {
			t.Errorf("HTTP/%d: %s, %s", major, got.Status, text)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	v := &Verifier{Keys: verifier.Keys}
	for i := range 3 * cacheSize {
		r, b := sent(t, sign(unsigned("http://h/", body), akid, body, "kinesis", fmt.Sprintf("region-%d", i)))
		if _, err := v.verify(r, b, noon); err != nil {
			t.Fatal(err)
		}
		if n := len(v.cache.keys); n == 0 || n > cacheSize {
			t.Fatalf("%d keys are kept", n)
		}
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "region-", "forged-", 1))
		if _, err := v.verify(r, b, noon); err == nil {
			t.Fatal("verified")
		}
		if _, kept := v.cache.get(cacheKey{"AKID", fmt.Sprintf("20261125/forged-%d/kinesis/aws4_request", i)}); kept {
			t.Fatal("the key of a refused request is kept")
		}
	}
}

// FuzzVerify reads whole requests. What verifies must have the signature that the signer of the SDK gives it.
func FuzzVerify(f *testing.F) {
	add := func(r *http.Request) {
		var wire bytes.Buffer
		_ = r.Write(&wire)
		f.Add(wire.Bytes())
	}
	add(unsigned("http://h/", body))
	add(sign(unsigned("http://h/", body), akid, body, "kinesis", "us-west-2"))
	add(sign(unsigned("http://h/a%20b/?a=1", ""), aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "third", SessionToken: "session"}, "", "kinesis", "r"))
	link, _, err := v4.NewSigner().PresignHTTP(f.Context(), akid, unsigned("http://h/?X-Amz-Expires=60", body), hash(body), "kinesis", "us-west-2", noon)
	if err != nil {
		f.Fatal(err)
	}
	add(unsigned(link, body))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = Scope(r)
		id, err := verifier.verify(r, b, noon)
		if err != nil {
			return
		}
		p, _ := parse(r)
		if want, same := again(&p, r, b, id); same && want != p.signature {
			t.Fatalf("verified %q with %s, the SDK signs %s", wire, p.signature, want)
		}
	})
}

// again returns the signature of the SDK for what of r is signed. It is false where the SDK signs in another way: paths that are not
// clean, headers that it leaves out.
func again(p *parts, r *http.Request, body []byte, id Identity) (string, bool) {
	u := &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	clean := &http.Request{Method: r.Method, URL: u, Host: r.Host, Header: http.Header{}}
	for _, name := range p.signedHeaders {
		switch name {
		case "host":
		case "content-length":
			clean.ContentLength = int64(len(body))
		default:
			if len(r.Header.Values(name)) == 0 {
				return "", false
			}
			clean.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	if p.query || strings.Contains(u.EscapedPath(), "//") || strings.Contains(u.EscapedPath(), "/.") || p.dateHeader == "date" {
		return "", false
	}
	c := aws.Credentials{AccessKeyID: id.AccessKey, SecretAccessKey: verifier.Keys[id.AccessKey].Secret, SessionToken: p.token}
	if v4.NewSigner().SignHTTP(context.Background(), c, clean, hash(string(body)), "kinesis", id.Region, p.date) != nil {
		return "", false
	}
	signed, err := parse(clean)
	return signed.signature, err == nil && strings.Join(signed.signedHeaders, ";") == strings.Join(p.signedHeaders, ";")
}

func BenchmarkVerify(b *testing.B) {
	r, raw := sent(b, sign(unsigned("http://h/", body), akid, body, "kinesis", "us-west-2"))
	for b.Loop() {
		if _, err := verifier.verify(r, raw, noon); err != nil {
			b.Fatal(err)
		}
	}
}

package kinesisapi_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream/local"
)

// rig is a server over an engine in memory, and a client of it.
type rig struct {
	engine *local.Engine
	server *kinesisapi.Server
	client *kinesis.Client
	url    string
}

func newRig(t testing.TB, cfg kinesisapi.Config) *rig {
	t.Helper()
	return newRigOn(t, vfs.NewMem(), cfg)
}

// newRigOn is newRig with the data on fs, where those of an earlier rig may be.
func newRigOn(t testing.TB, fs vfs.FS, cfg kinesisapi.Config) *rig {
	t.Helper()
	engine, err := local.Open("data", local.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return serve(t, engine, cfg)
}

func serve(t testing.TB, engine *local.Engine, cfg kinesisapi.Config) *rig {
	t.Helper()
	cfg.Engine, cfg.Admin = engine, engine
	server, err := kinesisapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	return &rig{engine: engine, server: server, client: clientOf(web.URL, "us-east-1"), url: web.URL}
}

func clientOf(url, region string) *kinesis.Client {
	return clientWith(url, region, "AKIDEXAMPLE", "secret")
}

// clientWith returns a client with a signer of its own: the signer keeps keys by their id.
func clientWith(url, region, id, secret string) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(url), Region: region, RetryMaxAttempts: 1, HTTPClient: whole{&http.Client{}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		}),
	})
}

const authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261125/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"

// request makes a request as a client would, with a signature that nobody checks.
func (r *rig) request(t testing.TB, operation, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	req.Header.Set("Authorization", authorization)
	req.Header.Set("X-Amz-Date", "20261125T120000Z")
	return req
}

// send returns status and body of the answer to req.
func send(t testing.TB, req *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// do calls an operation with JSON.
func (r *rig) do(t testing.TB, operation, body string) (int, string) {
	t.Helper()
	answer, text := send(t, r.request(t, operation, body))
	return answer.StatusCode, text
}

// must is do, and fails the test unless the answer is one of success.
func (r *rig) must(t testing.TB, operation, body string) string {
	t.Helper()
	status, text := r.do(t, operation, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", operation, body, status, text)
	}
	return text
}

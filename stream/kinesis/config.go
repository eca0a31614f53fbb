package kinesis

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/logging"

	"github.com/leatstream/leat/internal/setting"
)

// Config says which Kinesis, and how it is written and read. What is not said comes from where every AWS program takes it: the
// variables AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_KINESIS and so on, the files in ~/.aws, the role of the machine.
type Config struct {
	// The region, such as eu-west-1. Default: as every AWS program finds it.
	Region string `yaml:"region"`

	// The profile of the AWS configuration files. Default: AWS_PROFILE, or the default profile.
	Profile string `yaml:"profile"`

	// The URL of the service, such as http://127.0.0.1:4566 for one that is not AWS. Default: AWS_ENDPOINT_URL_KINESIS, or the
	// endpoint of the region.
	Endpoint string `yaml:"endpoint"`

	// The access key, for a service that is not AWS. Default: as every AWS program finds its credentials.
	AccessKey string `yaml:"access_key"`

	// The secret of access_key.
	SecretKey setting.Secret `yaml:"secret_key"`

	// How long a source waits for Kinesis to take its events. After that they stay on the local disk until Kinesis takes them, and the source goes
	// on: they are durable there. While Kinesis is behind nobody waits. "off": never wait.
	Wait time.Duration `yaml:"wait" default:"1s"`

	// How many bytes of keys and payloads may lie on the local disk that Kinesis has not taken. Beyond that sources wait.
	Spool setting.Size `yaml:"spool" default:"10GiB" min:"16MiB"`

	// key: at most one record of a partition key is on its way at a time, so that records of a key keep their order whatever Kinesis refuses.
	// none: records are sent as fast as they come, and what Kinesis refuses lands behind later records of its key.
	Order string `yaml:"order" default:"key" enum:"key,none"`

	// auto: no more than Kinesis takes is sent to a shard, 1,000 records and 1 MiB in a second, and less while it refuses; to an
	// on-demand stream as much as it takes. Readers of a shard ask five times in a second, together. off: as fast as possible.
	Pace string `yaml:"pace" default:"auto" enum:"auto,off"`

	// How many requests to one stream are on their way at the same time.
	Requests int `yaml:"requests" default:"16" min:"1" max:"256"`

	// Whether to put many events into one Kinesis record, as the Kinesis Producer Library does. It is cheaper, and the only way to send many
	// events of one key in a second, but every reader of the stream must know the format; Leat and the Kinesis Client Library do.
	Aggregate bool `yaml:"aggregate"`

	// How requests are written: cbor is what the Java SDK speaks and costs less, json is what every service knows. auto: cbor to AWS, json
	// to an endpoint of another service.
	Format string `yaml:"format" default:"auto" enum:"auto,cbor,json"`

	// Reads by enhanced fan-out: the name under which consumers are registered, NAME-1 and so on, one for each reader of a shard. Each has
	// its own share of throughput, and its own price. Default: reads by polling, which all readers of a shard share.
	FanOut string `yaml:"fan_out"`

	// Whether to make streams that do not exist. Default: no, they cost money; their events wait on the local disk.
	Create bool `yaml:"create"`

	// Streams are the names of the streams that are in Kinesis; all others are in the house. Empty: all are in Kinesis whose
	// names have no "/".
	Streams []string `yaml:"-"`

	// Passing says that the house is in memory: what waits or is refused is gone with the process, and no message says that it is kept.
	Passing bool `yaml:"-"`

	// Remember is how long the house keeps events after they were forwarded, so that a source finds their identities.
	Remember time.Duration `yaml:"-"`

	// Transport replaces that of HTTP. Nil: one that keeps as many connections as there are requests.
	Transport http.RoundTripper `yaml:"-"`

	// Log is where news goes. Nil: slog.Default.
	Log *slog.Logger `yaml:"-"`
}

// Elsewhere marks an engine whose streams are not in the data directory, so that package config refuses to serve them from there.
func (c *Config) Elsewhere() {}

// load returns the configuration of the SDK.
func (c *Config) load(ctx context.Context) (aws.Config, error) {
	var options []func(*awsconfig.LoadOptions) error
	if c.Region != "" {
		options = append(options, awsconfig.WithRegion(c.Region))
	}
	if c.Profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(c.Profile))
	}
	if c.AccessKey != "" {
		fixed := credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey.Reveal(), "")
		options = append(options, awsconfig.WithCredentialsProvider(fixed))
	}
	options = append(options, awsconfig.WithLogger(logging.Nop{})) // it writes to standard error what the error says too
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if cfg.Credentials != nil {
		cfg.Credentials = plainly{cfg.Credentials}
	}
	if c.Transport != nil {
		cfg.HTTPClient = &http.Client{Transport: c.Transport}
	}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok { // a service that never answers is one that has failed
		cfg.HTTPClient = b.WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerTime })
	}
	return cfg, err
}

// tuned returns a client that opens a connection once and keeps it, with whatever the configuration of AWS says of certificates and proxies.
func tuned(from sdk.HTTPClient, requests int) sdk.HTTPClient {
	if w, ok := from.(whole); ok {
		from = w.HTTPClient
	}
	base, ok := from.(*awshttp.BuildableClient)
	if !ok {
		return from
	}
	return base.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0
		t.MaxIdleConnsPerHost = 2*requests + 16
		t.WriteBufferSize = 64 << 10
		t.ReadBufferSize = 32 << 10
		t.DisableCompression = true
		t.ForceAttemptHTTP2 = false // many requests at once would share one connection
		if t.TLSClientConfig != nil {
			t.TLSClientConfig.NextProtos = []string{"http/1.1"} // else h2 is agreed on, and nobody speaks it
		}
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	})
}

// whole hides the WriteTo of the bodies of requests. That of smithy-go v1.28 ends in io.EOF when the answer comes before the body is
// closed, and net/http then cuts the connection under the answer.
type whole struct{ sdk.HTTPClient }

// Do implements sdk.HTTPClient.
func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return w.HTTPClient.Do(r)
}

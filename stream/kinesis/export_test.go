package kinesis

import (
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/leatstream/leat"
)

// Parts returns the events that a record of Kinesis holds.
func Parts(whole leat.Record) []leat.Record { return appendParts(nil, whole) }

// Patience returns how long a request of the SDK waits for an answer.
func (e *Engine) Patience() time.Duration {
	client, ok := e.api.Options().HTTPClient.(whole)
	if !ok {
		return 0
	}
	b, ok := client.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return 0
	}
	return b.GetTransport().ResponseHeaderTimeout
}

package kinesisapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/sigv4"
)

func signedBy(url, id, secret, token string) *kinesis.Client {
	return kinesis.New(clientOf(url, "eu-west-1").Options(), func(o *kinesis.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
		})
	})
}

// With keys, only requests that are signed with one of them are answered, and every account sees its own streams.
func TestSignaturesAreVerified(t *testing.T) {
	r := newRig(t, kinesisapi.Config{Region: "eu-west-1", Keys: &sigv4.Verifier{Keys: map[string]sigv4.Key{
		"AKIDONE": {Secret: "one", Account: "111111111111"},
		"AKIDTWO": {Secret: "two", Account: "222222222222", Token: "session"},
	}}})
	one, two := signedBy(r.url, "AKIDONE", "one", ""), signedBy(r.url, "AKIDTWO", "two", "session")
	ctx := t.Context()
	if _, err := one.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("orders"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	put := &kinesis.PutRecordInput{StreamName: aws.String("orders"), Data: []byte("a"), PartitionKey: aws.String("k")}
	if _, err := one.PutRecord(ctx, put); err != nil {
		t.Error(err)
	}
	many := &kinesis.PutRecordsInput{StreamName: aws.String("orders"), Records: []types.PutRecordsRequestEntry{{Data: []byte("a"), PartitionKey: aws.String("k")}}}
	if _, err := one.PutRecords(ctx, many); err != nil {
		t.Error(err)
	}
	_, err := two.PutRecord(ctx, put)
	is[*types.ResourceNotFoundException](t, err, "Stream orders under account 222222222222 not found.")
	put.StreamName, put.StreamARN = nil, aws.String("arn:aws:kinesis:eu-west-1:111111111111:stream/orders")
	_, err = two.PutRecord(ctx, put)
	is[*types.AccessDeniedException](t, err, "")
	it, err := one.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: aws.String("orders"), ShardId: aws.String("0"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		t.Fatal(err)
	}
	_, err = two.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	is[*types.AccessDeniedException](t, err, "")
	consumer, err := one.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: put.StreamARN, ConsumerName: aws.String("c")})
	if err != nil {
		t.Fatal(err)
	}
	subscribe := &kinesis.SubscribeToShardInput{ConsumerARN: consumer.Consumer.ConsumerARN, ShardId: aws.String("0"), StartingPosition: latest()}
	_, err = two.SubscribeToShard(ctx, subscribe)
	is[*types.AccessDeniedException](t, err, "")
	for client, want := range map[*kinesis.Client]string{
		signedBy(r.url, "AKIDONE", "other", ""):      "InvalidSignatureException",
		signedBy(r.url, "AKIDONE", "one", "session"): "UnrecognizedClientException",
		signedBy(r.url, "AKIDTWO", "two", ""):        "UnrecognizedClientException",
		signedBy(r.url, "AKIDZERO", "one", ""):       "UnrecognizedClientException",
	} {
		for name, call := range map[string]func() error{
			"ListStreams": func() error { _, err := client.ListStreams(ctx, &kinesis.ListStreamsInput{}); return err },
			"PutRecords":  func() error { _, err := client.PutRecords(ctx, many); return err },
			"Subscribe":   func() error { _, err := client.SubscribeToShard(ctx, subscribe); return err },
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
	if status, text := r.do(t, "ListStreams", `{}`); status != http.StatusBadRequest || !strings.Contains(text, "InvalidSignatureException") {
		t.Errorf("a signature of another service and time: %d %s", status, text)
	}
}

// Without keys every access key is taken, those of 12 digits as the number of an account, and regions are apart.
func TestNameSpacesOfUnverifiedRequests(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	ctx := t.Context()
	arns := map[string]bool{}
	for _, client := range []*kinesis.Client{r.client, signedBy(r.url, "x", "y", "z"), signedBy(r.url, "123456789012", "y", "")} {
		name := aws.String("orders")
		if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
			t.Fatal(err)
		}
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
		if err != nil {
			t.Fatal(err)
		}
		arns[*out.StreamDescriptionSummary.StreamARN] = true
		if list, err := client.ListStreams(ctx, &kinesis.ListStreamsInput{}); err != nil || len(list.StreamNames) != 1 {
			t.Errorf("got %v, %v", list, err)
		}
	}
	for _, want := range []string{ordersARN, "arn:aws:kinesis:eu-west-1:000000000000:stream/orders", "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"} {
		if !arns[want] {
			t.Errorf("there is no %s: %v", want, arns)
		}
	}
	// A stream can be named by its ARN from everywhere.
	if _, err := r.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamARN: aws.String("arn:aws:kinesis:eu-west-1:123456789012:stream/orders")}); err != nil {
		t.Error(err)
	}
}

package kinesisapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/sigv4"
)

// A stream that distributes records itself takes them without a key, and whatever key they have spreads them over its shards. What is read
// back has the key that the producer gave, if any.
func TestAutoDistribution(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","RecordDistributionStrategy":"AUTO"}`)
	entry := `{"Data":"MQ=="},{"Data":"MQ==","PartitionKey":"same","ExplicitHashKey":"0"},`
	r.must(t, "PutRecords", `{"StreamName":"s","Records":[`+strings.TrimSuffix(strings.Repeat(entry, 100), ",")+`]}`)
	r.must(t, "PutRecord", `{"StreamName":"s","Data":"MQ=="}`)
	total, keys := 0, 0
	for shard := range 4 {
		numbers := r.readShard(t, "s", shard)
		if len(numbers) < 10 {
			t.Errorf("shard %d has %d of 201 records", shard, len(numbers))
		}
		total += len(numbers)
		var it struct{ ShardIterator string }
		decode(t, r.must(t, "GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":"%d","ShardIteratorType":"TRIM_HORIZON"}`, shard)), &it)
		keys += strings.Count(r.must(t, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it.ShardIterator)), `"PartitionKey":"same"`)
	}
	if total != 201 || keys != 100 {
		t.Errorf("%d records, %d with a key", total, keys)
	}
}

// Times of CBOR are tag 1 with whole milliseconds, in both directions: byte for byte, as another reader of CBOR would be wrong by a
// factor of 1,000, too.
func TestTimesOfCBORAreMilliseconds(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	describe := r.request(t, "DescribeStreamSummary", "\xa1\x6aStreamName\x61s")
	describe.Header.Set("Content-Type", cborType)
	_, body := send(t, describe)
	_, rest, found := strings.Cut(body, "\x77StreamCreationTimestamp\xc1\x1b\x00\x00\x01") // later than 2004, in milliseconds
	if !found || len(rest) < 5 {
		t.Fatalf("no time in %s", hex.EncodeToString([]byte(body)))
	}
	// The first second of 2000, as tag 1 and milliseconds: a place in the past, as seconds it would lie in the far future.
	position := "\xa4\x6aStreamName\x61s\x67ShardId\x610\x71ShardIteratorType\x6cAT_TIMESTAMP\x69Timestamp\xc1\x1b\x00\x00\x00\xdc\x6a\xcf\xac\x00"
	iterator := r.request(t, "GetShardIterator", position)
	iterator.Header.Set("Content-Type", cborType)
	if answer, body := send(t, iterator); answer.StatusCode != http.StatusOK {
		t.Errorf("%d %q", answer.StatusCode, body)
	}
}

// With keys, requests must be signed by one of them, and reach the streams of its account only.
func TestKeys(t *testing.T) {
	r := newRig(t, kinesisapi.Config{Keys: &sigv4.Verifier{Keys: map[string]sigv4.Key{
		"AKIDEXAMPLE": {Secret: "secret"}, "OTHER": {Secret: "secret", Account: "123456789012"},
	}}})
	name := aws.String("s")
	if _, err := r.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	if status, got := r.do(t, "ListStreams", `{}`); status != 400 || !strings.Contains(got, "Exception") {
		t.Errorf("an unsigned request is answered: %d %s", status, got)
	}
	stranger := clientWith(r.url, "us-east-1", "AKIDEXAMPLE", "wrong")
	if _, err := stranger.ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("a wrong signature: %v", err)
	}
	other := clientWith(r.url, "us-east-1", "OTHER", "secret")
	if out, err := other.ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err != nil || len(out.StreamNames) != 0 {
		t.Errorf("another account sees %v %v", out, err)
	}
	arn := aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s")
	if _, err := other.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamARN: arn}); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
		t.Errorf("another account by ARN: %v", err)
	}
	if _, err := r.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("t"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	page, err := r.client.ListStreams(t.Context(), &kinesis.ListStreamsInput{Limit: aws.Int32(1)})
	if err != nil || page.NextToken == nil {
		t.Fatal(page, err)
	}
	if out, err := other.ListStreams(t.Context(), &kinesis.ListStreamsInput{NextToken: page.NextToken}); err == nil {
		t.Errorf("another account by token: %v", out.StreamNames)
	}
	it, err := r.client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String("0"), ShardIteratorType: "LATEST"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator}); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
		t.Errorf("another account by iterator: %v", err)
	}
}

// More large bodies than are held in memory at a time are taken one after the other.
func TestLargeBodiesTakeTurns(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	body := `{"StreamName":"s","Records":[` + strings.TrimSuffix(strings.Repeat(`{"PartitionKey":"k","Data":"`+strings.Repeat("A", 40_000)+`"},`, 40), ",") + `]}`
	done := make(chan string, 40)
	for range cap(done) {
		go func() {
			_, text := r.do(t, "PutRecords", body)
			done <- text
		}()
	}
	for range cap(done) {
		if text := <-done; !strings.HasPrefix(text, `{"FailedRecordCount":0`) {
			t.Error(text)
		}
	}
}

// Whatever names a stream of another account by an ARN is denied, before anything is said of it.
func TestAnotherAccountIsDenied(t *testing.T) {
	r := newRig(t, kinesisapi.Config{Keys: &sigv4.Verifier{Keys: map[string]sigv4.Key{"OTHER": {Secret: "secret", Account: "123456789012"}}}})
	denied := 0
	for _, operation := range kinesisapi.Operations() {
		body := kinesisapi.GoodRequest(operation, "NextToken", "ShardIterator")
		if operation == "GetRecords" || operation == "ListChannels" || strings.Contains(operation, "Channel") || !strings.Contains(body, "arn:aws:kinesis") {
			continue
		}
		req := r.request(t, operation, body)
		req.Header.Del("Authorization")
		hash := sha256.Sum256([]byte(body))
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "OTHER", SecretAccessKey: "secret"}, req,
			hex.EncodeToString(hash[:]), "kinesis", "us-east-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if answer, text := send(t, req); answer.StatusCode != 400 || !strings.Contains(text, `"AccessDeniedException"`) {
			t.Errorf("%s: %d %s", operation, answer.StatusCode, text)
		}
		denied++
	}
	if denied < 30 {
		t.Errorf("only %d operations name a stream by an ARN", denied)
	}
}

// An SDK that is told an endpoint uses it, though it could make the name of one from the number of the account.
func TestEndpointsOfAccountsAreNotUsed(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	client := kinesis.New(r.client.Options(), func(o *kinesis.Options) {
		o.AccountIDEndpointMode = aws.AccountIDEndpointModeRequired
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", AccountID: "123456789012"}, nil
		})
	})
	if _, err := client.ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err != nil {
		t.Error(err)
	}
}

package kinesisapi_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream/local"
)

const shard0 = "shardId-000000000000"

// subscriber is a consumer of one stream.
type subscriber struct {
	*rig
	consumer string
	http     *http.Client // nil: the default
	web      *http.Server // of a bubble
}

// subscribing makes a stream of one shard, and a consumer of it when it is ACTIVE.
func subscribing(t testing.TB, r *rig, delay time.Duration) *subscriber {
	t.Helper()
	if _, err := r.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("orders"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	return &subscriber{rig: r, consumer: r.register(t, "reader")}
}

func (r *rig) register(t testing.TB, name string) string {
	t.Helper()
	out, err := r.client.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(ordersARN), ConsumerName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Consumer.ConsumerARN
}

const ordersARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"

func latest() *types.StartingPosition {
	return &types.StartingPosition{Type: types.ShardIteratorTypeLatest}
}

func from(kind types.ShardIteratorType, number string) *types.StartingPosition {
	return &types.StartingPosition{Type: kind, SequenceNumber: &number}
}

// subscribe uses a client of its own: the one of AWS (v1.56.13) reads all event streams of a client into one buffer.
func (s *subscriber) subscribe(t testing.TB, from *types.StartingPosition) (*kinesis.SubscribeToShardEventStream, error) {
	client := clientOf(s.url, "us-east-1")
	if s.http != nil {
		client = clientOver(s.url, s.http)
	}
	out, err := client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
		ConsumerARN: &s.consumer, ShardId: aws.String(shard0), StartingPosition: from,
	})
	if err != nil {
		return nil, err
	}
	stream := out.GetStream()
	t.Cleanup(func() { _ = stream.Close() })
	return stream, nil
}

func (s *subscriber) mustSubscribe(t testing.TB, from *types.StartingPosition) *kinesis.SubscribeToShardEventStream {
	t.Helper()
	stream, err := s.subscribe(t, from)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// put puts texts of one key and returns the number of the last.
func (r *rig) put(t testing.TB, texts ...string) (number string) {
	t.Helper()
	for _, text := range texts {
		out, err := r.client.PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("orders"), Data: []byte(text), PartitionKey: aws.String("k"),
		})
		if err != nil {
			t.Fatal(err)
		}
		number = *out.SequenceNumber
	}
	return number
}

// event returns the next event, nil at the end.
func event(t testing.TB, s *kinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	t.Helper()
	e, ok := <-s.Events()
	if !ok {
		return nil
	}
	return &e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
}

// texts reads events until it has n records.
func texts(t testing.TB, s *kinesis.SubscribeToShardEventStream, n int) (got []string, last string) {
	t.Helper()
	for len(got) < n {
		e := event(t, s)
		if e == nil {
			t.Fatalf("the subscription ended after %d records: %v", len(got), s.Err())
		}
		for _, r := range e.Records {
			got = append(got, string(r.Data))
		}
		last = aws.ToString(e.ContinuationSequenceNumber)
	}
	return got, last
}

func is[E error](t testing.TB, err error, part string) {
	t.Helper()
	if target := *new(E); !errors.As(err, &target) || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want a %T with %q", err, target, part)
	}
}

// bubble runs f on virtual time, with a server and the client of AWS over connections in memory.
func bubble(t *testing.T, cfg kinesisapi.Config, f func(t *testing.T, s *subscriber)) {
	synctest.Test(t, func(t *testing.T) {
		engine, err := local.Open("data", local.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		cfg.Engine, cfg.Admin = engine, engine
		server, err := kinesisapi.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		network := pipenet.New()
		web := &http.Server{Handler: server, WriteTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second}
		listener := network.Listen("kinesis:80")
		go func() { _ = web.Serve(listener) }()
		defer web.Close()
		client := network.Client()
		defer client.CloseIdleConnections()
		r := &rig{engine: engine, server: server, url: "http://kinesis:80", client: clientOver("http://kinesis:80", client)}
		s := subscribing(t, r, cfg.Delay)
		s.http, s.web = client, web
		f(t, s)
	})
}

func clientOver(url string, over *http.Client) *kinesis.Client {
	return kinesis.New(clientOf(url, "us-east-1").Options(), func(o *kinesis.Options) { o.HTTPClient = whole{over} })
}

// whole makes calls of the client of AWS certain. It closes the body of a request when the answer arrives; if net/http has not looked for its
// end by then, the WriteTo of that body (smithy-go v1.28.9) fails with io.EOF, and the connection is closed while the answer is read. Without a
// WriteTo nothing of this happens.
type whole struct{ over *http.Client }

func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return w.over.Do(r)
}

// read returns what GetRecords has behind a number, one record a call.
func (r *rig) read(t testing.TB, kind types.ShardIteratorType, number string) (got []string) {
	t.Helper()
	it, err := r.client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("orders"), ShardId: aws.String(shard0), ShardIteratorType: kind, StartingSequenceNumber: &number,
	})
	if err != nil {
		t.Fatal(err)
	}
	next := it.ShardIterator
	for range 4 {
		out, err := r.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(1)})
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range out.Records {
			got = append(got, string(record.Data))
		}
		next = out.NextShardIterator
	}
	return got
}

package clients

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// record is one record as a client read it.
type record struct{ key, data string }

// checkOrder checks that the numbers below n were read once each, those of a key rising.
func checkOrder(t *testing.T, got []record, n int) {
	t.Helper()
	last, all := map[string]int{}, make([]int, 0, n)
	for _, r := range got {
		i, err := strconv.Atoi(r.data)
		if before, seen := last[r.key]; err != nil || r.key != fmt.Sprintf("key-%d", i%17) || seen && i <= before {
			t.Errorf("record %v behind %d: %v", r, before, err)
		}
		last[r.key] = i
		all = append(all, i)
	}
	slices.Sort(all)
	if len(all) != n || len(slices.Compact(all)) != n {
		t.Errorf("%d records were read, want %d", len(all), n)
	}
}

func unbase64(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGo(t *testing.T) {
	t.Parallel()
	url := endpoint(t)
	g := goClient{t: t, c: newGoClient(url), name: aws.String("go")}
	ctx := t.Context()
	_, err := g.c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: g.name, ShardCount: aws.Int32(2)})
	g.must(err)
	g.must(kinesis.NewStreamExistsWaiter(g.c).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: g.name}, 1e10))
	g.putMany(300)
	for range 20 {
		_, err := g.c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: g.name, PartitionKey: aws.String(fmt.Sprintf("key-%d", g.put%17)), Data: fmt.Append(nil, g.put)})
		g.must(err)
		g.put++
	}
	checkOrder(t, g.readAll(), g.put)
	_, err = g.c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: g.name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("85070591730234615865843651857942052864")})
	g.must(err)
	g.putMany(100)
	_, err = g.c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: g.name, ShardToMerge: aws.String("shardId-000000000002"), AdjacentShardToMerge: aws.String("shardId-000000000003")})
	g.must(err)
	g.putMany(100)
	_, err = g.c.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: g.name, TargetShardCount: aws.Int32(4), ScalingType: types.ScalingTypeUniformScaling})
	g.must(err)
	g.putMany(100)
	checkOrder(t, g.readAll(), g.put)
	g.subscribe(url)
	_, err = g.c.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: g.name})
	g.must(err)
	g.must(kinesis.NewStreamNotExistsWaiter(g.c).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: g.name}, 1e10))
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/aws/aws-sdk-go-v2/service/kinesis" {
				t.Log(m.Path, m.Version)
			}
		}
	}
}

// goClient is the scenario with the SDK for Go.
type goClient struct {
	t    *testing.T
	c    *kinesis.Client
	name *string
	put  int
}

func newGoClient(url string) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		BaseEndpoint: &url, Region: "us-east-1", HTTPClient: whole{&http.Client{}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

// whole hides the WriteTo of request bodies: see docs/clients.md.
type whole struct{ over *http.Client }

func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return w.over.Do(r)
}

func (g *goClient) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *goClient) putMany(n int) {
	g.t.Helper()
	entries := make([]types.PutRecordsRequestEntry, n)
	for i := range entries {
		entries[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprintf("key-%d", g.put%17)), Data: fmt.Append(nil, g.put)}
		g.put++
	}
	out, err := g.c.PutRecords(g.t.Context(), &kinesis.PutRecordsInput{StreamName: g.name, Records: entries})
	g.must(err)
	if *out.FailedRecordCount != 0 || len(out.Records) != n {
		g.t.Fatalf("got %+v", out)
	}
}

// readAll reads shards in the order of the list, in which parents come before their children.
func (g *goClient) readAll() (got []record) {
	g.t.Helper()
	for in := (&kinesis.ListShardsInput{StreamName: g.name, MaxResults: aws.Int32(2)}); ; {
		page, err := g.c.ListShards(g.t.Context(), in)
		g.must(err)
		for i := range page.Shards {
			got = append(got, g.readShard(&page.Shards[i])...)
		}
		if page.NextToken == nil {
			return got
		}
		in = &kinesis.ListShardsInput{NextToken: page.NextToken, MaxResults: aws.Int32(2)}
	}
}

func (g *goClient) readShard(s *types.Shard) (got []record) {
	g.t.Helper()
	it, err := g.c.GetShardIterator(g.t.Context(), &kinesis.GetShardIteratorInput{StreamName: g.name, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	g.must(err)
	closed := s.SequenceNumberRange.EndingSequenceNumber != nil
	for next := it.ShardIterator; ; {
		out, err := g.c.GetRecords(g.t.Context(), &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(70)})
		g.must(err)
		for _, r := range out.Records {
			got = append(got, record{*r.PartitionKey, string(r.Data)})
		}
		switch next = out.NextShardIterator; {
		case next == nil && (!closed || len(out.ChildShards) == 0):
			g.t.Errorf("%s ends with %+v", *s.ShardId, out)
			return got
		case next == nil, !closed && len(out.Records) == 0 && *out.MillisBehindLatest == 0:
			return got
		}
	}
}

// subscribe reads the first open shard by SubscribeToShard, with a client for the subscription only.
func (g *goClient) subscribe(url string) {
	g.t.Helper()
	ctx := g.t.Context()
	summary, err := g.c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: g.name})
	g.must(err)
	arn := summary.StreamDescriptionSummary.StreamARN
	consumer, err := g.c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("go")})
	g.must(err)
	shards, err := g.c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: g.name})
	g.must(err)
	var busy *types.Shard
	var want []record
	for i := range shards.Shards {
		if s := &shards.Shards[i]; s.SequenceNumberRange.EndingSequenceNumber == nil {
			if got := g.readShard(s); len(got) > len(want) {
				busy, want = s, got
			}
		}
	}
	sub, err := newGoClient(url).SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.Consumer.ConsumerARN, ShardId: busy.ShardId, StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
	})
	g.must(err)
	var got []record
	for e := range sub.GetStream().Events() {
		for _, r := range e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value.Records {
			got = append(got, record{*r.PartitionKey, string(r.Data)})
		}
		if len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("pushed %v, want %v: %v", got, want, sub.GetStream().Err())
	}
	_ = sub.GetStream().Close()
	_, err = g.c.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: consumer.Consumer.ConsumerARN})
	g.must(err)
}

package clients

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A subscriber that goes on where it was after the server has been killed gets every record that was answered, once and in order.
func TestSubscriptionsGoOnAfterKills(t *testing.T) {
	t.Parallel()
	binary, err := leat()
	if err != nil {
		t.Fatal(err)
	}
	if binary == "" {
		missing(t, "leat dev")
	}
	k := kill{t: t, from: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}}
	dir := t.TempDir()
	for round := range 4 {
		url, command := start(t, binary, dir)
		if round == 0 {
			k.create(newGoClient(url))
		}
		ctx, over := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.subscribe(ctx, newGoClient(url))
		}()
		k.put(newGoClient(url), 300, command.Process.Kill)
		_ = command.Wait()
		over()
		<-done
	}
	url, command := start(t, binary, dir)
	ctx, over := context.WithCancel(t.Context())
	k.put(newGoClient(url), 1, nil)
	k.until, k.over = k.next-1, over
	k.subscribe(ctx, newGoClient(url))
	_ = command.Process.Kill()
	_ = command.Wait()
	seen := map[int]bool{}
	last := -1
	for _, n := range k.got {
		if n <= last {
			t.Errorf("%d was delivered behind %d", n, last)
		}
		last, seen[n] = n, true
	}
	for _, n := range k.acked {
		if !seen[n] {
			t.Errorf("%d was answered and never delivered", n)
		}
	}
	t.Logf("%d answered, %d delivered", len(k.acked), len(k.got))
}

// kill is a writer and a subscriber of one shard.
type kill struct {
	t        *testing.T
	consumer *string
	next     int
	acked    []int

	from  *types.StartingPosition // of the subscriber
	got   []int
	until int // the subscriber ends behind this number
	over  func()
}

func (k *kill) create(c *kinesis.Client) {
	_, err := c.CreateStream(k.t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	if err != nil {
		k.t.Fatal(err)
	}
	out, err := c.RegisterStreamConsumer(k.t.Context(), &kinesis.RegisterStreamConsumerInput{
		StreamARN: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s"), ConsumerName: aws.String("c"),
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.consumer = out.Consumer.ConsumerARN
}

// put puts n numbers one by one, then goes on until the server that it has killed answers no more.
func (k *kill) put(c *kinesis.Client, n int, killServer func() error) {
	for i := 0; killServer != nil || i < n; i++ {
		if i == n {
			go func() { _ = killServer() }()
		}
		number := k.next
		k.next++
		_, err := c.PutRecord(k.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: fmt.Append(nil, number)},
			func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
		if err != nil {
			if i < n {
				k.t.Errorf("put %d: %v", number, err)
			}
			return
		}
		k.acked = append(k.acked, number)
	}
}

// subscribe goes on where the subscriber was, until ctx or the server ends.
func (k *kill) subscribe(ctx context.Context, c *kinesis.Client) {
	out, err := c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: k.consumer, ShardId: aws.String("0"), StartingPosition: k.from})
	if err != nil {
		k.t.Errorf("subscribe from %v: %v", aws.ToString(k.from.SequenceNumber), err)
		return
	}
	stream := out.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		event := e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
		for _, r := range event.Records {
			n, err := strconv.Atoi(string(r.Data))
			if err != nil {
				k.t.Error(err)
			}
			k.got = append(k.got, n)
			if k.over != nil && n >= k.until {
				k.over()
				return
			}
		}
		k.from = &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: event.ContinuationSequenceNumber}
	}
}

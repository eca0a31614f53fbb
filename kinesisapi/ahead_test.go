package kinesisapi_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi"
)

var iteratorOf = regexp.MustCompile(`"(?:Next)?ShardIterator":"([^"]*)"`)

// A number that a shard has not reached is taken, and nothing comes until the shard is there. What comes before it is passed over.
func TestANumberAheadOfTheShardIsWaitedFor(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, kinesisapi.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put := func() leat.SequenceNumber {
		t.Helper()
		answer := r.must(t, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"YQ=="}`)
		_, rest, _ := strings.Cut(answer, `"SequenceNumber":"`)
		text, _, _ := strings.Cut(rest, `"`)
		s, err := leat.ParseSequence(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tip := put()
	third := leat.NewSequence(0, tip.Created(), tip.Index()+3, tip.Arrived())
	iterators := map[string]string{}
	for _, kind := range []string{"AT", "AFTER"} {
		answer := r.must(t, "GetShardIterator", fmt.Sprintf(
			`{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"%s_SEQUENCE_NUMBER","StartingSequenceNumber":"%s"}`, kind, third))
		iterators[kind] = iteratorOf.FindStringSubmatch(answer)[1]
	}
	got := map[string]int{}
	read := func() {
		for kind, it := range iterators {
			answer := r.must(t, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it))
			got[kind] += strings.Count(answer, `"SequenceNumber"`)
			iterators[kind] = iteratorOf.FindStringSubmatch(answer)[1]
		}
	}
	for range 2 {
		put()
		read()
	}
	if got["AT"] != 0 || got["AFTER"] != 0 {
		t.Errorf("before the number is reached: %v", got)
	}
	put()
	put()
	read()
	if got["AT"] != 2 || got["AFTER"] != 1 {
		t.Errorf("got %v, want 2 records at the number and 1 behind it", got)
	}
	if n := strings.Count(log.String(), "ahead of its shard"); n != 1 {
		t.Errorf("two readers were told of %d times", n)
	}
}

// A subscription does the same.
func TestASubscriptionAheadOfTheShardIsWaitedFor(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	s := subscribing(t, r, 0)
	r.put(t, "first")
	shards, err := r.engine.Shards(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	tip := shards[0].Tip
	second := leat.NewSequence(0, tip.Created(), tip.Index()+2, tip.Arrived())
	sub := s.mustSubscribe(t, from(types.ShardIteratorTypeAtSequenceNumber, second.String()))
	r.put(t, "second", "third", "fourth")
	if got, _ := texts(t, sub, 2); !slices.Equal(got, []string{"third", "fourth"}) {
		t.Errorf("got %v", got)
	}
}

package kinesisapi_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat/kinesisapi"
)

// The client of AWS puts records, and reads all of them back in the order of each shard.
func TestSDKPutsAndReads(t *testing.T) {
	r, ctx := newRig(t, kinesisapi.Config{}), t.Context()
	name := aws.String("orders")
	if _, err := r.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	put, err := r.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, Data: []byte("first"), PartitionKey: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]types.PutRecordsRequestEntry, 500)
	for i := range entries {
		entries[i] = types.PutRecordsRequestEntry{Data: fmt.Append(nil, i), PartitionKey: aws.String(fmt.Sprint("key ", i%7, " ü"))}
	}
	many, err := r.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: entries})
	if err != nil || *many.FailedRecordCount != 0 || len(many.Records) != 500 {
		t.Fatal(many, err)
	}
	where := map[string]string{*put.SequenceNumber: "first"}
	for i, e := range many.Records {
		where[*e.SequenceNumber] = fmt.Sprint(i)
	}
	shards, err := r.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name})
	if err != nil || len(shards.Shards) != 3 {
		t.Fatal(shards, err)
	}
	read := 0
	for _, shard := range shards.Shards {
		it, err := r.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: name, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; ; {
			got, err := r.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(100)})
			if err != nil {
				t.Fatal(err)
			}
			for _, record := range got.Records {
				if want := where[*record.SequenceNumber]; want != string(record.Data) {
					t.Errorf("record %s is %q, want %q", *record.SequenceNumber, record.Data, want)
				}
				delete(where, *record.SequenceNumber)
				read++
			}
			if next = got.NextShardIterator; len(got.Records) == 0 {
				break
			}
		}
	}
	if read != 501 || len(where) != 0 {
		t.Errorf("%d records were read, %d never", read, len(where))
	}
	sum, err := r.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
	if err != nil || *sum.StreamDescriptionSummary.OpenShardCount != 3 {
		t.Error(sum, err)
	}
	if _, err := r.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name}); err != nil {
		t.Error(err)
	}
}

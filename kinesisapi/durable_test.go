package kinesisapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

// What was answered is there after the power was cut: records, shards, and everything that the API keeps of a stream, in one image of the
// disk that holds only what was synced.
func TestAnswersSurviveAPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	r := newRigOn(t, fs, kinesisapi.Config{})
	const arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":2,"Tags":{"a":"1"}}`)
	for i := range 50 {
		r.must(t, "PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":"k%d","Data":"MQ=="}`, i))
		r.must(t, "PutRecords", fmt.Sprintf(`{"StreamName":"s","Records":[{"PartitionKey":"k%d","Data":"MQ=="},{"PartitionKey":"x","Data":"Mg=="}]}`, i))
	}
	r.must(t, "UpdateMaxRecordSize", `{"StreamARN":"`+arn+`","MaxRecordSizeInKiB":2048}`)
	r.must(t, "SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"77"}`)
	r.must(t, "IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":99}`)
	r.must(t, "PutResourcePolicy", `{"ResourceARN":"`+arn+`","Policy":"{\"a\":1}"}`)
	r.must(t, "CreateStream", `{"StreamName":"gone","ShardCount":1}`)
	r.must(t, "DeleteStream", `{"StreamName":"gone"}`)
	questions := []string{"DescribeStream", "DescribeStreamSummary", "ListTagsForStream", "ListShards"}
	var before []string
	for _, q := range questions {
		before = append(before, r.must(t, q, `{"StreamName":"s"}`))
	}
	again := newRigOn(t, fs.CrashClone(vfs.CrashCloneCfg{}), kinesisapi.Config{})
	for i, q := range questions {
		if after := again.must(t, q, `{"StreamName":"s"}`); after != before[i] {
			t.Errorf("%s:\n before %s\n after %s", q, before[i], after)
		}
	}
	if got := again.must(t, "GetResourcePolicy", `{"ResourceARN":"`+arn+`"}`); got != `{"Policy":"{\"a\":1}"}` {
		t.Error(got)
	}
	if _, got := again.do(t, "DescribeStream", `{"StreamName":"gone"}`); !strings.Contains(got, "not found") {
		t.Error(got)
	}
	records := 0
	for shard := range 2 {
		records += len(again.readShard(t, "s", shard))
	}
	if records != 150 {
		t.Errorf("%d records are left of 150", records)
	}
}

// readShard returns the sequence numbers of a shard.
func (r *rig) readShard(t testing.TB, name string, shard int) []string {
	t.Helper()
	var it struct{ ShardIterator string }
	decode(t, r.must(t, "GetShardIterator", fmt.Sprintf(`{"StreamName":%q,"ShardId":"%d","ShardIteratorType":"TRIM_HORIZON"}`, name, shard)), &it)
	var got struct {
		Records           []struct{ SequenceNumber string }
		NextShardIterator string
	}
	var numbers []string
	for next := it.ShardIterator; next != ""; next = got.NextShardIterator {
		got.Records, got.NextShardIterator = nil, ""
		decode(t, r.must(t, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, next)), &got)
		for _, record := range got.Records {
			numbers = append(numbers, record.SequenceNumber)
		}
		if len(got.Records) == 0 {
			break
		}
	}
	return numbers
}

func decode(t testing.TB, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// A stream that was being created when the process died is the one that was asked for, or none.
func TestCreationIsWrittenDownBefore(t *testing.T) {
	fs := vfs.NewMem()
	r := newRigOn(t, fs, kinesisapi.Config{})
	broken := &failing{Engine: r.engine}
	server, err := kinesisapi.New(kinesisapi.Config{Engine: broken, Admin: broken})
	if err != nil {
		t.Fatal(err)
	}
	raw{target: list, content: jsonType, body: "{}", header: signed()}.send(server)
	broken.after = 1 // the entry is written before the stream is made; the one behind fails
	rec := raw{target: "Kinesis_20131202.CreateStream", content: jsonType, body: `{"StreamName":"s","Tags":{"a":"1"}}`, header: signed()}.send(server)
	if rec.Code != 500 {
		t.Fatal(rec.Body)
	}
	again := serve(t, r.engine, kinesisapi.Config{})
	if got := again.must(t, "ListTagsForStream", `{"StreamName":"s"}`); !strings.Contains(got, `"a"`) {
		t.Error(got)
	}
	if got := again.must(t, "DescribeStreamSummary", `{"StreamName":"s"}`); !strings.Contains(got, "ON_DEMAND") {
		t.Error(got)
	}
}

// failing is an engine whose commits fail: those of state after some, those of records with err.
type failing struct {
	*local.Engine
	after int // commits of state that succeed; 0: all
	err   error
	last  []leat.Event // of the last put
}

func (f *failing) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if len(c.State) > 0 && f.after > 0 {
		if f.after--; f.after == 0 {
			f.after = -1
			return f.Engine.Commit(ctx, c)
		}
	}
	if len(c.State) > 0 && f.after < 0 {
		return stream.Receipt{}, errors.New("the process died")
	}
	partial := (*stream.PartialError)(nil)
	if len(c.Puts) > 0 && f.err != nil {
		f.last = c.Puts[0].Events
		if errors.As(f.err, &partial) {
			return stream.Receipt{Puts: [][]stream.Placed{make([]stream.Placed, len(c.Puts[0].Events))}}, f.err
		}
		return stream.Receipt{}, f.err
	}
	return f.Engine.Commit(ctx, c)
}

// What an engine refuses is answered so that a client does the right thing: try again, or not.
func TestErrorsOfTheEngine(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	broken := &failing{Engine: r.engine}
	server, err := kinesisapi.New(kinesisapi.Config{Engine: broken, Admin: broken})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{stream.ErrFull, 500, `"InternalFailureException","message":"The disk of the server is nearly full: puts are refused until there is room."`},
		{stream.ErrStopped, 500, `"InternalFailureException","message":"The server cannot answer now; its log has the reason."`},
		{stream.ErrNoStream, 400, `"ResourceNotFoundException","message":"Stream s under account 000000000000 not found."`},
		{stream.ErrTooLarge, 400, `"InvalidArgumentException"`},
		{stream.ErrReadOnly, 400, `"AccessDeniedException"`},
		{context.Canceled, 500, `"InternalFailureException"`},
		{&stream.PartialError{Refused: [][]int{{1}}, Err: stream.ErrFull}, 200, `{"FailedRecordCount":1,"Records":[{"SequenceNumber":"0","ShardId":"shardId-000000000000"},{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}]}`},
	} {
		broken.err = fmt.Errorf("put: %w", c.err)
		rec := raw{
			target: "Kinesis_20131202.PutRecords", content: jsonType, header: signed(),
			body: `{"StreamName":"s","Records":[{"PartitionKey":"a","Data":"MQ=="},{"PartitionKey":"b","Data":"MQ=="}]}`,
		}.send(server)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%v: %d %s", c.err, rec.Code, rec.Body)
		}
	}
}

// What a put of unknown outcome has handed to the engine stays as it is: the engine may still look at it.
func TestMemoryOfAPutOfUnknownOutcomeIsNotUsedAgain(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	broken := &failing{Engine: r.engine, err: stream.ErrStopped}
	server, err := kinesisapi.New(kinesisapi.Config{Engine: broken, Admin: broken})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, data string) {
		raw{
			target: "Kinesis_20131202.PutRecords", content: jsonType, header: signed(),
			body: `{"StreamName":"s","Records":[{"PartitionKey":"` + key + `","Data":"` + data + `"}]}`,
		}.send(server)
	}
	put("before", "MTEx")
	kept := broken.last
	for range 20 {
		put("behind", "MjIy")
	}
	if len(kept) != 1 || kept[0].PartitionKey != "before" || string(kept[0].Data) != "111" {
		t.Errorf("the engine sees %+v now", kept)
	}
}

// Puts, reads and changes at the same time: nothing that was answered is missing, and nothing is there twice.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":4}`)
	var mu sync.Mutex
	answered := map[string]bool{}
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 40 {
				body := fmt.Sprintf(`{"StreamName":"s","Records":[{"PartitionKey":"%d-%d","Data":"MQ=="},{"PartitionKey":"x%d","Data":"Mg=="}]}`, w, i, i)
				var got struct {
					Records []struct{ SequenceNumber string }
				}
				_, text := r.do(t, "PutRecords", body)
				decode(t, text, &got)
				mu.Lock()
				for _, record := range got.Records {
					answered[record.SequenceNumber] = true
				}
				mu.Unlock()
			}
		})
	}
	group.Go(func() {
		for i := range 20 {
			r.must(t, "AddTagsToStream", fmt.Sprintf(`{"StreamName":"s","Tags":{"%d":"1"}}`, i))
			r.must(t, "DescribeStreamSummary", `{"StreamName":"s"}`)
			r.must(t, "ListStreams", `{}`)
		}
		r.must(t, "UpdateShardCount", `{"StreamName":"s","TargetShardCount":8,"ScalingType":"UNIFORM_SCALING"}`)
	})
	group.Wait()
	if len(answered) != 8*40*2 {
		t.Errorf("%d numbers were answered", len(answered))
	}
	var shards struct{ Shards []json.RawMessage }
	decode(t, r.must(t, "ListShards", `{"StreamName":"s"}`), &shards)
	for i := range shards.Shards {
		for _, number := range r.readShard(t, "s", i) {
			if !answered[number] {
				t.Errorf("%s was never answered", number)
			}
			delete(answered, number)
		}
	}
	if len(answered) > 0 {
		t.Errorf("%d records that were answered are missing", len(answered))
	}
}

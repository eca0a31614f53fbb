package kinesisapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

// direct runs a test against a server that is called without a network, at a clock that goes on only when everybody waits.
func direct(t *testing.T, cfg kinesisapi.Config, test func(t *testing.T, b *directed)) {
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
		test(t, &directed{t, engine, server})
	})
}

type directed struct {
	t      *testing.T
	engine *local.Engine
	server *kinesisapi.Server
}

func (b *directed) do(operation, body string) (int, string) {
	header := signed()
	header["X-Amz-Date"] = time.Now().UTC().Format("20060102T150405Z")
	rec := raw{target: "Kinesis_20131202." + operation, content: jsonType, body: body, header: header}.send(b.server)
	return rec.Code, rec.Body.String()
}

func (b *directed) must(operation, body string) string {
	b.t.Helper()
	status, text := b.do(operation, body)
	if status != http.StatusOK {
		b.t.Fatalf("%s: %d %s", operation, status, shorten(text))
	}
	return text
}

func (b *directed) iterator(kind string) string {
	b.t.Helper()
	text := b.must("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"`+kind+`"}`)
	_, text, _ = strings.Cut(text, `"ShardIterator":"`)
	text, _, _ = strings.Cut(text, `"`)
	return text
}

// After an answer of 10 MiB the shard cannot be read for five seconds.
func TestReadsPauseAfterLargeAnswers(t *testing.T) {
	direct(t, kinesisapi.Config{Throttle: true}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":10240}`)
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"`+strings.Repeat("A", 13_000_000)+`"}`)
		read := func() (int, string) { return b.do("GetRecords", `{"ShardIterator":"`+b.iterator("TRIM_HORIZON")+`"}`) }
		if status, text := read(); status != 200 || len(text) < 13_000_000 {
			t.Fatalf("%d, %d bytes", status, len(text))
		}
		for _, wait := range []time.Duration{0, 2 * time.Second, 2900 * time.Millisecond} {
			time.Sleep(wait)
			if status, text := read(); status != 400 || !strings.Contains(text, `"Rate exceeded for Shard - 000000000000/s/shardId-000000000000"`) {
				t.Errorf("%v later: %d %s", wait, status, shorten(text))
			}
		}
		time.Sleep(101 * time.Millisecond)
		if status, text := read(); status != 200 {
			t.Errorf("%d %s", status, shorten(text))
		}
	})
}

// Over 2 MiB a second, a shard cannot be read until the debt is paid.
func TestReadsWaitForTheirDebt(t *testing.T) {
	direct(t, kinesisapi.Config{Throttle: true}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":10240}`)
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"`+strings.Repeat("A", 4<<20)+`"}`) // 3 MiB
		it := b.iterator("TRIM_HORIZON")
		for _, step := range []struct {
			wait   time.Duration
			status int
		}{{0, 200}, {490 * time.Millisecond, 400}, {20 * time.Millisecond, 200}} {
			time.Sleep(step.wait)
			if status, text := b.do("GetRecords", `{"ShardIterator":"`+it+`"}`); status != step.status {
				t.Errorf("%v later: %d %s", step.wait, status, shorten(text))
			}
		}
	})
}

// Run removes a stream that is DELETING though nobody asks for it, and spares its successor.
func TestRunEndsDelayedDeletions(t *testing.T) {
	direct(t, kinesisapi.Config{Delay: time.Minute}, func(t *testing.T, b *directed) {
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- b.server.Run(ctx) }()
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		b.must("DeleteStream", `{"StreamName":"s"}`)
		time.Sleep(59 * time.Second)
		if streams, _ := b.engine.Streams(ctx); len(streams) != 1 {
			t.Error("the stream is gone too early")
		}
		time.Sleep(3 * time.Second)
		if streams, _ := b.engine.Streams(ctx); len(streams) != 0 {
			t.Error("the stream is still there")
		}
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		time.Sleep(time.Hour)
		if streams, _ := b.engine.Streams(ctx); len(streams) != 1 {
			t.Error("its successor is gone")
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// A delayed deletion is bound to the stream: one that was made otherwise under the name meanwhile stays.
func TestDelayedDeletionSparesAnotherStreamOfTheName(t *testing.T) {
	direct(t, kinesisapi.Config{Delay: time.Minute}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		time.Sleep(time.Hour)
		b.must("DeleteStream", `{"StreamName":"s"}`)
		if err := b.engine.Delete(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := b.engine.Create(t.Context(), stream.Spec{Name: "s", Shards: 2}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if text := b.must("DescribeStreamSummary", `{"StreamName":"s"}`); !strings.Contains(text, `"OpenShardCount":2`) || !strings.Contains(text, `"ACTIVE"`) {
			t.Error(text)
		}
	})
}

// A stream that was made without the API has the defaults of AWS, and the retention it was given. What the engine keeps without limit has
// the largest period.
func TestStreamsMadeOtherwise(t *testing.T) {
	direct(t, kinesisapi.Config{}, func(t *testing.T, b *directed) {
		b.must("ListStreams", `{}`)
		for name, keep := range map[string]time.Duration{"a": 0, "b": 36*time.Hour + time.Second, "s": time.Hour} {
			if err := b.engine.Create(t.Context(), stream.Spec{Name: name, Shards: 1, Keep: stream.Retention{Age: keep}}); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]string{"a": `"RetentionPeriodHours":8760,`, "b": `"RetentionPeriodHours":37,`, "s": `"RetentionPeriodHours":1,`} {
			text := b.must("DescribeStreamSummary", `{"StreamName":"`+name+`"}`)
			for _, part := range []string{want, `"StreamMode":"PROVISIONED"`, `"MaxRecordSizeInKiB":1024`, `"USER_PARTITION_KEY"`, `"ACTIVE"`, `"NONE"`} {
				if !strings.Contains(text, part) {
					t.Errorf("%s: no %s in %s", name, part, text)
				}
			}
		}
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MQ=="}`)
	})
}

// Where records are gone, a reader is led on behind them and told nothing; the server counts it.
func TestReadersGoOnBehindWhatIsGone(t *testing.T) {
	direct(t, kinesisapi.Config{}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		first := b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MQ=="}`)
		_, number, _ := strings.Cut(first, `"SequenceNumber":"`)
		number = strings.TrimSuffix(number, `"}`)
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"Mg=="}`)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = b.engine.Run(ctx) }()
		time.Sleep(25 * time.Hour)
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"Mw=="}`)
		text := b.must("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"`+number+`"}`)
		it := strings.TrimSuffix(strings.TrimPrefix(text, `{"ShardIterator":"`), `"}`)
		if text := b.must("GetRecords", `{"ShardIterator":"`+it+`"}`); strings.Count(text, `"Data"`) != 1 || !strings.Contains(text, `"Mw=="`) {
			t.Error(text)
		}
		if b.server.Gaps() != 1 {
			t.Errorf("%d gaps were counted", b.server.Gaps())
		}
		cancel()
		synctest.Wait()
	})
}

// The last records of a closed shard come with a token, and the answer that reaches the end with the children and without one.
func TestGetRecordsAtTheEndOfAClosedShard(t *testing.T) {
	direct(t, kinesisapi.Config{}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		for i := range 3 {
			b.must("PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":"%d","Data":"MQ=="}`, i))
		}
		b.must("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"99"}`)
		it := b.iterator("TRIM_HORIZON")
		for i, limit := range []int{1, 1, 1} {
			text := b.must("GetRecords", fmt.Sprintf(`{"ShardIterator":"%s","Limit":%d}`, it, limit))
			if more := i < 2; strings.Contains(text, "NextShardIterator") != more || strings.Contains(text, "ChildShards") == more {
				t.Errorf("answer %d: %s", i, text)
			}
			_, it, _ = strings.Cut(text, `"NextShardIterator":"`)
			it, _, _ = strings.Cut(it, `"`)
		}
	})
}

// What PutRecords answers of each record is true, also when some were refused.
func TestPartialFaultsKeepTheOrderOfTheRequest(t *testing.T) {
	direct(t, kinesisapi.Config{Faults: kinesisapi.Faults{Partial: 0.5}}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		var body strings.Builder
		for i := range 200 {
			fmt.Fprintf(&body, `,{"PartitionKey":"%d","Data":"MQ=="}`, i)
		}
		var got struct {
			FailedRecordCount int
			Records           []struct{ SequenceNumber, ErrorCode string }
		}
		decode(t, b.must("PutRecords", `{"StreamName":"s","Records":[`+body.String()[1:]+`]}`), &got)
		var stored struct {
			Records []struct{ SequenceNumber, PartitionKey string }
		}
		decode(t, b.must("GetRecords", `{"ShardIterator":"`+b.iterator("TRIM_HORIZON")+`"}`), &stored)
		failed, next := 0, 0
		for i, r := range got.Records {
			if r.ErrorCode != "" {
				failed++
				continue
			}
			if s := stored.Records[next]; s.SequenceNumber != r.SequenceNumber || s.PartitionKey != fmt.Sprint(i) {
				t.Errorf("record %d is %s, the answer says %s", i, s.SequenceNumber, r.SequenceNumber)
			}
			if _, err := leat.ParseSequence(r.SequenceNumber); err != nil {
				t.Error(err)
			}
			next++
		}
		if failed != got.FailedRecordCount || failed == 0 || next != len(stored.Records) || len(got.Records) != 200 {
			t.Errorf("%d failed of %d, %d are said to have; %d are stored", failed, len(got.Records), got.FailedRecordCount, len(stored.Records))
		}
	})
}

// With the limits of AWS, the call that is one too many in a second is refused, whatever would have become of it.
func TestRatesOfOperations(t *testing.T) {
	direct(t, kinesisapi.Config{Throttle: true}, func(t *testing.T, b *directed) {
		for operation, rate := range kinesisapi.Rates() {
			body := kinesisapi.GoodRequest(operation, "NextToken")
			for i := range rate + 1 {
				_, text := b.do(operation, body)
				if refused := strings.Contains(text, "Rate exceeded for operation "+operation); refused != (i == rate) {
					t.Errorf("call %d of %s: %s", i+1, operation, text)
				}
			}
			time.Sleep(time.Second)
			if _, text := b.do(operation, body); strings.Contains(text, "Rate exceeded") {
				t.Errorf("%s a second later: %s", operation, text)
			}
		}
	})
}

// Encryption is switched on or off 25 times a day.
func TestEncryptionChangesADay(t *testing.T) {
	direct(t, kinesisapi.Config{Throttle: true}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		for _, operation := range []string{"StartStreamEncryption", "StopStreamEncryption"} {
			for i := range 26 {
				status, text := b.do(operation, `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/a"}`)
				if refused := status == 400 && strings.Contains(text, "LimitExceeded"); refused != (i == 25) {
					t.Errorf("call %d of %s: %s", i+1, operation, text)
				}
				time.Sleep(time.Second)
			}
		}
	})
}

package kinesisapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
)

func TestSubscribeOverEveryHTTP(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "h2c", "h2"} {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, kinesisapi.Config{})
			web := httptest.NewUnstartedServer(r.server)
			only := new(http.Protocols)
			only.SetHTTP1(version == "HTTP/1.1")
			only.SetUnencryptedHTTP2(version == "h2c")
			only.SetHTTP2(version == "h2")
			web.Config.Protocols = only
			web.EnableHTTP2 = version == "h2"
			if version == "h2" {
				web.StartTLS()
			} else {
				web.Start()
			}
			defer web.Close()
			transport := web.Client().Transport.(*http.Transport).Clone()
			transport.Protocols = only
			var seen int
			over := &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				got, err := transport.RoundTrip(req)
				if err == nil {
					seen = got.ProtoMajor
				}
				return got, err
			})}
			r.url, r.client = web.URL, clientOver(web.URL, over)
			s := subscribing(t, r, 0)
			s.http = over
			r.put(t, "before")
			sub := s.mustSubscribe(t, latest())
			r.put(t, "a", "b", "c")
			got, last := texts(t, sub, 3)
			if !slices.Equal(got, []string{"a", "b", "c"}) || last == "" {
				t.Errorf("got %v and continue at %q", got, last)
			}
			if (seen == 1) != (version == "HTTP/1.1") {
				t.Errorf("the client spoke HTTP/%d", seen)
			}
			_ = sub.Close()
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A subscription says something every 5 seconds, ends after 5 minutes whatever the timeouts of the server are, and goes on from the
// number it said last, which is that of no record.
func TestSubscriptionLivesFiveMinutes(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		s.put(t, "old")
		start := time.Now()
		sub := s.mustSubscribe(t, latest())
		last, beats := "", 0
		for {
			e := event(t, sub)
			if e == nil {
				break
			}
			beats++
			if len(e.Records) > 0 || *e.MillisBehindLatest != 0 || *e.ContinuationSequenceNumber <= last {
				t.Fatalf("after %v: %+v, last number %s", time.Since(start), e, last)
			}
			if got := time.Since(start); got != time.Duration(beats)*5*time.Second {
				t.Fatalf("heartbeat %d after %v", beats, got)
			}
			last = *e.ContinuationSequenceNumber
		}
		if sub.Err() != nil || time.Since(start) != 5*time.Minute || beats < 59 || beats > 60 {
			t.Errorf("ended after %v and %d heartbeats: %v", time.Since(start), beats, sub.Err())
		}
		s.put(t, "new")
		for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
			got, _ := texts(t, s.mustSubscribe(t, from(kind, last)), 1)
			if !slices.Equal(got, []string{"new"}) {
				t.Errorf("%s goes on with %v", kind, got)
			}
			if got := s.read(t, kind, last); !slices.Equal(got, []string{"new"}) {
				t.Errorf("%s of GetShardIterator goes on with %v", kind, got)
			}
			time.Sleep(6 * time.Second)
		}
	})
}

// The number of a heartbeat of an empty shard is before everything that follows.
func TestHeartbeatsOfAnEmptyShard(t *testing.T) {
	for _, position := range []*types.StartingPosition{
		latest(),
		{Type: types.ShardIteratorTypeTrimHorizon},
		{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Unix(0, 0))},
	} {
		bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
			sub := s.mustSubscribe(t, position)
			last := *event(t, sub).ContinuationSequenceNumber
			time.Sleep(time.Second)
			s.put(t, "a", "b")
			if got, _ := texts(t, s.mustSubscribe(t, from(types.ShardIteratorTypeAfterSequenceNumber, last)), 2); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("%s: got %v", position.Type, got)
			}
		})
	}
}

// A record is pushed when it is durable, not when a timer comes round.
func TestRecordsArePushed(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		sub := s.mustSubscribe(t, latest())
		for i := range 20 {
			time.Sleep(1234 * time.Millisecond)
			at := time.Now()
			number := s.put(t, fmt.Sprint(i))
			got, last := texts(t, sub, 1)
			if got[0] != fmt.Sprint(i) || last != number || time.Since(at) != 0 {
				t.Fatalf("got %v, continue at %s, after %v; want %d, %s at once", got, last, time.Since(at), i, number)
			}
		}
	})
}

func TestTakeOver(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		const text = "Another active subscription exists for this consumer: 000000000000:orders:reader:" + shard0
		first := s.mustSubscribe(t, latest())
		time.Sleep(5*time.Second - time.Millisecond)
		_, err := s.subscribe(t, latest())
		is[*types.ResourceInUseException](t, err, text)
		other := &subscriber{rig: s.rig, consumer: s.register(t, "other"), http: s.http}
		if _, err := other.subscribe(t, latest()); err != nil {
			t.Errorf("another consumer: %v", err)
		}
		time.Sleep(time.Millisecond)
		second := s.mustSubscribe(t, latest())
		s.put(t, "x")
		if got, _ := texts(t, second, 1); got[0] != "x" {
			t.Errorf("the new subscription got %v", got)
		}
		for e := event(t, first); e != nil; e = event(t, first) {
			if len(e.Records) > 0 {
				t.Errorf("the old subscription got %v", e)
			}
		}
		is[*types.ResourceInUseException](t, first.Err(), text)
		_ = second.Close()
		time.Sleep(time.Second)
		_, err = s.subscribe(t, latest())
		is[*types.ResourceInUseException](t, err, text) // also if the successful one has ended
		time.Sleep(4 * time.Second)
		s.mustSubscribe(t, latest())
	})
}

// A call that failed does not keep the next one away.
func TestFailedCallsDoNotCount(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		for name, tc := range map[string]struct {
			position *types.StartingPosition
			text     string
		}{
			"number of nothing": {from(types.ShardIteratorTypeAfterSequenceNumber, "5"), ""},
			"no number":         {&types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber}, "Must either specify"},
			"future":            {&types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Now().Add(time.Hour))}, "cannot be greater"},
		} {
			if _, err := s.subscribe(t, tc.position); err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := s.client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
			ConsumerARN: &s.consumer, ShardId: aws.String("shardId-000000000009"), StartingPosition: latest(),
		})
		is[*types.ResourceNotFoundException](t, err, "Shard shardId-000000000009 in stream orders under account 000000000000 does not exist")
		_, err = s.client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
			ConsumerARN: aws.String(ordersARN + "/consumer/nobody:1"), ShardId: aws.String(shard0), StartingPosition: latest(),
		})
		is[*types.ResourceNotFoundException](t, err, "Consumer nobody")
		_, err = s.client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
			ConsumerARN: &s.consumer, ShardId: aws.String(shard0), StartingPosition: latest(), DryRun: aws.Bool(true),
		})
		if err == nil || !strings.Contains(err.Error(), "DryRunOperationException") {
			t.Error(err)
		}
		s.mustSubscribe(t, latest())
	})
}

// The end of a closed shard is one event with its children and without a number to continue at: KCL and Flink know it by that.
func TestEndOfAClosedShard(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		sub := s.mustSubscribe(t, latest())
		s.put(t, "a")
		if err := s.engine.Split(t.Context(), "orders", 0, stream.HashRange{End: leat.MaxHash}.Middle()); err != nil {
			t.Fatal(err)
		}
		again := func(sub *kinesis.SubscribeToShardEventStream) {
			t.Helper()
			if got, last := texts(t, sub, 1); got[0] != "a" || last == "" {
				t.Errorf("got %v, %s", got, last)
			}
			e := event(t, sub)
			if e == nil || len(e.Records) != 0 || e.ContinuationSequenceNumber != nil || len(e.ChildShards) != 2 {
				t.Fatalf("got %+v", e)
			}
			if c := e.ChildShards[1]; *c.ShardId != "shardId-000000000002" || !slices.Equal(c.ParentShards, []string{shard0}) ||
				*c.HashKeyRange.EndingHashKey != leat.MaxHash.String() {
				t.Errorf("got %+v", c)
			}
			if e := event(t, sub); e != nil || sub.Err() != nil {
				t.Errorf("it goes on with %+v, %v", e, sub.Err())
			}
		}
		again(sub)
		time.Sleep(5 * time.Second)
		again(s.mustSubscribe(t, &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}))
	})
}

func TestSubscriptionsEndWithWhatTheyRead(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		sub := s.mustSubscribe(t, latest())
		if _, err := s.client.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &s.consumer}); err != nil {
			t.Fatal(err)
		}
		if e := event(t, sub); e != nil {
			t.Errorf("got %+v", e)
		}
		is[*types.ResourceNotFoundException](t, sub.Err(), "Consumer reader")
		_, err := s.subscribe(t, latest())
		is[*types.ResourceNotFoundException](t, err, "Consumer reader")
		time.Sleep(time.Second)
		s.consumer = s.register(t, "reader")
		sub = s.mustSubscribe(t, latest())
		if _, err := s.client.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("orders"), EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		if e := event(t, sub); e != nil {
			t.Errorf("got %+v", e)
		}
		is[*types.ResourceNotFoundException](t, sub.Err(), "Stream orders under account 000000000000 not found.")
	})
}

func TestEndSubscriptionsLetsTheServerStop(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		sub := s.mustSubscribe(t, latest())
		s.server.EndSubscriptions()
		if e := event(t, sub); e != nil || sub.Err() != nil {
			t.Errorf("got %+v, %v", e, sub.Err())
		}
		time.Sleep(5 * time.Second)
		if e := event(t, s.mustSubscribe(t, latest())); e != nil {
			t.Errorf("a later subscription got %+v", e)
		}
	})
}

// A client that does not read holds back nobody: not the one that takes over, and not the end of the server.
func TestClientsThatDoNotRead(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		for range 4 {
			s.put(t, strings.Repeat("x", 900_000))
		}
		deaf := func() *http.Response {
			req := s.request(t, "SubscribeToShard", `{"ConsumerARN":"`+s.consumer+`","ShardId":"0","StartingPosition":{"Type":"TRIM_HORIZON"}}`)
			answer, err := s.http.Do(req)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatal(answer, err)
			}
			synctest.Wait() // the server is blocked in a write
			return answer
		}
		first := deaf()
		defer first.Body.Close()
		time.Sleep(5 * time.Second)
		second := s.mustSubscribe(t, &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
		if got, _ := texts(t, second, 4); len(got) != 4 {
			t.Errorf("got %d records", len(got))
		}
		_ = second.Close()
		time.Sleep(6 * time.Second) // the last words of the first one have been cut off
		if _, err := io.Copy(io.Discard, first.Body); err == nil {
			t.Error("the first subscription, which was cut off, ended in order")
		}
		third := deaf()
		defer third.Body.Close()
		start := time.Now()
		s.web.RegisterOnShutdown(s.server.EndSubscriptions)
		if err := s.web.Shutdown(t.Context()); err != nil || time.Since(start) > 6*time.Second {
			t.Errorf("the server stops after %v: %v", time.Since(start), err)
		}
	})
}

// The number of a heartbeat is accepted after its shard has been closed too.
func TestContinuationOfAClosedShard(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		s.put(t, "a")
		sub := s.mustSubscribe(t, latest())
		last := *event(t, sub).ContinuationSequenceNumber
		_ = sub.Close()
		if err := s.engine.Split(t.Context(), "orders", 0, stream.HashRange{End: leat.MaxHash}.Middle()); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
			time.Sleep(5 * time.Second)
			sub := s.mustSubscribe(t, from(kind, last))
			if e := event(t, sub); e == nil || len(e.Records) > 0 || len(e.ChildShards) != 2 {
				t.Errorf("%s: got %+v, %v", kind, e, sub.Err())
			}
		}
	})
}

// A subscription that is behind the horizon goes on with what is kept.
func TestSubscriptionGoesOnBehindExpiredRecords(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		first := s.put(t, "a", "b")
		s.put(t, "c")
		time.Sleep(23 * time.Hour)
		s.put(t, "d")
		time.Sleep(2 * time.Hour)
		for _, position := range []*types.StartingPosition{
			from(types.ShardIteratorTypeAfterSequenceNumber, first),
			{Type: types.ShardIteratorTypeTrimHorizon},
		} {
			if got, _ := texts(t, s.mustSubscribe(t, position), 1); !slices.Equal(got, []string{"d"}) {
				t.Errorf("%s: got %v", position.Type, got)
			}
			time.Sleep(6 * time.Second)
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		large := strings.Repeat("x", 300_000)
		for range 8 {
			s.put(t, large)
		}
		sub := s.mustSubscribe(t, &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
		for n := 0; n < 8; {
			e := event(t, sub)
			size := 0
			for _, r := range e.Records {
				size += len(r.Data) + len(*r.PartitionKey)
			}
			n += len(e.Records)
			if size > 1<<20 || (*e.MillisBehindLatest == 0) != (n == 8) && n == 8 {
				t.Errorf("an event of %d bytes, %d ms behind, %d records so far", size, *e.MillisBehindLatest, n)
			}
		}
	})
}

// Serve does not wait for subscriptions when it ends.
func TestServeEndsSubscriptions(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		network := pipenet.New()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		listener := network.Listen("kinesis:80")
		go func() { ended <- kinesisapi.Serve(ctx, listener, s.server, nil) }()
		client := network.Client()
		defer client.CloseIdleConnections()
		s.http = client
		sub := s.mustSubscribe(t, latest())
		synctest.Wait()
		start := time.Now()
		stop()
		if e := event(t, sub); e != nil || sub.Err() != nil {
			t.Errorf("got %+v, %v", e, sub.Err())
		}
		if err := <-ended; err != nil || time.Since(start) > time.Second {
			t.Errorf("it ends after %v: %v", time.Since(start), err)
		}
	})
}

// With the rates of AWS a subscription gets 2 MiB per second, and is not cut short by it.
func TestSubscriptionsAreThrottled(t *testing.T) {
	bubble(t, kinesisapi.Config{Throttle: true}, func(t *testing.T, s *subscriber) {
		events := make([]leat.Event, 10)
		for i := range events {
			events[i] = leat.Event{PartitionKey: "k", Data: make([]byte, 1<<20-1)}
		}
		if _, err := s.engine.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "orders", Events: events}}}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		texts(t, s.mustSubscribe(t, &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}), 10)
		if got := time.Since(start); got != 4500*time.Millisecond {
			t.Errorf("10 MiB after %v", got)
		}
	})
}

// The server of leat dev and leat run keeps subscriptions for their five minutes over every version of HTTP, also on a connection that
// is used for other requests meanwhile and afterwards.
func TestServeKeepsSubscriptions(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
			network := pipenet.New()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			listener := network.Listen("kinesis:80")
			go func() { ended <- kinesisapi.Serve(ctx, listener, s.server, nil) }()
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2c)
			protocols.SetUnencryptedHTTP2(h2c)
			transport := &http.Transport{DialContext: network.DialContext, Protocols: protocols}
			s.http = &http.Client{Transport: transport}
			s.client = clientOver(s.url, s.http)
			start := time.Now()
			sub := s.mustSubscribe(t, latest())
			for i := 0; ; i++ {
				s.put(t, fmt.Sprint(i))
				e := event(t, sub)
				if e == nil {
					break
				}
				if len(e.Records) != 1 || string(e.Records[0].Data) != fmt.Sprint(i) {
					t.Errorf("h2c %v: record %d: got %+v", h2c, i, e)
				}
				time.Sleep(7 * time.Second)
				if e := event(t, sub); e != nil && len(e.Records) > 0 {
					t.Errorf("h2c %v: got %+v", h2c, e)
				}
			}
			if sub.Err() != nil || time.Since(start) < 5*time.Minute {
				t.Errorf("h2c %v: ended after %v: %v", h2c, time.Since(start), sub.Err())
			}
			s.put(t, "last")
			transport.CloseIdleConnections()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

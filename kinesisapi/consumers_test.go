package kinesisapi_test

import (
	"bytes"
	"fmt"
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

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/eventstream"
	"github.com/leatstream/leat/stream/local"
)

func TestConsumersAreNamedByEveryKey(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	s, ctx := subscribing(t, r, 0), t.Context()
	for _, in := range []*kinesis.DescribeStreamConsumerInput{
		{ConsumerARN: &s.consumer},
		{StreamARN: aws.String(ordersARN), ConsumerName: aws.String("reader")},
		{ConsumerARN: &s.consumer, StreamARN: aws.String(ordersARN), ConsumerName: aws.String("reader")},
	} {
		out, err := r.client.DescribeStreamConsumer(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		d := out.ConsumerDescription
		if *d.ConsumerARN != s.consumer || *d.ConsumerName != "reader" || *d.StreamARN != ordersARN ||
			d.ConsumerStatus != types.ConsumerStatusActive || time.Since(*d.ConsumerCreationTimestamp) > time.Hour {
			t.Errorf("got %+v", d)
		}
		if want := fmt.Sprintf("%s/consumer/reader:%d", ordersARN, d.ConsumerCreationTimestamp.Unix()); want != s.consumer {
			t.Errorf("the ARN is %s, want %s", s.consumer, want)
		}
	}
	for body, want := range map[string]string{
		`{}`:                                "InvalidArgumentException",
		`{"ConsumerName":"reader"}`:         "InvalidArgumentException",
		`{"StreamARN":"` + ordersARN + `"}`: "InvalidArgumentException",
		`{"ConsumerARN":"` + s.consumer + `","ConsumerName":"other"}`:                                                 "InvalidArgumentException",
		`{"ConsumerARN":"` + s.consumer + `","StreamARN":"` + ordersARN + `2"}`:                                       "InvalidArgumentException",
		`{"ConsumerARN":"` + s.consumer + `1"}`:                                                                       "ResourceNotFoundException",
		`{"StreamARN":"` + ordersARN + `","ConsumerName":"other"}`:                                                    "ResourceNotFoundException",
		`{"StreamARN":"` + ordersARN + `2","ConsumerName":"reader"}`:                                                  "ResourceNotFoundException",
		`{"ConsumerARN":"arn:aws:kinesis:eu-west-1:000000000000:stream/orders/consumer/reader:1"}`:                    "ResourceNotFoundException",
		`{"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/reader"}`:                      "ValidationException",
		`{"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/reader:99999999999999999999"}`: "InvalidArgumentException",
	} {
		for _, operation := range []string{"DescribeStreamConsumer", "DeregisterStreamConsumer"} {
			if status, text := r.do(t, operation, body); status != http.StatusBadRequest || !strings.Contains(text, want) {
				t.Errorf("%s %s: %d %s, want %s", operation, body, status, text, want)
			}
		}
	}
}

func TestConsumerLimitsAndPages(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	subscribing(t, r, 0)
	_, text := r.do(t, "RegisterStreamConsumer", `{"StreamARN":"`+ordersARN+`","ConsumerName":"reader"}`)
	if !strings.Contains(text, "ResourceInUseException") {
		t.Error(text)
	}
	_, text = r.do(t, "RegisterStreamConsumer", `{"StreamARN":"`+ordersARN+`x","ConsumerName":"reader"}`)
	if !strings.Contains(text, "Stream ordersx under account 000000000000 not found.") {
		t.Error(text)
	}
	for i := range 19 {
		r.register(t, fmt.Sprintf("c%02d", i))
	}
	if _, text = r.do(t, "RegisterStreamConsumer", `{"StreamARN":"`+ordersARN+`","ConsumerName":"z"}`); !strings.Contains(text, "LimitExceededException") {
		t.Error(text)
	}
	pages := kinesis.NewListStreamConsumersPaginator(r.client, &kinesis.ListStreamConsumersInput{StreamARN: aws.String(ordersARN), MaxResults: aws.Int32(7)})
	var names []string
	n := 0
	for ; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Consumers {
			names = append(names, *c.ConsumerName)
		}
	}
	if n != 3 || len(names) != 20 || names[0] != "c00" || names[19] != "reader" {
		t.Errorf("%d pages: %v", n, names)
	}
	for _, more := range []string{`"NextToken":"AAAA"`, `"StreamCreationTimestamp":5`} {
		if status, text := r.do(t, "ListStreamConsumers", `{"StreamARN":"`+ordersARN+`",`+more+`}`); status != http.StatusBadRequest {
			t.Errorf("%s: %s", more, text)
		}
	}
}

// What is registered is there after a restart.
func TestConsumersAreDurable(t *testing.T) {
	fs := vfs.NewMem()
	engine, err := local.Open("data", local.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	s := subscribing(t, serve(t, engine, kinesisapi.Config{}), 0)
	s.put(t, "a")
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	again := &subscriber{rig: newRigOn(t, fs, kinesisapi.Config{}), consumer: s.consumer}
	sub := again.mustSubscribe(t, &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
	if got, _ := texts(t, sub, 1); got[0] != "a" {
		t.Errorf("got %v", got)
	}
	_ = sub.Close()
}

// With a delay the states of a consumer are seen, and it cannot subscribe in them.
func TestStatesOfConsumers(t *testing.T) {
	bubble(t, kinesisapi.Config{Delay: time.Second}, func(t *testing.T, s *subscriber) {
		s.consumer = s.register(t, "second")
		_, err := s.subscribe(t, latest())
		is[*types.ResourceInUseException](t, err, "not ACTIVE, instead in state CREATING")
		time.Sleep(time.Second)
		sub := s.mustSubscribe(t, latest())
		if _, err := s.client.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &s.consumer}); err != nil {
			t.Fatal(err)
		}
		for event(t, sub) != nil {
		}
		is[*types.ResourceNotFoundException](t, sub.Err(), "second")
		_, err = s.subscribe(t, latest())
		is[*types.ResourceInUseException](t, err, "instead in state DELETING")
		_, err = s.client.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(ordersARN), ConsumerName: aws.String("second")})
		is[*types.ResourceInUseException](t, err, "already exists")
		time.Sleep(time.Second)
		_, err = s.subscribe(t, latest())
		is[*types.ResourceNotFoundException](t, err, "second")
		if got := s.register(t, "second"); got == s.consumer {
			t.Errorf("a consumer made again has the ARN of the old one, %s", got)
		}
	})
}

// The frames of a CBOR request carry CBOR, those of a JSON request JSON, also in failures.
func TestFramesAreInTheFormatOfTheRequest(t *testing.T) {
	bubble(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		s.put(t, "a")
		for content, want := range map[string][2]string{
			"application/x-amz-json-1.1": {`"Data":"YQ=="`, `{"message":"Another`},
			"application/x-amz-cbor-1.1": {"dData\x41a", "gmessagex"},
		} {
			body := []byte(`{"ConsumerARN":"` + s.consumer + `","ShardId":"0","StartingPosition":{"Type":"TRIM_HORIZON"}}`)
			if strings.Contains(content, "cbor") {
				body = cborOf(s.consumer)
			}
			req := s.request(t, "SubscribeToShard", string(body))
			req.Header.Set("Content-Type", content)
			answer, err := s.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != eventstream.ContentType || answer.Header.Get("X-Amzn-Requestid") == "" {
				t.Errorf("%s: %s %v", content, answer.Status, answer.Header)
			}
			time.Sleep(6 * time.Second)
			other := s.mustSubscribe(t, latest())
			all, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			var frames []eventstream.Message
			for len(all) > 0 {
				var m eventstream.Message
				if m, all, err = eventstream.Decode(all); err != nil {
					t.Fatal(err)
				}
				if m.Headers[":content-type"] != content {
					t.Errorf("%s: got %v", content, m.Headers)
				}
				frames = append(frames, m)
			}
			last := frames[len(frames)-1]
			if len(frames) != 4 || frames[0].Headers[":event-type"] != "initial-response" || len(frames[0].Payload) != 0 ||
				!bytes.Contains(frames[1].Payload, []byte(want[0])) || last.Headers[":exception-type"] != "ResourceInUseException" ||
				!bytes.Contains(last.Payload, []byte(want[1])) {
				t.Errorf("%s: %d frames: %q", content, len(frames), frames)
			}
			_ = other.Close()
			time.Sleep(6 * time.Second)
			synctest.Wait()
		}
	})
}

// cborOf is a request of SubscribeToShard from TRIM_HORIZON.
func cborOf(consumer string) []byte {
	b := []byte("\xa3kConsumerARN\x78")
	b = append(append(b, byte(len(consumer))), consumer...)
	b = append(b, "gShardIda0pStartingPosition\xa1dTypelTRIM_HORIZON"...)
	return b
}

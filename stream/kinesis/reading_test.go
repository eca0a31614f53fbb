package kinesis_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// hijack is a transport that answers some requests itself: those for which it returns an answer.
type hijack func(action string, body string) *http.Response

// RoundTrip implements http.RoundTripper.
func (h hijack) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if out := h(action, string(text)); out != nil {
		out.Request = r
		return out, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

func answer(status int, text string) *http.Response {
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}
}

// breaker is a transport that breaks the first subscription before its first event.
type breaker struct{ done bool }

// RoundTrip implements http.RoundTripper.
func (b *breaker) RoundTrip(r *http.Request) (*http.Response, error) {
	out, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || b.done || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "SubscribeToShard") {
		return out, err
	}
	b.done = true
	var size [4]byte
	if _, err := io.ReadFull(out.Body, size[:]); err != nil {
		return nil, err
	}
	hello := make([]byte, binary.BigEndian.Uint32(size[:]))
	copy(hello, size[:])
	if _, err := io.ReadFull(out.Body, hello[4:]); err != nil {
		return nil, err
	}
	out.Body.Close()
	out.Body = io.NopCloser(bytes.NewReader(hello))
	return out, nil
}

func TestLatestIsJudgedOnceWhenASubscriptionBreaks(t *testing.T) {
	t.Parallel()
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: leatServer(t, kinesisapi.Config{}), FanOut: "leat", Transport: new(breaker)}, house)
	defer stop()
	streamtest.Create(t, e, "s", 1)
	r, err := e.Read(t.Context(), "s", 0, stream.Latest())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("between")})
	b, err := r.Next(t.Context(), stream.Limit{})
	if err != nil || string(b.Records[0].Data) != "between" {
		t.Errorf("got %v, %v", b, err)
	}
}

// A stream that is deleted and made again has other consumers, and all of it is behind a position in the older one.
func TestAStreamThatIsMadeAgainIsRead(t *testing.T) {
	for _, fanOut := range []string{"", "leat"} {
		t.Run("fan-out "+fanOut, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, stop := virtualLeat(t, kinesis.Config{FanOut: fanOut})
				var last leat.SequenceNumber
				for range 2 {
					streamtest.Create(t, e, "s", 1)
					r, err := e.Read(t.Context(), "s", 0, stream.After(last))
					if err != nil {
						t.Fatal(err)
					}
					placed := streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("x")})
					last = placed[0].Sequence
					if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || b.First() != last {
						t.Errorf("got %v, %v", b.Records, err)
					}
					r.Close()
					if err := e.Delete(t.Context(), "s"); err != nil {
						t.Fatal(err)
					}
					time.Sleep(5 * time.Second)
				}
				stop()
			})
		})
	}
}

// Clocks differ. A time that is in the future only for Kinesis is now.
func TestAClockAheadOfKinesisDoesNotKeepFromReading(t *testing.T) {
	for _, fanOut := range []string{"", "leat"} {
		t.Run("fan-out "+fanOut, func(t *testing.T) {
			transport := hijack(func(_, body string) *http.Response {
				if !strings.Contains(body, `"AT_TIMESTAMP"`) {
					return nil
				}
				return answer(400, `{"__type":"InvalidArgumentException","message":"The timestampInMillis parameter cannot be greater than the currentTimestampInMillis."}`)
			})
			house := openHouse(t, vfs.NewMem())
			defer house.Close()
			e, stop := start(t, kinesis.Config{Endpoint: leatServer(t, kinesisapi.Config{}), FanOut: fanOut, Transport: transport}, house)
			defer stop()
			streamtest.Create(t, e, "s", 1)
			r, err := e.Read(t.Context(), "s", 0, stream.AtTime(time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("x")})
			if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || len(b.Records) != 1 {
				t.Errorf("got %v, %v", b, err)
			}
			if _, err := e.Read(t.Context(), "s", 0, stream.AtTime(time.Now().Add(-time.Hour))); !errors.Is(err, stream.ErrInvalid) {
				t.Errorf("another time that Kinesis refuses: %v", err)
			}
		})
	}
}

// An empty put is nothing, wherever its stream is.
func TestEmptyPutsAreNothing(t *testing.T) {
	f := newFake("s", 1)
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	streamtest.Create(t, house, "here", 1)
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}}, house)
	defer stop()
	for _, other := range []string{"s", "here"} {
		c := stream.Commit{Placed: true, Puts: []stream.Put{{Stream: "s"}, {Stream: other, Events: []leat.Event{{PartitionKey: "k"}}}, {Stream: "s"}}}
		r, err := e.Commit(t.Context(), c)
		if err != nil || len(r.Puts) != 3 || len(r.Puts[1]) != 1 {
			t.Errorf("%s: %v, %v", other, r, err)
		}
	}
}

func TestAServiceThatNeverAnswersHasFailed(t *testing.T) {
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: "http://127.0.0.1:1"}, house)
	defer stop()
	if e.Patience() <= 0 {
		t.Error("requests wait without end")
	}
}

// Who may not make streams uses those that are there.
func TestAStreamThatIsThereNeedsNoLeaveToMakeIt(t *testing.T) {
	denied := false
	transport := hijack(func(action, _ string) *http.Response {
		if action == "CreateStream" && denied {
			return answer(400, `{"__type":"AccessDeniedException","message":"not authorized"}`)
		}
		return nil
	})
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: leatServer(t, kinesisapi.Config{}), Transport: transport}, house)
	defer stop()
	streamtest.Create(t, e, "s", 1)
	denied = true
	if err := e.Create(t.Context(), stream.Spec{Name: "s", Shards: 1}); !errors.Is(err, stream.ErrExists) {
		t.Errorf("a stream that is there: %v", err)
	}
	if err := e.Create(t.Context(), stream.Spec{Name: "other", Shards: 1}); err == nil || errors.Is(err, stream.ErrExists) {
		t.Errorf("one that is not: %v", err)
	}
}

package eventstream_test

import (
	"bytes"
	"errors"
	"testing"

	aws "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/leatstream/leat/kinesisapi/eventstream"
)

const jsonType = "application/x-amz-json-1.1"

func stream() []byte {
	b := eventstream.AppendInitial(nil, jsonType)
	b = eventstream.AppendEvent(b, "SubscribeToShardEvent", jsonType, []byte(`{"Records":[]}`))
	b = eventstream.AppendEvent(b, "SubscribeToShardEvent", "application/x-amz-cbor-1.1", bytes.Repeat([]byte{0xa0}, 1<<20))
	return eventstream.AppendException(b, "ResourceInUseException", jsonType, []byte(`{"message":"taken over"}`))
}

// The decoder of the SDK for Go and ours read the same.
func TestDecoderOfAWSReadsTheFrames(t *testing.T) {
	b := stream()
	theirs := bytes.NewReader(b)
	for want := 4; want > 0; want-- {
		m, rest, err := eventstream.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		a, err := aws.NewDecoder().Decode(theirs, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Payload, m.Payload) || len(a.Headers) != 3 || len(m.Headers) != 3 {
			t.Errorf("got %v, %v", a.Headers, m.Headers)
		}
		for _, h := range a.Headers {
			if h.Value.String() != m.Headers[h.Name] {
				t.Errorf("%s is %q, want %q", h.Name, m.Headers[h.Name], h.Value)
			}
		}
		b = rest
	}
	if len(b) != 0 || theirs.Len() != 0 {
		t.Errorf("%d and %d bytes are left", len(b), theirs.Len())
	}
}

// What the encoder of the SDK writes is what ours writes.
func TestFramesAreThoseOfTheEncoderOfAWS(t *testing.T) {
	m := aws.Message{Payload: []byte(`{}`)}
	m.Headers.Set(":message-type", aws.StringValue("event"))
	m.Headers.Set(":event-type", aws.StringValue("SubscribeToShardEvent"))
	m.Headers.Set(":content-type", aws.StringValue(jsonType))
	var want bytes.Buffer
	if err := aws.NewEncoder().Encode(&want, m); err != nil {
		t.Fatal(err)
	}
	if got := eventstream.AppendEvent(nil, "SubscribeToShardEvent", jsonType, []byte(`{}`)); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got  %q\nwant %q", got, want.Bytes())
	}
}

func TestEveryChangedBitIsFound(t *testing.T) {
	frame := eventstream.AppendEvent(nil, "e", jsonType, []byte("payload"))
	for i := range frame {
		for bit := range 8 {
			changed := bytes.Clone(frame)
			changed[i] ^= 1 << bit
			if _, _, err := eventstream.Decode(changed); err == nil {
				t.Fatalf("bit %d of byte %d is not missed", bit, i)
			}
		}
		if _, _, err := eventstream.Decode(frame[:i]); !errors.Is(err, eventstream.ErrShort) {
			t.Fatalf("%d bytes of a frame: %v", i, err)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 1000)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		buf = eventstream.AppendEvent(buf[:0], "SubscribeToShardEvent", jsonType, payload)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(stream()[:300])
	f.Add(eventstream.AppendInitial(nil, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, rest, err := eventstream.Decode(b)
		a, theirs := aws.NewDecoder().Decode(bytes.NewReader(b), nil)
		if err != nil {
			return // AWS's takes headers of all types
		}
		if theirs != nil || !bytes.Equal(a.Payload, m.Payload) {
			t.Fatalf("read %v, AWS: %v", m, theirs)
		}
		if len(rest) >= len(b) {
			t.Fatal("no progress")
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 100_000)
	var buf []byte
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		buf = eventstream.AppendEvent(buf[:0], "SubscribeToShardEvent", jsonType, payload)
	}
}

package kinesis_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// A destination may be away for longer than records are kept. The reader that was not asked all the time tells of what has expired meanwhile.
func TestAReaderThatWasNotAskedForLongTellsWhatIsMissing(t *testing.T) {
	for _, fanOut := range []string{"", "leat"} {
		t.Run("fan-out "+fanOut, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, stop := virtualLeat(t, kinesis.Config{FanOut: fanOut})
				defer stop()
				streamtest.Create(t, e, "s", 1)
				r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				event := leat.Event{PartitionKey: "k", Data: []byte("x")}
				first := streamtest.Put(t, e, "s", event)[0].Sequence
				if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || b.First() != first {
					t.Fatalf("got %v, %v", b.Records, err)
				}
				time.Sleep(10 * time.Minute) // a subscription is over
				missed := streamtest.Put(t, e, "s", event)[0].Sequence
				time.Sleep(30 * time.Hour)
				last := streamtest.Put(t, e, "s", event)[0].Sequence
				var gap *stream.GapError
				if b, err := r.Next(t.Context(), stream.Limit{}); !errors.As(err, &gap) {
					t.Fatalf("got %v, %v, want a gap", b.Records, err)
				}
				if gap.From.Compare(first) <= 0 || gap.From.Compare(missed) > 0 || gap.To.Compare(missed) < 0 || gap.To.Compare(last) >= 0 {
					t.Errorf("the gap is %v", gap)
				}
				if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || b.First() != last {
					t.Errorf("behind it: %v, %v", b.Records, err)
				}
			})
		})
	}
}

// down is a transport that reaches nothing while it is told so.
type down struct {
	http.RoundTripper
	away atomic.Bool
}

var errDown = errors.New("no route to the region")

// RoundTrip implements http.RoundTripper.
func (d *down) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.away.Load() {
		return nil, errDown
	}
	return d.RoundTripper.RoundTrip(r)
}

// Who reads learns of an outage that lasts, and goes on with the same reader when it is over.
func TestAnOutageThatLastsReachesWhoReads(t *testing.T) {
	for _, fanOut := range []string{"", "leat"} {
		t.Run("fan-out "+fanOut, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &down{}
				e, stop := virtualLeat(t, kinesis.Config{FanOut: fanOut, Transport: d})
				defer stop()
				streamtest.Create(t, e, "s", 1)
				r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				time.Sleep(6 * time.Minute)
				d.away.Store(true)
				begun := time.Now()
				for range 5 {
					if _, err := r.Next(t.Context(), stream.Limit{}); !errors.Is(err, errDown) {
						t.Errorf("got %v", err)
					}
				}
				if _, err := e.Read(t.Context(), "s", 0, stream.Oldest()); !errors.Is(err, errDown) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begun); took < time.Minute || took > 30*time.Minute {
					t.Errorf("it took %v", took)
				}
				d.away.Store(false)
				last := streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("x")})[0].Sequence
				if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || b.First() != last {
					t.Errorf("got %v, %v", b.Records, err)
				}
			})
		})
	}
}

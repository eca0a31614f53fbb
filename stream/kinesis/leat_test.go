package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// With the limits of AWS on, four shards take nearly all of their 4,000 records in a second, and nothing is lost.
func TestShardsAreUsedUpToTheirLimit(t *testing.T) {
	t.Parallel()
	url := leatServer(t, kinesisapi.Config{Throttle: true})
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: url, Format: "cbor", Wait: time.Millisecond}, house)
	defer stop()
	streamtest.Create(t, e, "s", 4)
	events, _ := keys(5000, 20_000)
	begun := time.Now()
	for part := range slices.Chunk(events, 500) {
		put(t, e, "s", part...)
	}
	drained(t, e)
	took := time.Since(begun)
	s := e.Status()[0]
	t.Logf("%.0f records/s, %d sent again", 20_000/took.Seconds(), s.Counters.Retries)
	if s.Counters.Records != 20_000 || took < 3*time.Second {
		t.Errorf("%d records in %v", s.Counters.Records, took)
	}
}

// Fan-out delivers everything once and in order, to each of two readers of a shard, and ends where a shard does.
func TestFanOutFollowsAShardToItsEnd(t *testing.T) {
	url := leatServer(t, kinesisapi.Config{})
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: url, FanOut: "leat", Pace: "off", Aggregate: true}, house)
	defer stop()
	streamtest.Create(t, e, "s", 1)
	readers := make([]stream.Reader, 2)
	for i := range readers {
		r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		readers[i] = r
	}
	events, want := run("k", 900)
	for part := range slices.Chunk(events, 100) {
		put(t, e, "s", part...)
	}
	drained(t, e)
	middle, err := leat.ParseHash("170141183460469231731687303715884105728")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Split(t.Context(), "s", 0, middle); err != nil {
		t.Fatal(err)
	}
	for i, r := range readers {
		var got []string
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			b, err := r.Next(ctx, stream.Limit{Records: 77})
			cancel()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("reader %d after %d records: %v", i, len(got), err)
			}
			for _, record := range b.Records {
				got = append(got, string(record.Data))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("reader %d got %d records", i, len(got))
		}
	}
}

// Faults of the service are invisible but for time.
func TestFaultsOfTheServiceLoseNothing(t *testing.T) {
	t.Parallel()
	url := leatServer(t, kinesisapi.Config{Faults: kinesisapi.Faults{Throttle: 0.1, Partial: 0.1, Internal: 0.1}})
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: url, Format: "cbor", Pace: "off", Wait: time.Millisecond}, house)
	defer stop()
	for {
		err := e.Create(t.Context(), stream.Spec{Name: "s", Shards: 3})
		if err == nil || errors.Is(err, stream.ErrExists) {
			break
		}
		t.Log(err)
	}
	events, want := keys(60, 3000)
	for part := range slices.Chunk(events, 200) {
		put(t, e, "s", part...)
	}
	drained(t, e)
	got := map[string][]string{}
	for _, r := range streamtest.ReadStream(t, e, "s") {
		got[r.PartitionKey] = append(got[r.PartitionKey], string(r.Data))
	}
	for key, list := range want {
		if once := slices.Compact(got[key]); !slices.Equal(once, list) {
			t.Fatalf("%s: %d records, want %d", key, len(once), len(list))
		}
	}
}

// virtualLeat serves an engine of Leat in a bubble of virtual time, and returns an engine over it.
func virtualLeat(t *testing.T, c kinesis.Config) (e *kinesis.Engine, stop func()) {
	net := pipenet.New()
	engine := openHouse(t, vfs.NewMem())
	running, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(running) }()
	api, err := kinesisapi.New(kinesisapi.Config{Engine: engine, Admin: engine})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api}
	go server.Serve(net.Listen("kinesis:80"))
	transport := &http.Transport{DialContext: net.DialContext, MaxIdleConnsPerHost: 64}
	house := openHouse(t, vfs.NewMem())
	if d, ok := c.Transport.(*down); ok {
		d.RoundTripper = transport
	} else {
		c.Transport = transport
	}
	c.Endpoint = "http://kinesis:80"
	e, over := start(t, c, house)
	return e, func() {
		over()
		house.Close()
		transport.CloseIdleConnections()
		server.Close()
		end()
		<-ended
		engine.Close()
		synctest.Wait()
	}
}

func TestReadersOutliveTheirIterators(t *testing.T) {
	for _, fanOut := range []string{"", "leat"} {
		t.Run("fan-out "+fanOut, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, stop := virtualLeat(t, kinesis.Config{FanOut: fanOut})
				streamtest.Create(t, e, "s", 1)
				r, err := e.Read(t.Context(), "s", 0, stream.Latest())
				if err != nil {
					t.Fatal(err)
				}
				for i := range 5 { // an iterator and a subscription live for five minutes
					put(t, e, "s", leat.Event{PartitionKey: "k", Data: fmt.Append(nil, i)})
					drained(t, e)
					time.Sleep(11 * time.Minute)
					b, err := r.Next(t.Context(), stream.Limit{})
					if err != nil || len(b.Records) != 1 || string(b.Records[0].Data) != fmt.Sprint(i) {
						t.Fatalf("round %d: got %v, %v", i, b.Records, err)
					}
				}
				r.Close()
				stop()
			})
		})
	}
}

func TestExpiredRecordsAreAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, stop := virtualLeat(t, kinesis.Config{})
		streamtest.Create(t, e, "s", 1)
		first := streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("read")})[0].Sequence
		put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("missed")})
		drained(t, e)
		time.Sleep(30 * time.Hour)
		last := streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("new")})[0].Sequence
		r, err := e.Read(t.Context(), "s", 0, stream.After(first))
		if err != nil {
			t.Fatal(err)
		}
		var gap *stream.GapError
		if _, err := r.Next(t.Context(), stream.Limit{}); !errors.As(err, &gap) {
			t.Fatalf("got %v, want a gap", err)
		}
		if gap.From.Compare(first) <= 0 || gap.To.Compare(last) >= 0 || gap.Reason != stream.GapExpired {
			t.Errorf("the gap is %v", gap)
		}
		if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || len(b.Records) != 1 || string(b.Records[0].Data) != "new" {
			t.Errorf("behind it: %v, %v", b.Records, err)
		}
		r.Close()
		time.Sleep(30 * time.Hour) // nothing follows: a checkpoint that grows old is no gap
		if r, err = e.Read(t.Context(), "s", 0, stream.After(last)); err != nil {
			t.Fatal(err)
		}
		next := streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("newer")})[0].Sequence
		if b, err := r.Next(t.Context(), stream.Limit{}); err != nil || b.First() != next {
			t.Errorf("behind an old checkpoint: %v, %v", b.Records, err)
		}
		r.Close()
		stop()
	})
}

// The rest of a closed shard that has expired before it was read is a gap; of a shard that is gone as a whole Read says so.
func TestTheExpiredRestOfAClosedShardIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, stop := virtualLeat(t, kinesis.Config{})
		defer stop()
		streamtest.Create(t, e, "s", 1)
		first := streamtest.Put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("read")})[0].Sequence
		put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("missed")})
		drained(t, e)
		time.Sleep(20 * time.Hour)
		shards, err := e.Shards(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Split(t.Context(), "s", 0, shards[0].Range.Middle()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Hour)
		r, err := e.Read(t.Context(), "s", 0, stream.After(first))
		if err != nil {
			t.Fatal(err)
		}
		var gap *stream.GapError
		if _, err := r.Next(t.Context(), stream.Limit{}); !errors.As(err, &gap) || gap.Reason != stream.GapExpired || gap.From.Compare(first) <= 0 {
			t.Fatalf("got %v, want a gap", err)
		}
		if _, err := r.Next(t.Context(), stream.Limit{}); !errors.Is(err, io.EOF) {
			t.Errorf("behind it: %v", err)
		}
		r.Close()
		if r, err = e.Read(t.Context(), "s", 0, stream.After(gap.To)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(t.Context(), stream.Limit{}); !errors.Is(err, io.EOF) {
			t.Errorf("from its end on: %v", err)
		}
		r.Close()
		time.Sleep(20 * time.Hour)
		if _, err := e.Read(t.Context(), "s", 0, stream.After(first)); !errors.Is(err, stream.ErrNoShard) {
			t.Errorf("a shard that has expired: %v", err)
		}
	})
}

package kinesis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// What Kinesis has not taken when the power fails is there afterwards. What it has taken is not sent again, but for what was on its way and
// what was taken since the mark was written.
func TestTheSpoolOutlivesACrash(t *testing.T) {
	f := newFake("s", 4)
	f.onDemand = true
	url := f.serve(t)
	fs := vfs.NewCrashableMem()
	var want map[string][]string
	events, want := keys(60, 6000)
	parts := slices.Collect(slices.Chunk(events, 200))
	for round := range 3 {
		var taken atomic.Int64
		f.mu.Lock()
		f.before = func(w http.ResponseWriter, _ *http.Request, p *putRecords) bool {
			if taken.Add(1) > 20 && round < 2 {
				fail(w, 500, "InternalFailure", "")
				return true
			}
			return false
		}
		f.mu.Unlock()
		house := openHouse(t, fs)
		e, stop := start(t, kinesis.Config{Endpoint: url, Streams: []string{"s"}, Wait: 20 * time.Millisecond}, house)
		for _, part := range parts[round*10 : round*10+10] {
			put(t, e, "s", part...)
		}
		if round == 2 {
			drained(t, e)
			stop()
			house.Close()
			break
		}
		for taken.Load() <= 20 || marked(t, house) != f.count() { // Kinesis is down, and the mark is written
			time.Sleep(time.Millisecond)
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		stop()
		house.Close()
		fs = crashed
	}
	if twice := check(t, f, want); twice != 0 {
		t.Errorf("%d are there twice, although all was quiet when the power failed", twice)
	}
}

// marked counts the records of the spool that the stored mark covers.
func marked(t *testing.T, house stream.Engine) (n int) {
	t.Helper()
	stored, err := house.Load(t.Context(), "kinesis/forwarded/s")
	if err != nil {
		t.Fatal(err)
	}
	var mark struct {
		Through leat.SequenceNumber `json:"through"`
		Beyond  []byte              `json:"beyond"`
	}
	if err := json.Unmarshal(stored.Value, &mark); err != nil {
		t.Fatal(err)
	}
	for _, r := range streamtest.ReadAll(t, house, "kinesis/spool/s", 0, stream.Oldest()) {
		if r.Sequence.Compare(mark.Through) <= 0 {
			n++
		}
	}
	for _, b := range mark.Beyond {
		n += bits.OnesCount8(b)
	}
	return n
}

// A stream that is reshaped while events wait, and while aggregates are under way to shards that close, loses nothing.
func TestReshardingUnderLoadLosesNothing(t *testing.T) {
	for _, how := range []kinesis.Config{{Order: "key"}, {Order: "key", Aggregate: true}, {Order: "none", Aggregate: true}} {
		t.Run(fmt.Sprint("order ", how.Order, " aggregate ", how.Aggregate), func(t *testing.T) {
			f := newFake("s", 2)
			f.onDemand = true
			house := openHouse(t, vfs.NewMem())
			defer house.Close()
			how.Endpoint, how.Streams = f.serve(t), []string{"s"}
			e, stop := start(t, how, house)
			events, want := keys(60, 6000)
			for i, part := range slices.Collect(slices.Chunk(events, 200)) {
				put(t, e, "s", part...)
				if i%5 == 4 {
					f.split(t)
				}
			}
			drained(t, e)
			stop()
			got := map[string]map[string]bool{}
			for _, s := range f.shards {
				for _, r := range f.records[s.ID] {
					for _, p := range kinesis.Parts(r) {
						if s.Range.Contains(leat.HashKey(p.PartitionKey)) { // others are left out by the Kinesis Client Library
							if got[p.PartitionKey] == nil {
								got[p.PartitionKey] = map[string]bool{}
							}
							got[p.PartitionKey][string(p.Data)] = true
						}
					}
				}
			}
			for key, list := range want {
				if len(got[key]) != len(list) {
					t.Errorf("%s: %d of %d are on the right shard", key, len(got[key]), len(list))
				}
			}
		})
	}
}

// split splits an open shard in halves.
func (f *fake) split(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var open []int
	for i := range f.shards {
		if f.shards[i].Open() {
			open = append(open, i)
		}
	}
	old := &f.shards[open[rand.N(len(open))]]
	lower, upper, err := stream.SplitRange(old.Range, old.Range.Middle())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	old.Closed, old.Last = now, leat.NewSequence(old.ID, old.Created, 1<<63-1, now)
	parent := old.ID
	for _, r := range []stream.HashRange{lower, upper} {
		id := leat.ShardID(len(f.shards))
		f.shards = append(f.shards, stream.Shard{ID: id, Parents: []leat.ShardID{parent}, Range: r, Created: now, First: leat.NewSequence(id, now, 0, now)})
	}
}

func TestAFullSpoolHoldsSourcesBack(t *testing.T) {
	f := newFake("s", 1)
	f.onDemand = true
	var down atomic.Bool
	down.Store(true)
	f.before = func(w http.ResponseWriter, _ *http.Request, _ *putRecords) bool {
		if down.Load() {
			fail(w, 503, "ServiceUnavailable", "")
		}
		return down.Load()
	}
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}, Wait: time.Millisecond, Spool: 16 << 20}, house)
	defer stop()
	large := func(i int) leat.Event { return leat.Event{PartitionKey: fmt.Sprint(i), Data: make([]byte, 1<<20-10)} }
	for i := range 16 {
		put(t, e, "s", large(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := e.Commit(ctx, stream.Commit{Puts: []stream.Put{{Stream: "s", Events: []leat.Event{large(16)}}}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a full spool took more: %v", err)
	}
	if s := e.Status()[0]; s.Records != 16 || s.Bytes > 16<<20 {
		t.Errorf("the status is %+v", s)
	}
	down.Store(false)
	put(t, e, "s", leat.Event{PartitionKey: "last", Data: []byte("last")})
	drained(t, e)
	if f.total != 17 {
		t.Errorf("%d are stored", f.total)
	}
}

func TestReceiptsSayWhereKinesisHasPutThem(t *testing.T) {
	f := newFake("s", 4)
	f.onDemand = true
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}}, house)
	defer stop()
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for range 20 {
				events, _ := keys(7, 50)
				for i := range events {
					events[i].Data = fmt.Append(events[i].Data, w)
				}
				for i, p := range streamtest.Put(t, e, "s", events...) {
					if p.Sequence.IsZero() || p.Sequence.Shard() != p.Shard {
						t.Errorf("event %d is at %+v", i, p)
						return
					}
				}
			}
		})
	}
	group.Wait()
	if f.total != 8*20*50 {
		t.Errorf("%d are stored", f.total)
	}
}

// Kinesis keeps no identities. What a source repeats after a restart is known from the spool all the same.
func TestRepeatsAreKnownAfterARestart(t *testing.T) {
	f := newFake("s", 2)
	f.onDemand = true
	url := f.serve(t)
	fs := vfs.NewMem()
	events, _ := keys(10, 1000)
	for round := range 2 {
		house := openHouse(t, fs)
		e, stop := start(t, kinesis.Config{Endpoint: url, Streams: []string{"s"}, Remember: 10 * time.Minute}, house)
		p := &producer.Producer{Engine: e, Stream: "s", Source: "feed", Remember: producer.Remember{Window: 10 * time.Minute, Events: 100_000}}
		if _, err := p.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Put(t.Context(), source.Delivery{Events: events[:500+500*round]}); err != nil {
			t.Fatal(err)
		}
		drained(t, e)
		stop()
		house.Close()
	}
	if f.total != 1000 {
		t.Errorf("%d are stored, want 1000", f.total)
	}
}

package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// stuck makes the fake refuse whatever has one of the keys, and returns how to let it pass.
func (f *fake) stuck(key string) (release func()) {
	refuses := true
	f.mu.Lock()
	f.refusesKey = func(k string) bool { return refuses && k == key }
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		refuses = false
		f.mu.Unlock()
	}
}

// stuckEvent is one with the key "stuck", on the last shard of two.
func stuckEvent(text string) leat.Event {
	at := leat.MaxHash
	return leat.Event{PartitionKey: "stuck", HashKey: &at, Data: []byte(text)}
}

// apart returns n events of so many keys, all on the first shard of two, and what each key is to hold.
func apart(many, n int) (events []leat.Event, want map[string][]string) {
	want = map[string][]string{}
	half := stream.EvenRanges(2)[0]
	var names []string
	for i := 0; len(names) < many; i++ {
		if name := fmt.Sprint("key", i); half.Contains(leat.HashKey(name)) {
			names = append(names, name)
		}
	}
	for i := range n {
		key := names[i%many]
		text := fmt.Sprintf("%s %06d", key, i)
		want[key] = append(want[key], text)
		events = append(events, leat.Event{PartitionKey: key, Data: []byte(text)})
	}
	return events, want
}

// waitFor waits until the stored mark covers n records.
func waitFor(t *testing.T, house stream.Engine, n int) {
	t.Helper()
	for marked(t, house) < n {
		if t.Context().Err() != nil {
			t.Fatal("the mark does not move")
		}
		time.Sleep(time.Millisecond)
	}
}

// A record that Kinesis refuses stays behind while others go on. After a restart only that one is sent, and records of a key keep their order.
func TestWhatWentAheadOfARefusedRecordIsNotSentAgain(t *testing.T) {
	for _, before := range []int{0, 1} { // records in front of it
		for _, aggregate := range []bool{false, true} {
			t.Run(fmt.Sprint(before, " aggregate ", aggregate), func(t *testing.T) {
				f := newFake("s", 2)
				f.onDemand = true
				release := f.stuck("stuck")
				house := openHouse(t, vfs.NewMem())
				defer house.Close()
				c := kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}, Wait: time.Millisecond, Aggregate: aggregate}
				e, stop := start(t, c, house)
				events, want := apart(60, 600)
				events = slices.Insert(events, before, stuckEvent("stuck"))
				want["stuck"] = []string{"stuck"}
				put(t, e, "s", events...)
				waitFor(t, house, 600)
				stop()
				release()
				e, stop = start(t, c, house)
				drained(t, e)
				if s := e.Status()[0]; s.Records != 0 || s.Bytes != 0 || s.Counters.Records > 601 {
					t.Errorf("the status is %+v", s)
				}
				stop()
				if twice := check(t, f, want); twice != 0 {
					t.Errorf("%d are there twice", twice)
				}
			})
		}
	}
}

// A mark that is left of a spool with the same name says nothing about this one.
func TestTheMarkOfAnOlderSpoolIsNotBelieved(t *testing.T) {
	for _, at := range []int{0, 1} { // records that are forwarded before the first one that is not
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			f := newFake("s", 2)
			f.onDemand = true
			release := f.stuck("stuck")
			house := openHouse(t, vfs.NewMem())
			defer house.Close()
			c := kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}, Wait: time.Millisecond}
			e, stop := start(t, c, house)
			before, _ := apart(7, 50)
			put(t, e, "s", slices.Insert(before, at, stuckEvent("old"))...)
			waitFor(t, house, 50)
			stop()
			if err := house.Delete(t.Context(), "kinesis/spool/s"); err != nil { // and then the process ended
				t.Fatal(err)
			}
			e, stop = start(t, c, house)
			events, want := apart(7, 70)
			for key := range want {
				for i := range want[key] {
					want[key][i] += " new"
				}
			}
			for i := range events {
				events[i].Data = append(events[i].Data, " new"...)
			}
			f.forget()
			put(t, e, "s", slices.Insert(events, 0, stuckEvent("new"))...)
			waitFor(t, house, 70)
			release()
			drained(t, e)
			stop()
			check(t, f, want)
		})
	}
}

// forget empties the fake.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.records)
}

// What waits for a stream that the configuration does not name any more is durable, and has been acknowledged.
func TestEventsOfAStreamThatIsNotConfiguredAnyMoreAreForwarded(t *testing.T) {
	f := newFake("s", 1)
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	c := kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}}
	streamtest.Create(t, house, "other", 1)
	e, err := kinesis.Open(t.Context(), kinesis.Config{Endpoint: c.Endpoint, Streams: c.Streams, AccessKey: "a", Wait: time.Millisecond}, house)
	if err != nil {
		t.Fatal(err)
	}
	put(t, e, "s", leat.Event{PartitionKey: "k", Data: []byte("x")}) // Run is not called
	c.Streams = []string{"other"}
	e, stop := start(t, c, house)
	for f.count() == 0 {
		if t.Context().Err() != nil {
			t.Fatal("not forwarded")
		}
		time.Sleep(time.Millisecond)
	}
	drained(t, e)
	stop()
	e, stop = start(t, c, house)
	defer stop()
	if n := len(e.Status()); n != 1 {
		t.Errorf("%d streams are forwarded", n)
	}
}

// More than a commit of the house takes is refused at once, and more than is read ahead.
func TestManyLargeRecordsAreRefused(t *testing.T) {
	f := newFake("s", 1)
	f.limit = 1
	f.onDemand = true
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}, Wait: time.Millisecond}, house)
	for i := range 10 {
		events := make([]leat.Event, 10)
		for j := range events {
			events[j] = leat.Event{PartitionKey: fmt.Sprint(i, j), Data: make([]byte, 1<<20)}
		}
		put(t, e, "s", events...)
	}
	put(t, e, "s", leat.Event{PartitionKey: "small", Data: []byte("small")})
	drained(t, e)
	stop()
	if s := e.Status()[0]; s.Counters.Refused != 100 || f.count() != 1 {
		t.Errorf("%d are refused, %d are stored", s.Counters.Refused, f.count())
	}
}

// Whoever asks where its events went is told which of them Kinesis does not take, and where the others are.
func TestReceiptsOfACommitThatIsRefusedInPart(t *testing.T) {
	f := newFake("s", 1)
	f.limit = 1
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}}, house)
	defer stop()
	r, err := e.Commit(t.Context(), stream.Commit{Placed: true, Puts: []stream.Put{{Stream: "s", Events: []leat.Event{
		{PartitionKey: "a", Data: []byte("a")}, {PartitionKey: "b", Data: make([]byte, 2000)}, {PartitionKey: "c", Data: []byte("c")},
	}}}})
	var partial *stream.PartialError
	if !errors.As(err, &partial) || !slices.Equal(partial.Refused[0], []int{1}) || stream.Refused(err) || !errors.Is(err, stream.ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	if p := r.Puts[0]; p[0].Sequence.IsZero() || !p[1].Sequence.IsZero() || p[2].Sequence.IsZero() {
		t.Errorf("the receipt is %v", r)
	}
}

// What was forwarded and what was not lie in one another while a record is refused. The house keeps all of it.
func TestTheHouseKeepsWhatIsBehindARefusedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("s", 2)
		f.onDemand, f.discard, f.limit = true, true, 10<<10
		release := f.stuck("stuck")
		house := openHouse(t, vfs.NewMem())
		e, stop := virtualOver(t, f, kinesis.Config{Wait: time.Millisecond, Pace: "off"}, house)
		put(t, e, "s", stuckEvent("stuck"))
		bytes := int64(0)
		for i := range 127 {
			time.Sleep(10 * time.Second)
			size := 1 << 20
			if i == 63 { // the last one for which there is room in the window
				size *= 10
			}
			put(t, e, "s", leat.Event{PartitionKey: "large", HashKey: new(leat.Hash), Data: make([]byte, size-5)})
			bytes += int64(size)
		}
		all, err := house.Streams(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if all[i].Name == "kinesis/spool/s" && all[i].Keep.Bytes < bytes {
				t.Errorf("%d bytes are kept of %d", all[i].Keep.Bytes, bytes)
			}
		}
		if n := f.count(); n != 64 {
			t.Errorf("%d are stored", n)
		}
		release()
		drained(t, e)
		stop()
	})
}

// Room that a commit has taken and not used is there for others.
func TestRoomInTheSpoolIsGivenBack(t *testing.T) {
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, err := kinesis.Open(t.Context(), kinesis.Config{Endpoint: "http://127.0.0.1:1", Streams: []string{"a", "b"}, AccessKey: "a", Wait: time.Millisecond, Spool: 16 << 20}, slowHouse{house})
	if err != nil {
		t.Fatal(err)
	}
	large := func(names ...string) (c stream.Commit) {
		for _, name := range names {
			c.Puts = append(c.Puts, stream.Put{Stream: name, Events: []leat.Event{{PartitionKey: "k", Data: make([]byte, 10<<20)}}})
		}
		return c
	}
	var group sync.WaitGroup
	fenced := stream.Swap{Mark: stream.Mark{Key: "m", Epoch: 2}, Was: 1}
	for i := range 20 {
		group.Go(func() {
			c := large("a", "b")
			if i%2 == 0 {
				c = large("b", "a")
			}
			c.Marks = []stream.Swap{fenced}
			if _, err := e.Commit(t.Context(), c); !errors.Is(err, stream.ErrFenced) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if _, err := e.Commit(t.Context(), large("a", "a")); err != nil {
		t.Error(err)
	}
}

// slowHouse gives other commits time.
type slowHouse struct{ kinesis.House }

func (h slowHouse) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	for range 100 {
		runtime.Gosched()
	}
	return h.House.Commit(ctx, c)
}

// A commit that waits for a stream ends when the stream is deleted.
func TestDeletedStreamsHoldNobodyBack(t *testing.T) {
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	c := kinesis.Config{Endpoint: leatServer(t, kinesisapi.Config{}), Streams: []string{"s"}, AccessKey: "a", Wait: time.Millisecond, Spool: 16 << 20}
	c.SecretKey = setting.NewSecret("s")
	e, err := kinesis.Open(t.Context(), c, house) // Run is not called
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Create(t, e, "s", 1)
	large := stream.Put{Stream: "s", Events: []leat.Event{{PartitionKey: "k", Data: make([]byte, 10<<20)}}}
	put(t, e, "s", large.Events...)
	done := make(chan error, 2)
	go func() {
		_, err := e.Commit(context.WithoutCancel(t.Context()), stream.Commit{Puts: []stream.Put{large}})
		done <- err
	}()
	go func() {
		small := stream.Put{Stream: "s", Events: []leat.Event{{PartitionKey: "k", Data: []byte("x")}}}
		_, err := e.Commit(context.WithoutCancel(t.Context()), stream.Commit{Puts: []stream.Put{small}, Placed: true})
		done <- err
	}()
	for e.Status()[0].Counters.Received < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := e.Delete(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a commit to a deleted stream is acknowledged")
		}
	}
}

// Some services place records by other rules. Then the shards are not asked for all the time, and nothing is sent without end.
func TestAServiceThatPlacesRecordsElsewhere(t *testing.T) {
	for _, aggregate := range []bool{false, true} {
		t.Run(fmt.Sprint("aggregate ", aggregate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("s", 2)
				f.onDemand, f.misplace = true, true
				e, stop := virtual(t, f, kinesis.Config{Aggregate: aggregate})
				events, want := apart(6, 600)
				for part := range slices.Chunk(events, 6) {
					put(t, e, "s", part...)
					time.Sleep(100 * time.Millisecond)
				}
				drained(t, e)
				stop()
				check(t, f, want)
				if f.lists > 30 {
					t.Errorf("the shards were asked for %d times", f.lists)
				}
			})
		})
	}
}

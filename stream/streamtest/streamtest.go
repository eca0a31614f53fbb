// Package streamtest is what every stream.Engine must do. An engine's own tests call Run with a way to
// make one; a new engine begins by making it pass.
package streamtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// Engine is what the suite needs: an engine whose streams can be shaped.
type Engine interface {
	stream.Engine
	stream.Admin
}

// Instance is one engine under test over storage that outlives it.
type Instance interface {
	// Engine returns the open engine. It changes with Reopen and Crash.
	Engine() Engine

	// Reopen closes the engine in order and opens it again.
	Reopen(t testing.TB)

	// Crash throws away whatever the engine had not made durable and opens it again. An engine that
	// cannot be crashed does the same as Reopen.
	Crash(t testing.TB)
}

// Config says what the engine under test can do.
type Config struct {
	// New returns a fresh Instance without streams. What it needs to clean up it registers with t.
	New func(t testing.TB) Instance

	// Without names the tests that an engine over another service cannot pass, each with the reason.
	Without map[string]string
}

// Run runs the whole suite.
func Run(t *testing.T, c Config) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, Instance)
	}{
		{"PutsAreReadInOrder", testOrder},
		{"EveryFieldSurvives", testFields},
		{"HashKeysDecideTheShard", testRouting},
		{"SequenceNumbersRiseAndParse", testSequences},
		{"PositionsStartWhereTheySay", testPositions},
		{"ReadersWaitForRecords", testWaiting},
		{"LimitsBoundABatch", testLimits},
		{"SplitAndMergeCloseParents", testReshard},
		{"PutsDuringReshardAreNotLost", testReshardUnderLoad},
		{"MarksAreComparedAndSwapped", testMarks},
		{"RefusedCommitsLeaveNothing", testRefused},
		{"StateIsReplacedAsAWhole", testState},
		{"ConcurrentCommitsKeepTheirOrder", testConcurrent},
		{"StreamsAreCreatedListedDeleted", testStreams},
		{"DeletedStreamsStayDeleted", testRecreate},
		{"EverythingSurvivesReopenAndCrash", testSurvival},
		{"RandomOperationsAgreeWithTheModel", testModel},
	} {
		if why, ok := c.Without[test.name]; ok {
			t.Logf("without %s: %s", test.name, why)
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, c.New(t)) })
	}
}

// Create makes a stream or fails the test.
func Create(t testing.TB, e Engine, name string, shards int) {
	t.Helper()
	if err := e.Create(t.Context(), stream.Spec{Name: name, Shards: shards}); err != nil {
		t.Fatal(err)
	}
}

// Put stores events or fails the test, and says where they went.
func Put(t testing.TB, e stream.Engine, name string, events ...leat.Event) []stream.Placed {
	t.Helper()
	r, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: name, Events: events}}, Placed: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Puts[0]
}

// Events returns n events with the keys k0 to k7 in turn and distinct payloads.
func Events(prefix string, n int) []leat.Event {
	events := make([]leat.Event, n)
	for i := range events {
		events[i] = leat.Event{PartitionKey: fmt.Sprintf("k%d", i%8), Data: fmt.Appendf(nil, "%s-%d", prefix, i)}
	}
	return events
}

// ReadAll returns everything that a shard holds from a position on, or fails the test.
func ReadAll(t testing.TB, e stream.Engine, name string, shard leat.ShardID, from stream.Position) []leat.Record {
	t.Helper()
	r, err := e.Read(t.Context(), name, shard, from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []leat.Record
	for {
		b, err := r.Next(t.Context(), stream.Limit{NoWait: true})
		if errors.Is(err, io.EOF) || err == nil && len(b.Records) == 0 {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Records...)
	}
}

// ReadStream returns everything that all shards of a stream hold, shard by shard.
func ReadStream(t testing.TB, e stream.Engine, name string) []leat.Record {
	t.Helper()
	var all []leat.Record
	for _, s := range Shards(t, e, name) {
		all = append(all, ReadAll(t, e, name, s.ID, stream.Oldest())...)
	}
	return all
}

// Shards lists the shards of a stream or fails the test.
func Shards(t testing.TB, e stream.Engine, name string) []stream.Shard {
	t.Helper()
	shards, err := e.Shards(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return shards
}

func payloads(records []leat.Record) []string {
	out := make([]string, len(records))
	for i := range records {
		out[i] = string(records[i].Data)
	}
	return out
}

func testOrder(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 3)
	want := map[string][]string{}
	for round := range 20 {
		events := Events(fmt.Sprint("r", round), 50)
		Put(t, e, "s", events...)
		for _, ev := range events {
			want[ev.PartitionKey] = append(want[ev.PartitionKey], string(ev.Data))
		}
	}
	got := map[string][]string{}
	for _, r := range ReadStream(t, e, "s") {
		got[r.PartitionKey] = append(got[r.PartitionKey], string(r.Data))
	}
	for key := range want {
		if !slices.Equal(got[key], want[key]) {
			t.Errorf("key %s: got %v, want %v", key, got[key], want[key])
		}
	}
}

func testFields(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 1)
	place := leat.Hash{Hi: 1 << 63, Lo: 7}
	events := []leat.Event{
		{PartitionKey: "k", ID: "id-1", HashKey: &place, Time: time.UnixMilli(1700000000123), Cursor: "c", Data: []byte{0, 1, 0xff}},
		{PartitionKey: "é✓", Time: time.UnixMilli(-5), Data: nil},
		{PartitionKey: "", ID: "only an id", Data: []byte("")},
		{PartitionKey: "big", Data: make([]byte, 16<<20)},
	}
	before := time.Now().Add(-time.Minute)
	if _, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Source: "feed", Events: events}}}); err != nil {
		t.Fatal(err)
	}
	got := ReadAll(t, e, "s", 0, stream.Oldest())
	if len(got) != len(events) {
		t.Fatalf("got %d records, want %d", len(got), len(events))
	}
	for i, r := range got {
		ev := events[i]
		sameHash := (r.HashKey == nil) == (ev.HashKey == nil) && (r.HashKey == nil || *r.HashKey == *ev.HashKey)
		if r.PartitionKey != ev.PartitionKey || r.ID != ev.ID || r.Source != "feed" || !r.Time.Equal(ev.Time) || string(r.Data) != string(ev.Data) || !sameHash {
			t.Errorf("record %d: got %.80v, want %.80v", i, r, ev)
		}
		if r.Arrived.Before(before) {
			t.Errorf("record %d arrived at %v", i, r.Arrived)
		}
	}
}

func testRouting(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 5)
	shards := Shards(t, e, "s")
	for i := range 200 {
		ev := leat.Event{PartitionKey: fmt.Sprint("key", i)}
		place := leat.HashKey(ev.PartitionKey)
		if i%2 == 1 {
			place = shards[i%5].Range.End
			ev.HashKey = &place
		}
		at := Put(t, e, "s", ev)[0]
		for _, s := range shards {
			if s.Range.Contains(place) != (s.ID == at.Shard) {
				t.Fatalf("hash %s went to %s; %s covers %s", place, at.Shard, s.ID, s.Range)
			}
		}
	}
}

func testSequences(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 2)
	last := map[leat.ShardID]leat.SequenceNumber{}
	for round := range 10 {
		for _, p := range Put(t, e, "s", Events("x", 20)...) {
			if p.Sequence.Compare(last[p.Shard]) <= 0 {
				t.Fatalf("%s does not rise: %s after %s", p.Shard, p.Sequence, last[p.Shard])
			}
			last[p.Shard] = p.Sequence
			if again, err := leat.ParseSequence(p.Sequence.String()); err != nil || again != p.Sequence || len(p.Sequence.String()) != 56 {
				t.Fatalf("%s does not parse as itself: %s, %v", p.Sequence, again, err)
			}
		}
		if round == 5 {
			in.Reopen(t)
			e = in.Engine()
		}
	}
	for _, s := range Shards(t, e, "s") {
		records := ReadAll(t, e, "s", s.ID, stream.Oldest())
		if got := records[len(records)-1].Sequence; got != last[s.ID] {
			t.Errorf("%s ends at %s, the receipt said %s", s.ID, got, last[s.ID])
		}
		if records[0].Sequence.Compare(s.First) <= 0 {
			t.Errorf("%s: the first record %s is not above %s", s.ID, records[0].Sequence, s.First)
		}
	}
}

func testPositions(t *testing.T, in Instance) {
	e := in.Engine()
	ctx := t.Context()
	Create(t, e, "s", 1)
	var all []string
	var placed []stream.Placed
	for i := range 30 {
		events := Events(fmt.Sprint(i), 3)
		placed = append(placed, Put(t, e, "s", events...)...)
		for _, ev := range events {
			all = append(all, string(ev.Data))
		}
	}
	latest, err := e.Read(ctx, "s", 0, stream.Latest())
	if err != nil {
		t.Fatal(err)
	}
	defer latest.Close()
	check := func(p stream.Position, want []string) {
		t.Helper()
		if got := payloads(ReadAll(t, e, "s", 0, p)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", p, got, want)
		}
	}
	check(stream.Oldest(), all)
	check(stream.Latest(), nil)
	check(stream.AtTime(time.Now().Add(time.Hour)), nil)
	check(stream.AtTime(time.Unix(0, 0)), all)
	check(stream.After(leat.SequenceNumber{}), all)
	for _, i := range []int{0, 1, 44, 88, 89} {
		check(stream.At(placed[i].Sequence), all[i:])
		check(stream.After(placed[i].Sequence), all[i+1:])
	}
	records := ReadAll(t, e, "s", 0, stream.Oldest())
	middle := records[45].Arrived
	first := slices.IndexFunc(records, func(r leat.Record) bool { return !r.Arrived.Before(middle) })
	check(stream.AtTime(middle), all[first:])

	if tip := Shards(t, e, "s")[0].Tip; !tip.IsZero() { // zero: the engine cannot say
		check(stream.At(tip), all[len(all)-1:])
		check(stream.After(tip), nil)
	}

	Put(t, e, "s", leat.Event{Data: []byte("new")})
	if b, err := latest.Next(ctx, stream.Limit{}); err != nil || len(b.Records) != 1 || string(b.Records[0].Data) != "new" {
		t.Errorf("latest: got %v, %v; want only what was put after it was opened", payloads(b.Records), err)
	}
}

func testWaiting(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 1)
	r, err := e.Read(t.Context(), "s", 0, stream.Latest())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make(chan string)
	go func() {
		for range 3 {
			b, err := r.Next(t.Context(), stream.Limit{Records: 1})
			if err != nil {
				got <- err.Error()
				return
			}
			got <- string(b.Records[0].Data)
		}
	}()
	for i := range 3 {
		want := fmt.Sprint("event", i)
		Put(t, e, "s", leat.Event{Data: []byte(want)})
		if g := <-got; g != want {
			t.Fatalf("got %q, want %q", g, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := r.Next(ctx, stream.Limit{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait returned %v", err)
	}
	if b, err := r.Next(t.Context(), stream.Limit{NoWait: true}); err != nil || len(b.Records) != 0 {
		t.Errorf("NoWait returned %v, %v; want an empty batch", b.Records, err)
	}
}

func testLimits(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 1)
	for i := range 5 {
		Put(t, e, "s", Events(fmt.Sprint(i), 40)...)
	}
	want := payloads(ReadAll(t, e, "s", 0, stream.Oldest()))
	for _, limit := range []stream.Limit{{Records: 1}, {Records: 7}, {Records: 40}, {Records: 41}, {Bytes: 1}, {Bytes: 50}, {Bytes: 333}} {
		r, err := e.Read(t.Context(), "s", 0, stream.Oldest())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for len(got) < len(want) {
			b, err := r.Next(t.Context(), limit)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(b.Records); n == 0 || limit.Records > 0 && n > limit.Records || limit.Bytes > 0 && n > 1 && b.Size() > limit.Bytes {
				t.Fatalf("limit %+v: got %d records of %d bytes", limit, n, b.Size())
			}
			got = append(got, payloads(b.Records)...)
			if behind := len(got) < len(want); !behind && b.Behind != 0 {
				t.Errorf("limit %+v: at the tip and %v behind", limit, b.Behind)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %+v: got %v, want %v", limit, got, want)
		}
		r.Close()
	}
}

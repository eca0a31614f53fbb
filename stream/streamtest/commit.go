package streamtest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

func testReshard(t *testing.T, in Instance) {
	e := in.Engine()
	ctx := t.Context()
	Create(t, e, "s", 2)
	Put(t, e, "s", Events("before", 40)...)
	waiting, err := e.Read(ctx, "s", 0, stream.Latest())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := waiting.Next(ctx, stream.Limit{})
		ended <- err
	}()

	if err := e.Split(ctx, "s", 0, Shards(t, e, "s")[0].Range.Middle()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("a reader that waited at the end of the parent got %v, want io.EOF", err)
	}
	Put(t, e, "s", Events("split", 40)...)
	shards := Shards(t, e, "s")
	if len(shards) != 4 || shards[0].Open() || !slices.Equal(shards[2].Parents, []leat.ShardID{0}) || !slices.Equal(shards[3].Parents, []leat.ShardID{0}) {
		t.Fatalf("after the split: %+v", shards)
	}
	if shards[0].Last.Compare(ReadAll(t, e, "s", 0, stream.Oldest())[0].Sequence) <= 0 {
		t.Error("the last number of the closed shard is not above its records")
	}
	if err := e.Merge(ctx, "s", 3, 1); err != nil {
		t.Fatal(err)
	}
	Put(t, e, "s", Events("merge", 40)...)
	shards = Shards(t, e, "s")
	parents := slices.Sorted(slices.Values(shards[4].Parents))
	if len(shards) != 5 || !slices.Equal(parents, []leat.ShardID{1, 3}) || shards[4].Range.End != leat.MaxHash {
		t.Fatalf("after the merge: %+v", shards)
	}
	in.Crash(t)
	if again := Shards(t, in.Engine(), "s"); fmt.Sprint(again) != fmt.Sprint(shards) {
		t.Errorf("after a crash the shards are %+v, they were %+v", again, shards)
	}
	checkKeyOrder(t, in.Engine(), map[string]int{"before": 40, "split": 40, "merge": 40})

	e = in.Engine()
	for name, err := range map[string]error{
		"split a closed shard":     e.Split(ctx, "s", 0, shards[0].Range.Middle()),
		"split at the start":       e.Split(ctx, "s", 2, shards[2].Range.Start),
		"split outside":            e.Split(ctx, "s", 2, shards[4].Range.End),
		"merge what is not joined": e.Merge(ctx, "s", 2, 2),
		"merge an unknown shard":   e.Merge(ctx, "s", 2, 9),
	} {
		if !stream.Refused(err) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

// checkKeyOrder reads parents before children, and every key in the order of the phases.
func checkKeyOrder(t *testing.T, e Engine, phases map[string]int) {
	t.Helper()
	got := map[string][]string{}
	count := 0
	for _, s := range Shards(t, e, "s") { // in order of id a parent comes before its children
		for _, r := range ReadAll(t, e, "s", s.ID, stream.Oldest()) {
			got[r.PartitionKey] = append(got[r.PartitionKey], string(r.Data))
			count++
		}
	}
	want := 0
	for phase, n := range phases {
		want += n
		for i := range n {
			key, data := fmt.Sprintf("k%d", i%8), fmt.Sprintf("%s-%d", phase, i)
			if !slices.Contains(got[key], data) {
				t.Errorf("%s of key %s is missing", data, key)
			}
		}
	}
	if count != want {
		t.Errorf("got %d records, want %d", count, want)
	}
	for key, list := range got {
		rank := func(s string) int { return map[byte]int{'b': 0, 's': 1, 'm': 2}[s[0]] }
		if !slices.IsSortedFunc(list, func(a, b string) int { return rank(a) - rank(b) }) {
			t.Errorf("key %s is out of order: %v", key, list)
		}
	}
}

func testReshardUnderLoad(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 1)
	var writers sync.WaitGroup
	const each = 200
	for w := range 4 {
		writers.Go(func() {
			for i := range each {
				_, err := e.Commit(t.Context(), stream.Commit{Puts: []stream.Put{{Stream: "s", Events: []leat.Event{
					{PartitionKey: fmt.Sprint("w", w), Data: fmt.Appendf(nil, "%d", i)},
				}}}})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 6 {
		shards := Shards(t, e, "s")
		last := shards[len(shards)-1]
		if err := e.Split(t.Context(), "s", last.ID, last.Range.Middle()); err != nil {
			t.Error(err)
		}
	}
	writers.Wait()
	next := map[string]int{}
	for _, s := range Shards(t, e, "s") {
		for _, r := range ReadAll(t, e, "s", s.ID, stream.Oldest()) {
			if want := fmt.Sprint(next[r.PartitionKey]); string(r.Data) != want {
				t.Fatalf("%s: got %s, want %s", r.PartitionKey, r.Data, want)
			}
			next[r.PartitionKey]++
		}
	}
	for w := range 4 {
		if n := next[fmt.Sprint("w", w)]; n != each {
			t.Errorf("writer %d: %d of %d records", w, n, each)
		}
	}
}

func swap(key string, was, epoch uint64, value string) stream.Swap {
	s := stream.Swap{Mark: stream.Mark{Key: key, Epoch: epoch}, Was: was}
	if value != "" {
		s.Value = []byte(value)
	}
	return s
}

func testMarks(t *testing.T, in Instance) {
	commit := func(swaps ...stream.Swap) error {
		_, err := in.Engine().Commit(t.Context(), stream.Commit{Marks: swaps})
		return err
	}
	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	expect("the first owner", commit(swap("m/a", 0, 1, "one")), nil)
	expect("a second first owner", commit(swap("m/a", 0, 1, "other")), stream.ErrFenced)
	expect("the owner goes on", commit(swap("m/a", 1, 1, "two")), nil)
	expect("a new owner", commit(swap("m/a", 1, 2, "three")), nil)
	expect("the old owner", commit(swap("m/a", 1, 1, "late")), stream.ErrFenced)
	expect("an epoch that falls", commit(swap("m/a", 2, 1, "x")), stream.ErrInvalid)
	expect("two swaps of one mark", commit(swap("m/b", 0, 1, "x"), swap("m/b", 0, 1, "y")), stream.ErrInvalid)
	expect("one of two is fenced", commit(swap("m/c", 0, 1, "x"), swap("m/a", 1, 1, "y")), stream.ErrFenced)
	in.Crash(t)
	e := in.Engine()
	if m, err := e.Load(t.Context(), "m/a"); err != nil || m.Epoch != 2 || string(m.Value) != "three" {
		t.Errorf("got %+v, %v", m, err)
	}
	if m, err := e.Load(t.Context(), "m/c"); err != nil || m.Epoch != 0 || m.Value != nil {
		t.Errorf("a refused swap left %+v, %v", m, err)
	}
	expect("another mark", commit(swap("m/d", 0, 7, "d"), swap("n/d", 0, 7, "d")), nil)
	list, err := e.List(t.Context(), "m/")
	if err != nil || len(list) < 2 || list[0].Key != "m/a" || list[len(list)-1].Key != "m/d" {
		t.Errorf("listed %+v, %v", list, err)
	}
	expect("delete", commit(swap("m/d", 7, 7, "")), nil)
	in.Reopen(t)
	if m, err := in.Engine().Load(t.Context(), "m/d"); err != nil || m.Epoch != 0 {
		t.Errorf("a deleted mark is %+v, %v", m, err)
	}
}

func testRefused(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "s", 1)
	if _, err := e.Commit(t.Context(), stream.Commit{Marks: []stream.Swap{swap("owner", 0, 5, "me")}}); err != nil {
		t.Fatal(err)
	}
	put := []stream.Put{{Stream: "s", Events: Events("x", 3)}}
	state := []stream.Entry{{Key: "k", Value: []byte("v")}}
	huge := []stream.Put{{Stream: "s", Events: []leat.Event{{Data: make([]byte, 64<<20)}}}}
	for name, c := range map[string]stream.Commit{
		"fenced":       {Puts: put, State: state, Marks: []stream.Swap{swap("owner", 4, 4, "x")}},
		"no stream":    {Puts: append(put, stream.Put{Stream: "nowhere", Events: Events("y", 1)}), State: state},
		"too large":    {Puts: append(put, huge...), State: state},
		"empty key":    {Puts: put, State: append(state, stream.Entry{Value: []byte("v")})},
		"no mark key":  {Puts: put, State: state, Marks: []stream.Swap{swap("", 0, 1, "x")}},
		"epoch of nil": {Puts: put, State: state, Marks: []stream.Swap{swap("other", 0, 0, "x")}},
	} {
		if _, err := e.Commit(t.Context(), c); !stream.Refused(err) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if got := ReadStream(t, e, "s"); len(got) != 0 {
		t.Errorf("refused commits left %d records", len(got))
	}
	if got, err := e.State(t.Context(), ""); err != nil || len(got) != 0 {
		t.Errorf("refused commits left state %v, %v", got, err)
	}
}

func testState(t *testing.T, in Instance) {
	set := func(key, value string) {
		t.Helper()
		entry := stream.Entry{Key: key}
		if value != "" {
			entry.Value = []byte(value)
		}
		if _, err := in.Engine().Commit(t.Context(), stream.Commit{State: []stream.Entry{entry}}); err != nil {
			t.Fatal(err)
		}
	}
	set("w/1", "a")
	set("w/2", "b")
	set("x/1", "c")
	set("w/1", "aa")
	set("w/2", "")
	set("w/3", "d")
	in.Crash(t)
	got, err := in.Engine().State(t.Context(), "w/")
	if err != nil || len(got) != 2 || got[0].Key != "w/1" || string(got[0].Value) != "aa" || got[1].Key != "w/3" {
		t.Errorf("got %v, %v", got, err)
	}
}

func testConcurrent(t *testing.T, in Instance) {
	e := in.Engine()
	Create(t, e, "a", 4)
	Create(t, e, "b", 1)
	const writers, commits, size = 8, 25, 10
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for c := range commits {
				events := make([]leat.Event, size)
				for i := range events {
					events[i] = leat.Event{PartitionKey: fmt.Sprint("w", w), Data: fmt.Appendf(nil, "%d", c*size+i)}
				}
				key := fmt.Sprint("writer/", w)
				_, err := e.Commit(t.Context(), stream.Commit{
					Puts:  []stream.Put{{Stream: "a", Events: events}, {Stream: "b", Events: events}},
					Marks: []stream.Swap{swap(key, min(uint64(c), 1), 1, fmt.Sprint(c))},
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	in.Crash(t)
	for _, name := range []string{"a", "b"} {
		next := map[string]int{}
		for _, r := range ReadStream(t, in.Engine(), name) {
			if want := fmt.Sprint(next[r.PartitionKey]); string(r.Data) != want {
				t.Fatalf("stream %s, %s: got %s, want %s", name, r.PartitionKey, r.Data, want)
			}
			next[r.PartitionKey]++
		}
		for w := range writers {
			if n := next[fmt.Sprint("w", w)]; n != commits*size {
				t.Errorf("stream %s, writer %d: %d of %d records", name, w, n, commits*size)
			}
		}
	}
}

func testStreams(t *testing.T, in Instance) {
	e := in.Engine()
	ctx := t.Context()
	Create(t, e, "b", 2)
	Create(t, e, "a", 1)
	Put(t, e, "b", Events("x", 10)...)
	if err := e.Create(ctx, stream.Spec{Name: "a"}); !errors.Is(err, stream.ErrExists) {
		t.Errorf("a second stream of one name: %v", err)
	}
	for _, spec := range []stream.Spec{{Name: ""}, {Name: "a/b"}, {Name: "x", Shards: -1}, {Name: "x", Shards: 1 << 30}} {
		if err := e.Create(ctx, spec); !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("create %+v: %v", spec, err)
		}
	}
	keep := stream.Retention{Age: 24 * time.Hour, Bytes: 1 << 30}
	if err := e.SetRetention(ctx, "b", keep); err != nil {
		t.Fatal(err)
	}
	in.Crash(t)
	infos, err := in.Engine().Streams(ctx)
	if err != nil || len(infos) != 2 || infos[0].Name != "a" || infos[1].Name != "b" {
		t.Fatalf("got %+v, %v", infos, err)
	}
	if b := infos[1]; b.Keep != keep || b.Records != 10 || b.Bytes != 10*5 || len(b.Shards) != 2 {
		t.Errorf("stream b: %+v", b)
	}
	for name, err := range map[string]error{
		"delete":    e.Delete(ctx, "nowhere"),
		"split":     e.Split(ctx, "nowhere", 0, leat.Hash{}),
		"retention": e.SetRetention(ctx, "nowhere", keep),
	} {
		if err == nil {
			t.Errorf("%s of a stream that is not there", name)
		}
	}
	if _, err := in.Engine().Read(ctx, "nowhere", 0, stream.Oldest()); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("read: %v", err)
	}
	if _, err := in.Engine().Read(ctx, "a", 7, stream.Oldest()); !errors.Is(err, stream.ErrNoShard) {
		t.Errorf("read an unknown shard: %v", err)
	}
}

func testRecreate(t *testing.T, in Instance) {
	e := in.Engine()
	ctx := t.Context()
	Create(t, e, "s", 1)
	old := Put(t, e, "s", Events("old", 50)...)
	r, err := e.Read(ctx, "s", 0, stream.Latest())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := r.Next(ctx, stream.Limit{})
		ended <- err
	}()
	if err := e.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("a reader of the deleted stream got %v", err)
	}
	Create(t, e, "s", 1)
	placed := Put(t, e, "s", Events("new", 5)...)
	if placed[0].Sequence.Compare(old[49].Sequence) <= 0 {
		t.Errorf("the new stream begins at %s, the old one ended at %s", placed[0].Sequence, old[49].Sequence)
	}
	in.Crash(t)
	if got := payloads(ReadAll(t, in.Engine(), "s", 0, stream.After(old[10].Sequence))); len(got) != 5 || got[0] != "new-0" {
		t.Errorf("a position of the old stream reads %v", got)
	}
}

func testSurvival(t *testing.T, in Instance) {
	Create(t, in.Engine(), "s", 2)
	want := map[string]bool{}
	for round := range 12 {
		events := Events(fmt.Sprint("r", round), 30)
		Put(t, in.Engine(), "s", events...)
		for _, ev := range events {
			want[string(ev.Data)] = true
		}
		if round%3 == 2 {
			in.Reopen(t)
		} else {
			in.Crash(t)
		}
	}
	got := ReadStream(t, in.Engine(), "s")
	for _, r := range got {
		delete(want, string(r.Data))
	}
	if len(want) > 0 || len(got) != 360 {
		t.Errorf("read %d of 360 records, %d are missing", len(got), len(want))
	}
}

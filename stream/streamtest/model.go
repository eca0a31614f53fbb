package streamtest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// model is what an engine must hold: every record by shard, every mark and state entry.
type model struct {
	t       testing.TB
	in      Instance
	streams map[string]map[leat.ShardID][]modelRecord
	marks   map[string]stream.Mark
	state   map[string]string
	count   int
	ever    map[string]map[stream.Placed]bool // all numbers that were ever given
}

type modelRecord struct {
	sequence leat.SequenceNumber
	key      string
	data     string
}

var modelNames = []string{"red", "green", "blue"}

func testModel(t *testing.T, in Instance) {
	m := &model{
		t: t, in: in, streams: map[string]map[leat.ShardID][]modelRecord{}, marks: map[string]stream.Mark{},
		state: map[string]string{}, ever: map[string]map[stream.Placed]bool{},
	}
	rapid.Check(t, func(rt *rapid.T) {
		rt.Repeat(map[string]func(*rapid.T){
			"create": m.create, "delete": m.delete, "put": m.put, "split": m.split, "merge": m.merge,
			"mark": m.mark, "reopen": func(*rapid.T) { m.in.Reopen(t) }, "crash": func(*rapid.T) { m.in.Crash(t) },
			"": m.check,
		})
	})
}

func (m *model) known(rt *rapid.T) string {
	names := slices.Sorted(maps.Keys(m.streams))
	if len(names) == 0 {
		rt.Skip("no stream yet")
	}
	return rapid.SampledFrom(names).Draw(rt, "stream")
}

func (m *model) create(rt *rapid.T) {
	name := rapid.SampledFrom(modelNames).Draw(rt, "name")
	err := m.in.Engine().Create(m.t.Context(), stream.Spec{Name: name, Shards: rapid.IntRange(1, 4).Draw(rt, "shards")})
	if exists := m.streams[name] != nil; exists != (err != nil) {
		rt.Fatalf("create %s: %v", name, err)
	}
	if err == nil {
		m.streams[name] = map[leat.ShardID][]modelRecord{}
	}
}

func (m *model) delete(rt *rapid.T) {
	if rapid.IntRange(0, 9).Draw(rt, "rarely") > 0 {
		rt.Skip("rarely")
	}
	name := m.known(rt)
	if err := m.in.Engine().Delete(m.t.Context(), name); err != nil {
		rt.Fatal(err)
	}
	delete(m.streams, name)
}

func (m *model) put(rt *rapid.T) {
	c := stream.Commit{Placed: true}
	for range rapid.IntRange(1, 3).Draw(rt, "puts") {
		put := stream.Put{Stream: m.known(rt)}
		for range rapid.IntRange(0, 20).Draw(rt, "events") {
			m.count++
			put.Events = append(put.Events, leat.Event{
				PartitionKey: rapid.StringMatching(`[a-d]{1,2}`).Draw(rt, "key"), Data: fmt.Appendf(nil, "e%d", m.count),
			})
		}
		c.Puts = append(c.Puts, put)
	}
	key, value := rapid.SampledFrom([]string{"s1", "s2"}).Draw(rt, "state"), fmt.Sprint(m.count)
	c.State = []stream.Entry{{Key: key, Value: []byte(value)}}
	receipt, err := m.in.Engine().Commit(m.t.Context(), c)
	if err != nil {
		rt.Fatal(err)
	}
	m.state[key] = value
	for i, put := range c.Puts {
		for j, placed := range receipt.Puts[i] {
			m.remember(rt, put.Stream, placed, put.Events[j])
		}
	}
}

func (m *model) remember(rt *rapid.T, name string, at stream.Placed, ev leat.Event) {
	if m.ever[name] == nil {
		m.ever[name] = map[stream.Placed]bool{}
	}
	if m.ever[name][at] {
		rt.Fatalf("stream %s: %s was given twice", name, at.Sequence)
	}
	m.ever[name][at] = true
	m.streams[name][at.Shard] = append(m.streams[name][at.Shard], modelRecord{at.Sequence, ev.PartitionKey, string(ev.Data)})
}

func (m *model) open(rt *rapid.T, name string) []stream.Shard {
	shards, err := m.in.Engine().Shards(m.t.Context(), name)
	if err != nil {
		rt.Fatal(err)
	}
	open := slices.DeleteFunc(shards, func(s stream.Shard) bool { return !s.Open() })
	slices.SortFunc(open, func(a, b stream.Shard) int { return a.Range.Start.Compare(b.Range.Start) })
	return open
}

func (m *model) split(rt *rapid.T) {
	name := m.known(rt)
	open := m.open(rt, name)
	if len(open) > 8 {
		rt.Skip("enough shards")
	}
	s := rapid.SampledFrom(open).Draw(rt, "shard")
	if err := m.in.Engine().Split(m.t.Context(), name, s.ID, s.Range.Middle()); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) merge(rt *rapid.T) {
	name := m.known(rt)
	open := m.open(rt, name)
	if len(open) < 2 {
		rt.Skip("nothing to merge")
	}
	i := rapid.IntRange(0, len(open)-2).Draw(rt, "shard")
	if err := m.in.Engine().Merge(m.t.Context(), name, open[i+1].ID, open[i].ID); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) mark(rt *rapid.T) {
	key := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")
	was, epoch := rapid.Uint64Range(0, 3).Draw(rt, "was"), rapid.Uint64Range(0, 3).Draw(rt, "epoch")
	value := fmt.Appendf(nil, "v%d", rapid.IntRange(0, 99).Draw(rt, "value"))
	s := stream.Swap{Mark: stream.Mark{Key: key, Epoch: epoch, Value: value}, Was: was}
	_, err := m.in.Engine().Commit(m.t.Context(), stream.Commit{Marks: []stream.Swap{s}})
	if legal := m.marks[key].Epoch == was && epoch >= was && epoch > 0; legal != (err == nil) {
		rt.Fatalf("swap %+v of %+v: %v", s, m.marks[key], err)
	}
	if err == nil {
		m.marks[key] = s.Mark
	}
}

// check compares everything the engine holds with the model.
func (m *model) check(rt *rapid.T) {
	e := m.in.Engine()
	for name, shards := range m.streams {
		for _, s := range Shards(m.t, e, name) {
			var got []modelRecord
			for _, r := range ReadAll(m.t, e, name, s.ID, stream.Oldest()) {
				got = append(got, modelRecord{r.Sequence, r.PartitionKey, string(r.Data)})
			}
			if !slices.Equal(got, shards[s.ID]) {
				rt.Fatalf("stream %s %s holds %v, want %v", name, s.ID, got, shards[s.ID])
			}
		}
	}
	for key, want := range m.marks {
		if got, err := e.Load(m.t.Context(), key); err != nil || got.Epoch != want.Epoch || string(got.Value) != string(want.Value) {
			rt.Fatalf("mark %s is %+v, %v; want %+v", key, got, err, want)
		}
	}
	entries, err := e.State(m.t.Context(), "")
	if err != nil || len(entries) != len(m.state) {
		rt.Fatalf("state is %v, %v; want %v", entries, err, m.state)
	}
	for _, entry := range entries {
		if m.state[entry.Key] != string(entry.Value) {
			rt.Fatalf("state %s is %s, want %s", entry.Key, entry.Value, m.state[entry.Key])
		}
	}
}

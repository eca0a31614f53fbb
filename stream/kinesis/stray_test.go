package kinesis

import (
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
)

// An aggregate may land on a shard that was made while the shards were being asked for: what that answer does not tell is asked again.
func TestAStrayIsNotJudgedByAnOlderListOfShards(t *testing.T) {
	f := &forwarder{
		e: &Engine{config: Config{Order: "key", Aggregate: true}}, tails: map[leat.Hash]*item{}, refresh: make(chan struct{}, 1),
	}
	shards := func(ids ...leat.ShardID) shardMap {
		m := shardMap{recordLimit: defaultRecord, ranges: map[leat.ShardID]stream.HashRange{}}
		list := make([]stream.Shard, len(ids))
		for i, r := range stream.EvenRanges(len(ids)) {
			list[i] = stream.Shard{ID: ids[i], Range: r}
			m.ranges[ids[i]] = r
		}
		var err error
		if m.router, err = stream.NewRouter(list); err != nil {
			t.Fatal(err)
		}
		return m
	}
	low, high := leat.Hash{}, leat.MaxHash
	items := make([]item, 2)
	for i, hash := range []*leat.Hash{&low, &high} {
		items[i] = newItem(&leat.Record{Sequence: leat.NewSequence(0, time.Unix(1, 0), uint64(i+1), time.Unix(2, 0)), PartitionKey: "k", HashKey: hash})
	}
	f.add(items)
	asked := time.Now()
	f.remap(shards(0), asked)
	e := entry{lane: f.lanes[0], items: []*item{f.lanes[0].pop(), f.lanes[0].pop()}}
	f.stored(&e, &outcome{shard: []byte("shardId-000000000001"), sequence: []byte("1")})
	f.remap(shards(0), asked)
	if items[0].done || items[1].done || len(f.refresh) == 0 {
		t.Errorf("done: %v, %v, asked again: %d", items[0].done, items[1].done, len(f.refresh))
	}
	f.remap(shards(1, 2), time.Now().Add(time.Second))
	if !items[0].done || items[1].done || f.lanes[1].len() != 1 {
		t.Errorf("done: %v, %v, ready: %d", items[0].done, items[1].done, f.lanes[1].len())
	}
}

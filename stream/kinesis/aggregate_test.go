package kinesis_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream/kinesis"
)

// frame puts a message into the frame of an aggregate.
func frame(message string) []byte {
	sum := md5.Sum([]byte(message))
	return append([]byte("\xf3\x89\x9a\xc2"+message), sum[:]...)
}

func whole(data []byte) leat.Record {
	at := time.Unix(1700000000, 0)
	return leat.Record{Sequence: leat.NewSequence(3, at, 17, at), PartitionKey: "outer", Arrived: at, Data: data}
}

// Written by hand from the format: two keys, one explicit hash key, a tag.
const byHand = "\x0a\x01a\x0a\x03b\xc3\xa9" + "\x12\x0212" +
	"\x1a\x07\x08\x00\x1a\x03one" +
	"\x1a\x09\x08\x01\x10\x00\x1a\x03two" +
	"\x1a\x11\x08\x00\x1a\x05three\x22\x06\x0a\x01k\x12\x01v"

func TestAggregatesAreTakenApart(t *testing.T) {
	got := kinesis.Parts(whole(frame(byHand)))
	if len(got) != 3 {
		t.Fatalf("%d parts", len(got))
	}
	for i, want := range []struct{ key, data string }{{"a", "one"}, {"bé", "two"}, {"a", "three"}} {
		r := got[i]
		if r.PartitionKey != want.key || string(r.Data) != want.data || r.Sequence.Part() != i || r.Sequence.Whole() != whole(nil).Sequence {
			t.Errorf("part %d is %+v", i, r)
		}
		if (r.HashKey != nil) != (i == 1) || i == 1 && r.HashKey.String() != "12" {
			t.Errorf("part %d has the hash key %v", i, r.HashKey)
		}
	}
}

func TestWhatOnlyLooksLikeAnAggregateIsAnOrdinaryRecord(t *testing.T) {
	good := frame(byHand)
	flipped := slices.Clone(good)
	flipped[10] ^= 1
	for name, data := range map[string][]byte{
		"empty": {}, "magic": good[:4], "short": good[:19], "cut": good[:len(good)-1], "flipped": flipped, "long": append(slices.Clone(good), 0),
		"no records": frame("\x0a\x01a"), "no key": frame("\x1a\x05\x1a\x03one"), "key out of range": frame("\x0a\x01a\x1a\x07\x08\x01\x1a\x03one"),
		"no data": frame("\x0a\x01a\x1a\x02\x08\x00"), "bad hash": frame("\x0a\x01a\x12\x01x\x1a\x09\x08\x00\x10\x00\x1a\x03two"),
		"not a message": frame("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "group": frame("\x0b"), "too long a field": frame("\x0a\xff\xff\xff\xff\x0f"),
	} {
		got := kinesis.Parts(whole(data))
		if len(got) != 1 || got[0].PartitionKey != "outer" || !bytes.Equal(got[0].Data, data) || got[0].Sequence.Part() != 0 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// Both ways against aws-kinesis-agg, the module of AWS for JavaScript.
func TestAggregatesAreThoseOfOthers(t *testing.T) {
	at := node(t)
	script := `const agg = require('aws-kinesis-agg')
const fs = require('fs')
const input = JSON.parse(fs.readFileSync(0, 'utf8'))
const out = {made: '', read: []}
const records = input.records.map(r => ({partitionKey: r.key, explicitHashKey: r.hash, data: Buffer.from(r.data, 'base64')}))
agg.deaggregateSync({data: input.aggregate}, true, (err, list) => {
  if (err) throw err
  out.read = list.map(r => ({key: r.partitionKey, data: r.data}))
})
const maker = new agg.RecordAggregator()
records.forEach(r => maker.addUserRecord(r))
out.made = Buffer.from(maker.build().data).toString('base64')
console.log(JSON.stringify(out))`
	type record struct {
		Key  string `json:"key"`
		Hash string `json:"hash,omitempty"`
		Data []byte `json:"data"`
	}
	f := newFake("s", 1)
	f.onDemand = true
	house := openHouse(t, vfs.NewMem())
	defer house.Close()
	e, stop := start(t, kinesis.Config{Endpoint: f.serve(t), Streams: []string{"s"}, Aggregate: true}, house)
	var events []leat.Event
	var records []record
	place := leat.Hash{Hi: 5, Lo: 77}
	for i := range 200 {
		ev := leat.Event{ID: fmt.Sprint("id", i), PartitionKey: fmt.Sprint("ké", i%7), Time: time.UnixMilli(int64(i)), Data: bytes.Repeat([]byte{byte(i)}, i)}
		r := record{Key: ev.PartitionKey, Data: ev.Data}
		if i%7 == 3 {
			ev.HashKey, r.Hash = &place, place.String()
		}
		events, records = append(events, ev), append(records, r)
	}
	put(t, e, "s", events...)
	drained(t, e)
	stop()
	ours := f.records[0]
	for _, k := range ours {
		input, err := json.Marshal(map[string]any{"records": records, "aggregate": base64.StdEncoding.EncodeToString(k.Data)})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("node", "-e", script)
		cmd.Dir, cmd.Stdin, cmd.Stderr = at, bytes.NewReader(input), t.Output()
		text, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Made []byte   `json:"made"`
			Read []record `json:"read"`
		}
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		mine := kinesis.Parts(k)
		if len(mine) != len(out.Read) {
			t.Fatalf("they read %d, we %d", len(out.Read), len(mine))
		}
		for i, r := range out.Read {
			if r.Key != mine[i].PartitionKey || !bytes.Equal(r.Data, mine[i].Data) {
				t.Errorf("they read %+v, we %+v", r, mine[i])
			}
		}
		theirs := kinesis.Parts(whole(out.Made))
		if len(theirs) != len(records) {
			t.Fatalf("of theirs we read %d of %d", len(theirs), len(records))
		}
		for i, r := range theirs {
			if r.PartitionKey != records[i].Key || !bytes.Equal(r.Data, records[i].Data) || records[i].Hash != "" && (r.HashKey == nil || r.HashKey.String() != records[i].Hash) {
				t.Errorf("record %d of theirs is %+v", i, r)
			}
		}
	}
}

func FuzzAggregates(f *testing.F) {
	f.Add([]byte(byHand), true)
	f.Add(frame(byHand), false)
	f.Fuzz(func(t *testing.T, data []byte, framed bool) {
		if framed {
			data = frame(string(data))
		}
		parts := kinesis.Parts(whole(data))
		if len(parts) == 0 {
			t.Fatal("nothing is left")
		}
		for i := range parts {
			if parts[i].Sequence.Part() != i {
				t.Fatalf("part %d has the number %s", i, parts[i].Sequence)
			}
		}
	})
}

package sinktest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leatstream/leat"
)

// streamName is the stream of all batches of the suite.
const streamName = "clicks"

// created is when all shards of the suite were created.
var created = time.Date(2026, 3, 1, 22, 59, 0, 0, time.UTC)

// batch returns the records from to to of a shard's log, the second bound excluded. The log is the
// same in every process: numbers with holes, as filters leave them, arrivals that cross an hour and a day, and
// among the payloads the awkward ones.
func (r *rig) batch(shard leat.ShardID, from, to int) leat.Batch {
	b := leat.Batch{Stream: streamName, Shard: shard, Epoch: 1}
	for i := from; i < to; i++ {
		data := fmt.Sprintf(`{"n":%d,"shard":%d,"text":"größer als <b>","deep":{"list":[1,2.50,true,null]}}`, i, shard)
		if i%5 == 4 {
			all := r.payloads()
			data = all[i/5%len(all)]
		}
		b.Records = append(b.Records, record(shard, i, fmt.Sprintf("key-%d", i%11), data))
	}
	return b
}

func record(shard leat.ShardID, i int, key, data string) leat.Record {
	arrived := created.Add(time.Duration(i) * 1_731 * time.Millisecond)
	return leat.Record{
		Sequence:     leat.NewSequence(shard, created, uint64(i)*3+uint64(i)%2, arrived),
		PartitionKey: key, ID: fmt.Sprint("id-", i), Arrived: arrived,
		Time: arrived.Add(-time.Second), Data: []byte(data),
	}
}

// payloads returns the payloads that are easily damaged.
func (r *rig) payloads() []string {
	list := []string{
		`{}`, `[]`, `0`, `null`, `"text"`, `-1.50e+10`, `9007199254740993`,
		`{"a":"line\nfeed and \u0000 and \ud83d\ude00 😀","":{" ":1}}`,
		`{"quote":"'); DROP TABLE rows; --","back\\slash":"\\","comma":","}`,
		`{"same":1,"same":2}`,
		" {\"indented\" :\t1 } ",
		`{"leat_text":"x"}`, `{"leat_base64":"x"}`, `{"data":"x","data_base64":"y"}`, `{"leat_seq":1,"leat_shard":null}`,
		`{"html":"<script>alert(1)</script>&amp;"}`,
		"\"\u2028\u2029\u007f\"",
	}
	if r.OnlyJSON {
		return list
	}
	return append(list,
		"", " ", "\n", "plain text", "two\nlines\r\n", "{\n\"a\":\n1}\n", `{"a":1}{"b":2}`, `{"a":`, "\x00", "a\x00b\x00",
		"\xff\xfe\x00\x01", "half a rune \xe2\x82", "\ufeff{}", "NaN", "'", `"`, "a\tb,c;d|e",
		strings.Repeat("[", 2000), allBytes(),
	)
}

// keys are the partition keys that are easily damaged.
func keys() []string {
	return []string{
		"", " ", "a", "käse/../../etc", "'\"`;--", "a\x00b", "tab\tline\n", "%2e%2e", strings.Repeat("\U0001f600", 256),
	}
}

func allBytes() string {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

// countdown is a context that is cancelled when it is looked at for the n-th time, so that a cancellation meets
// every place where a sink looks.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func cancelAfter(ctx context.Context, looks int) *countdown {
	c := &countdown{}
	c.Context, c.cancel = context.WithCancel(ctx)
	c.left.Store(int64(looks))
	return c
}

// Done implements context.Context.
func (c *countdown) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

// Err implements context.Context.
func (c *countdown) Err() error {
	c.look()
	return c.Context.Err()
}

func (c *countdown) look() {
	if c.left.Add(-1) < 0 {
		c.cancel()
	}
}

package main

import (
	"context"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
)

func reported(ts *testscript.TestScript, _ bool, args []string) {
	e := open(ts, args[0])
	defer e.Close()
	ctx := context.Background()
	name := args[1] + ".gaps"
	ts.Check(e.Create(ctx, stream.Spec{Name: name, Shards: 1}))
	put := stream.Put{Stream: name, Source: args[1]}
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		put.Events = append(put.Events, leat.Event{PartitionKey: args[1], Data: []byte(strings.TrimSpace(line))})
	}
	mark := source.Mark{Covered: time.Date(2126, 11, 25, 12, 0, 0, 0, time.UTC)}
	c := stream.Commit{Marks: []stream.Swap{{Mark: stream.Mark{Key: source.MarkKey(args[1]), Epoch: 1, Value: mark.Encode()}}}}
	if len(put.Events) > 0 {
		c.Puts = []stream.Put{put}
	}
	_, err := e.Commit(ctx, c)
	ts.Check(err)
}

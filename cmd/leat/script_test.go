package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leat": main})
}

// The scripts call leat as a user does. Beside the usual commands they have
//
//	fill DIR STREAM SHARDS N    makes a data directory whose stream holds n records with the keys k0 to k4
//	split DIR STREAM            splits shard 0 of the stream in the middle
//	until FILE TEXT             waits until a file of a background command contains a text
//	signal NAME SIGNAL          sends a signal to the leat whose log says its pid
//	lines FILE N                wants a file to have so many lines
//	reported DIR SOURCE FILE    makes a data directory in which a source has covered up to 2126-11-25T12:00:00Z, and reported the gaps in a file
//	endpoint FILE               sets URL to the one that leat dev has printed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fill": fill, "split": split, "until": until, "lines": lines, "signal": signalTo, "sameids": sameIDs, "endpoint": endpointOf, "reported": reported,
		},
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}

func open(ts *testscript.TestScript, dir string) *local.Engine {
	e, err := local.Open(ts.MkAbs(dir), local.Options{})
	ts.Check(err)
	return e
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	shards, err := strconv.Atoi(args[2])
	ts.Check(err)
	n, err := strconv.Atoi(args[3])
	ts.Check(err)
	e := open(ts, args[0])
	defer e.Close()
	ctx := context.Background()
	if _, err := e.Shards(ctx, args[1]); err != nil {
		ts.Check(e.Create(ctx, stream.Spec{Name: args[1], Shards: shards}))
	}
	for i := range n { // one commit each: their order is that of arrival
		event := leat.Event{PartitionKey: fmt.Sprint("k", i%5), ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"n":%d}`, i)}
		_, err = e.Commit(ctx, stream.Commit{Puts: []stream.Put{{Stream: args[1], Source: "fill", Events: []leat.Event{event}}}})
		ts.Check(err)
	}
}

func split(ts *testscript.TestScript, _ bool, args []string) {
	e := open(ts, args[0])
	defer e.Close()
	shards, err := e.Shards(context.Background(), args[1])
	ts.Check(err)
	ts.Check(e.Split(context.Background(), args[1], shards[0].ID, shards[0].Range.Middle()))
}

func until(ts *testscript.TestScript, _ bool, args []string) {
	for range 3000 { // a bound for a test that hangs, not a measurement
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(ts.MkAbs(args[0]))
	ts.Fatalf("%s never contained %q: %s", args[0], args[1], text)
}

func endpointOf(ts *testscript.TestScript, _ bool, args []string) {
	_, rest, _ := strings.Cut(ts.ReadFile(args[0]), "AWS_ENDPOINT_URL_KINESIS=")
	url, _, _ := strings.Cut(rest, "\n")
	ts.Setenv("URL", url)
}

func lines(ts *testscript.TestScript, neg bool, args []string) {
	n := strings.Count(ts.ReadFile(args[0]), "\n")
	if got := strconv.Itoa(n); (got == args[1]) == neg {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}

// sameIDs wants a file of JSON lines to hold the numbers from..to once each, in any order.
func sameIDs(ts *testscript.TestScript, _ bool, args []string) {
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	to, err := strconv.Atoi(args[2])
	ts.Check(err)
	text := ts.ReadFile(args[0])
	for i := from; i <= to; i++ {
		if n := strings.Count(text, fmt.Sprintf(`{"n":%d}`, i)); n != 1 {
			ts.Fatalf("%s has %d times number %d", args[0], n, i)
		}
	}
	if n := strings.Count(text, "\n"); n != to-from+1 {
		ts.Fatalf("%s has %d lines", args[0], n)
	}
}

func signalTo(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.TrimSpace(ts.ReadFile(args[0]))
	pid, err := strconv.Atoi(text)
	ts.Check(err)
	ts.Check(syscall.Kill(pid, map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[args[1]]))
}

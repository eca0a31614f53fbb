package clients

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// place is where a record is, as an answer said.
type place struct{ shard, sequence string }

// ledger is what was answered, by payload.
type ledger struct {
	mu    sync.Mutex
	acked map[string]place
}

func (l *ledger) add(data string, at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[data] = at
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// kills is how often the server is killed: LEAT_TORTURE times as often in make torture.
func kills() int {
	factor, err := strconv.Atoi(os.Getenv("LEAT_TORTURE"))
	if err != nil || factor < 1 {
		factor = 1
	}
	return 10 * factor
}

// Two SDKs put and read while the server is killed at random instants: what was answered is there, where the answer said, no number is
// given twice, and iterators go on working.
func TestTortureTwoClientsUnderKills(t *testing.T) {
	binary, err := leat()
	if err != nil {
		t.Fatal(err)
	}
	python := boto3(t)
	port := freePort(t)
	dir := t.TempDir()
	flags := []string{"--port", port, "--stream", "s:3"}
	url, command := start(t, binary, dir, flags...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := &ledger{acked: map[string]place{}}
	var group sync.WaitGroup
	group.Go(func() { loadPython(ctx, t, l, python, url) })
	for w := range 2 {
		group.Go(func() { loadGo(ctx, l, newGoClient(url), w) })
	}
	r := &tailer{t: t, c: newGoClient(url), seen: map[place]string{}}
	for shard := range 3 {
		group.Go(func() { r.tail(ctx, fmt.Sprintf("shardId-%012d", shard)) })
	}
	n := kills()
	for range n {
		before := l.len()
		for l.len() == before { // something was answered by this process
			time.Sleep(time.Millisecond)
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		_ = command.Process.Kill()
		_ = command.Wait()
		_, command = start(t, binary, dir, flags...)
	}
	stop()
	group.Wait()
	check(t, newGoClient(url), l, r)
	_ = command.Process.Kill()
	_ = command.Wait()
	t.Logf("%d kills, %d answered, %d read while it lasted", n, l.len(), len(r.seen))
}

// boto3 returns a Python that has it.
func boto3(t *testing.T) string {
	t.Helper()
	for _, python := range programs("python3") {
		if exec.Command(python, "-c", "import boto3").Run() == nil {
			return python
		}
	}
	missing(t, "boto3")
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// loadPython runs load.py and notes what it prints.
func loadPython(ctx context.Context, t *testing.T, l *ledger, python, url string) {
	cmd := exec.CommandContext(ctx, python, "load.py")
	cmd.Env = environment(t, "LEAT_ENDPOINT="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 3 && len(f[1]) == 56 {
			l.add(f[2], place{f[0], f[1]})
		}
	}
	_ = cmd.Wait()
}

func loadGo(ctx context.Context, l *ledger, c *kinesis.Client, writer int) {
	for n := 0; ctx.Err() == nil; n += 20 {
		in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
		for i := range 20 {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{
				PartitionKey: aws.String(fmt.Sprintf("go-%d-%d", writer, i%5)), Data: fmt.Appendf(nil, "go-%d-%d", writer, n+i),
			})
		}
		out, err := c.PutRecords(ctx, in, func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for i := range out.Records {
			if at := &out.Records[i]; at.SequenceNumber != nil {
				l.add(string(in.Records[i].Data), place{*at.ShardId, *at.SequenceNumber})
			}
		}
	}
}

// tailer reads with one chain of iterators for each shard, over all kills.
type tailer struct {
	t *testing.T
	c *kinesis.Client

	mu   sync.Mutex
	seen map[place]string
}

func (r *tailer) tail(ctx context.Context, shard string) {
	out, err := r.c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String("s"), ShardId: aws.String(shard), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		r.t.Error(err)
		return
	}
	token, last := out.ShardIterator, ""
	for ctx.Err() == nil {
		got, err := r.c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: token}, func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
		var refused smithy.APIError
		if errors.As(err, &refused) {
			r.t.Errorf("an iterator from before a kill: %v", err)
			return
		}
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		token = got.NextShardIterator
		for i := range got.Records {
			rec := &got.Records[i]
			if *rec.SequenceNumber <= last { // all have 56 digits
				r.t.Errorf("%s: %s is read behind %s", shard, *rec.SequenceNumber, last)
			}
			last = *rec.SequenceNumber
			r.mu.Lock()
			r.seen[place{shard, last}] = string(rec.Data)
			r.mu.Unlock()
		}
	}
}

// check compares what is there with what was answered and with what was read before.
func check(t *testing.T, c *kinesis.Client, l *ledger, r *tailer) {
	t.Helper()
	all := map[place]string{}
	for shard := range 3 {
		id := fmt.Sprintf("shardId-%012d", shard)
		out, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: aws.String("s"), ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for token := out.ShardIterator; ; {
			got, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: token})
			if err != nil {
				t.Fatal(err)
			}
			for i := range got.Records {
				at := place{id, *got.Records[i].SequenceNumber}
				if _, twice := all[at]; twice {
					t.Errorf("%v is there twice", at)
				}
				all[at] = string(got.Records[i].Data)
			}
			if token = got.NextShardIterator; len(got.Records) == 0 {
				break
			}
		}
	}
	for data, at := range l.acked {
		if all[at] != data {
			t.Errorf("%s was answered to be at %v; there is %q", data, at, all[at])
		}
	}
	for at, data := range r.seen {
		if all[at] != data {
			t.Errorf("%s was read at %v; there is %q now", data, at, all[at])
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// kinesisClient speaks the Kinesis API by hand, so that the client costs little beside the server: bodies are made in advance, and of
// answers only what is needed is looked at.
type kinesisClient struct {
	url  string
	http *http.Client
}

func newKinesisClient(url string, connections int) *kinesisClient {
	return &kinesisClient{url: url, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		DialContext: (&net.Dialer{}).DialContext,
	}}}
}

// unverified is a signature that says who signed, for servers that look at nothing else.
const unverified = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=0"

// call sends a request and appends the answer to buf.
func (k *kinesisClient) call(ctx context.Context, operation string, body, buf []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url, bytes.NewReader(body)) //nolint:gosec // a server that the bench has started
	if err != nil {
		return buf, err
	}
	r.Header = http.Header{
		"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"Kinesis_20131202." + operation},
		"Authorization": {unverified}, "X-Amz-Date": {"20260101T000000Z"},
	}
	answer, err := k.http.Do(r) //nolint:gosec // as above
	if err != nil {
		return buf, err
	}
	defer answer.Body.Close()
	out := bytes.NewBuffer(buf)
	if _, err := out.ReadFrom(answer.Body); err != nil && !errors.Is(err, io.EOF) {
		return out.Bytes(), err
	}
	if answer.StatusCode != http.StatusOK {
		return out.Bytes(), fmt.Errorf("%s: %s %s", operation, answer.Status, out)
	}
	return out.Bytes(), nil
}

// textIn returns the text of a member of a JSON answer, wherever it is; what it holds needs no escapes.
func textIn(answer []byte, member string) string {
	_, rest, found := bytes.Cut(answer, []byte(`"`+member+`":"`))
	if !found {
		return ""
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}

// kinesisStream is the name of the stream of all Kinesis bars.
const kinesisStream = "bench"

// prepare makes the stream and returns when it is active.
func (k *kinesisClient) prepare(ctx context.Context, shards int) error {
	if _, err := k.call(ctx, "CreateStream", fmt.Appendf(nil, `{"StreamName":%q,"ShardCount":%d}`, kinesisStream, shards), nil); err != nil {
		return err
	}
	var last error
	err := until(ctx, 10*time.Millisecond, func() bool {
		answer, err := k.call(ctx, "DescribeStream", fmt.Appendf(nil, `{"StreamName":%q}`, kinesisStream), nil)
		last = err
		return err == nil && textIn(answer, "StreamStatus") == "ACTIVE"
	})
	return errors.Join(err, last)
}

// putBodies are requests of PutRecords with so many records of 200 bytes.
func putBodies(records int) [][]byte {
	rng := rand.New(rand.NewPCG(3, 5))
	bodies := make([][]byte, 16)
	data := make([]byte, 200)
	for i := range bodies {
		b := fmt.Appendf(nil, `{"StreamName":%q,"Records":[`, kinesisStream)
		for n := range records {
			for j := range data {
				data[j] = "0123456789abcdef"[rng.IntN(16)]
			}
			if n > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"Data":"`...)
			b = base64.StdEncoding.AppendEncode(b, data)
			b = fmt.Appendf(b, `","PartitionKey":"key-%d"}`, rng.IntN(100_000))
		}
		bodies[i] = append(b, `]}`...)
	}
	return bodies
}

// load is what a child does to a server: its arguments are the address, how many connections, records in a request, and seconds.
func load(ctx context.Context, args []string) (report, error) {
	connections, _ := strconv.Atoi(args[1])
	records, _ := strconv.Atoi(args[2])
	seconds, _ := strconv.Atoi(args[3])
	k, bodies := newKinesisClient(args[0], connections), putBodies(records)
	var done atomic.Int64
	var mu sync.Mutex
	var times []float64
	var watch stopwatch
	watch.start()
	limit := time.Duration(seconds) * time.Second
	group, ctx := errgroup.WithContext(ctx)
	for c := range connections {
		group.Go(func() error {
			var buf []byte
			var own []float64
			for i := c; time.Since(watch.begun) < limit; i++ {
				begun := time.Now()
				answer, err := k.call(ctx, "PutRecords", bodies[i%len(bodies)], buf[:0])
				if err != nil {
					return err
				}
				own = append(own, time.Since(begun).Seconds())
				buf = answer
				if stored := bytes.Count(answer, []byte(`"SequenceNumber"`)); stored != records {
					return fmt.Errorf("%d of %d records were stored: %.300s", stored, records, answer)
				}
				done.Add(int64(records))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			return nil
		})
	}
	err := group.Wait()
	r := watch.stop()
	slices.Sort(times)
	r.Count = float64(done.Load())
	if len(times) > 0 {
		r.P50, r.P99 = times[len(times)/2], times[len(times)*99/100]
	}
	return r, err
}

// drain reads all that a server has: its arguments are the address and how many records there are. One reader per shard.
func drain(ctx context.Context, args []string) (report, error) {
	want, _ := strconv.ParseInt(args[1], 10, 64)
	k := newKinesisClient(args[0], 8)
	answer, err := k.call(ctx, "DescribeStream", fmt.Appendf(nil, `{"StreamName":%q}`, kinesisStream), nil)
	if err != nil {
		return report{}, err
	}
	var read atomic.Int64
	var watch stopwatch
	watch.start()
	group, ctx := errgroup.WithContext(ctx)
	for shard := range bytes.Count(answer, []byte(`"ShardId"`)) {
		group.Go(func() error { return k.drainShard(ctx, shard, &read) })
	}
	err = group.Wait()
	r := watch.stop()
	if r.Count = float64(read.Load()); err == nil && read.Load() != want {
		err = fmt.Errorf("read %d records, %d were put", read.Load(), want)
	}
	return r, err
}

func (k *kinesisClient) drainShard(ctx context.Context, shard int, read *atomic.Int64) error {
	ask := fmt.Appendf(nil, `{"StreamName":%q,"ShardId":"shardId-%012d","ShardIteratorType":"TRIM_HORIZON"}`, kinesisStream, shard)
	answer, err := k.call(ctx, "GetShardIterator", ask, nil)
	token := textIn(answer, "ShardIterator")
	var buf []byte
	for err == nil {
		buf, err = k.call(ctx, "GetRecords", fmt.Appendf(nil, `{"ShardIterator":%q,"Limit":10000}`, token), buf[:0])
		n := int64(bytes.Count(buf, []byte(`"SequenceNumber"`)))
		if n == 0 {
			return err
		}
		read.Add(n)
		token = textIn(buf, "NextShardIterator")
	}
	return err
}

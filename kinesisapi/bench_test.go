package kinesisapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream/local"
)

// benchRig is a rig with its data on the disk of the temporary directory, or of LEAT_BENCH_DIR, and every put synced.
func benchRig(b *testing.B) *rig {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("LEAT_BENCH_DIR"), "leat-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	engine, err := local.Open(dir, local.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = engine.Close() })
	r := serve(b, engine, kinesisapi.Config{})
	r.must(b, "CreateStream", `{"StreamName":"bench","ShardCount":4}`)
	return r
}

// benchBody is a PutRecords of n messages of 200 bytes, as a provider of trades sends them.
func benchBody(n int) []byte {
	rng := rand.New(rand.NewPCG(7, 11))
	var body bytes.Buffer
	body.WriteString(`{"StreamName":"bench","Records":[`)
	for i := range n {
		symbol := fmt.Sprintf("SYM%03d-USD", rng.IntN(200))
		text := fmt.Appendf(nil, `{"type":"match","trade_id":%d,"maker":"%016x","taker":"%016x","side":"sell","size":"%.8f","price":"%.2f","product_id":"%s"`,
			900_000_000+i, rng.Uint64(), rng.Uint64(), rng.Float64(), 1000*rng.Float64(), symbol)
		for len(text) < 200 {
			text = append(text, ' ')
		}
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"Data":"%s","PartitionKey":"%s"}`, base64.StdEncoding.EncodeToString(text[:200]), symbol)
	}
	body.WriteString(`]}`)
	return body.Bytes()
}

// transport keeps a connection for each of n workers.
func transport(n int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n, MaxConnsPerHost: n, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}}
}

// call posts a body, reads the answer and reports whether it was one of success.
func (r *rig) call(client *http.Client, operation string, body []byte, answer io.Writer) error {
	return r.callAs(client, jsonType, operation, body, answer)
}

func (r *rig) callAs(client *http.Client, content, operation string, body []byte, answer io.Writer) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = http.Header{
		"Content-Type": {content}, "X-Amz-Target": {"Kinesis_20131202." + operation},
		"Authorization": {authorization}, "X-Amz-Date": {"20261125T120000Z"},
	}
	got, err := client.Do(req)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if _, err := io.Copy(answer, got.Body); err != nil || got.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %w", got.StatusCode, err)
	}
	return nil
}

// BenchmarkPutRecords posts 500 records of 200 bytes over 8 connections; client and server share the machine, and every answer means that
// the records are on disk.
func BenchmarkPutRecords(b *testing.B) {
	body := benchBody(500)
	b.Run("json", func(b *testing.B) { benchPuts(b, benchPut{"PutRecords", jsonType, body, 8, 500}) })
	binary, _ := kinesisapi.ToCBOR("PutRecords", string(body))
	b.Run("cbor", func(b *testing.B) { benchPuts(b, benchPut{"PutRecords", cborType, []byte(binary), 8, 500}) })
}

// BenchmarkPutRecord posts single records over 16 connections.
func BenchmarkPutRecord(b *testing.B) {
	body := []byte(`{"StreamName":"bench","PartitionKey":"k","Data":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 200)) + `"}`)
	benchPuts(b, benchPut{"PutRecord", jsonType, body, 16, 1})
}

type benchPut struct {
	operation, content string
	body               []byte
	workers, records   int
}

func benchPuts(b *testing.B, p benchPut) {
	r := benchRig(b)
	client := transport(p.workers)
	b.SetBytes(int64(p.records) * 200)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	var group sync.WaitGroup
	var next atomic.Int64
	took := make([][]time.Duration, p.workers)
	for w := range p.workers {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				began := time.Now()
				if err := r.callAs(client, p.content, p.operation, p.body, io.Discard); err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N*p.records)/time.Since(start).Seconds(), "records/s")
	if all := slices.Sorted(slices.Values(slices.Concat(took...))); len(all) > 0 {
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	}
}

// BenchmarkGetRecords reads four shards from their beginning to their end with one reader each, the largest answers that the API has. The
// client looks for the next iterator and for nothing else.
func BenchmarkGetRecords(b *testing.B) {
	r := benchRig(b)
	client, body := transport(4), benchBody(500)
	const total = 400_000
	for range total / 500 {
		if err := r.call(client, "PutRecords", body, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	start := time.Now()
	for range b.N {
		var group sync.WaitGroup
		for shard := range 4 {
			group.Go(func() {
				if err := r.drain(client, shard); err != nil {
					b.Error(err)
				}
			})
		}
		group.Wait()
	}
	b.ReportMetric(float64(b.N*total)/time.Since(start).Seconds(), "records/s")
}

func (r *rig) drain(client *http.Client, shard int) error {
	var out bytes.Buffer
	err := r.call(client, "GetShardIterator", fmt.Appendf(nil, `{"StreamName":"bench","ShardId":"%d","ShardIteratorType":"TRIM_HORIZON"}`, shard), &out)
	if err != nil {
		return err
	}
	var first struct{ ShardIterator string }
	if err := json.Unmarshal(out.Bytes(), &first); err != nil {
		return err
	}
	next := first.ShardIterator
	for {
		out.Reset()
		if err := r.call(client, "GetRecords", []byte(`{"ShardIterator":"`+next+`"}`), &out); err != nil {
			return err
		}
		head := bufio.NewReader(bytes.NewReader(out.Bytes()[:min(2000, out.Len())]))
		text, _ := head.ReadString('[')
		_, after, found := strings.Cut(text, `"NextShardIterator":"`)
		if !found {
			return fmt.Errorf("no next iterator in %s", text)
		}
		next, _, _ = strings.Cut(after, `"`)
		if strings.HasSuffix(out.String(), `"Records":[]}`) {
			return nil
		}
	}
}

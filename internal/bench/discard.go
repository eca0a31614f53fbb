package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// discard is a server of the Kinesis API that takes everything and keeps nothing: what it costs is next to nothing. It knows PutRecords in JSON
// and CBOR and says of its streams what a writer asks.
type discard struct {
	url     string
	records atomic.Int64
	stop    func()
}

const discardShards = 4

// discarding starts a server that discards.
func discarding() (*discard, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	d := &discard{url: "http://" + l.Addr().String() + "/"}
	s := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	d.stop = func() {
		cancel()
		_ = s.Close()
		<-done
	}
	return d, nil
}

// ServeHTTP implements http.Handler.
func (d *discard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	kind := r.Header.Get("Content-Type")
	w.Header().Set("Content-Type", kind)
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch operation {
	case "PutRecords":
		n := bytes.Count(body, []byte("PartitionKey"))
		answer := takenJSON(n)
		if strings.Contains(kind, "cbor") {
			answer = takenCBOR(n)
		}
		d.records.Add(int64(n))
		_, _ = w.Write(answer)
	case "ListShards":
		_, _ = fmt.Fprintf(w, `{"Shards":[%s]}`, discardRanges())
	default:
		_, _ = io.WriteString(w, discardSummary)
	}
}

const (
	discardSequence = "49646437577108476416916876405825929425585429676275269634"
	discardSummary  = `{"StreamDescriptionSummary":{"StreamName":"bench","StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/bench","StreamStatus":"ACTIVE",` +
		`"StreamModeDetails":{"StreamMode":"ON_DEMAND"},"RetentionPeriodHours":24,"StreamCreationTimestamp":1700000000,"EnhancedMonitoring":[],` +
		`"OpenShardCount":4,"MaxRecordSizeInKiB":1024},"StreamDescription":{"StreamName":"bench","StreamStatus":"ACTIVE","Shards":[],"HasMoreShards":false,` +
		`"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/bench","RetentionPeriodHours":24,"EnhancedMonitoring":[]}}`
)

// discardRanges are the shards, all of the same width.
func discardRanges() string {
	ends := []string{
		"85070591730234615865843651857942052863", "170141183460469231731687303715884105727", "255211775190703847597530955573826158591",
		"340282366920938463463374607431768211455",
	}
	starts := []string{
		"0", "85070591730234615865843651857942052864", "170141183460469231731687303715884105728", "255211775190703847597530955573826158592",
	}
	shards := make([]string, discardShards)
	for i := range shards {
		shards[i] = fmt.Sprintf(`{"ShardId":"shardId-%012d","HashKeyRange":{"StartingHashKey":%q,"EndingHashKey":%q},"SequenceNumberRange":{"StartingSequenceNumber":%q}}`,
			i, starts[i], ends[i], discardSequence)
	}
	return strings.Join(shards, ",")
}

func takenJSON(n int) []byte {
	b := []byte(`{"FailedRecordCount":0,"Records":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"SequenceNumber":"`+discardSequence+`","ShardId":"shardId-000000000000"}`...)
	}
	return append(b, "]}"...)
}

func takenCBOR(n int) []byte {
	text := func(b []byte, s string) []byte {
		if len(s) < 24 {
			return append(append(b, 0x60|byte(len(s))), s...)
		}
		return append(append(b, 0x78, byte(len(s))), s...)
	}
	b := append(text([]byte{0xa2}, "FailedRecordCount"), 0)
	b = binary.BigEndian.AppendUint16(append(text(b, "Records"), 0x99), uint16(n))
	for range n {
		b = text(text(append(b, 0xa2), "SequenceNumber"), discardSequence)
		b = text(text(b, "ShardId"), "shardId-000000000000")
	}
	return b
}

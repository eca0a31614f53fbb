package kinesis_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
)

// fake is as much of Kinesis as the tests need: it takes PutRecords in both formats, keeps what it was given, and fails as it is told.
type fake struct {
	mu       sync.Mutex
	name     string
	shards   []stream.Shard
	limit    int  // KiB of a record
	onDemand bool // no limits of shards
	discard  bool // keep nothing
	throttle bool // 1,000 records in a second and shard
	window   map[leat.ShardID]*[2]int64

	// before, if not nil, may answer a request instead, and tells so.
	before func(w http.ResponseWriter, r *http.Request, put *putRecords) bool
	// code, if not nil, returns an error code for a record, or nothing.
	code func(request, place int) string
	// misplace says that all records land on the last shard.
	misplace bool
	// refusesKey, if not nil, says which keys are throttled.
	refusesKey func(key string) bool
	// after, if not nil, may keep the answer back.
	after func(w http.ResponseWriter, r *http.Request) bool

	index    uint64
	requests int // PutRecords
	lists    int // ListShards
	sizes    []int
	records  map[leat.ShardID][]leat.Record
	total    int
}

type putRecords struct {
	StreamName string
	Records    []struct {
		Data            []byte
		PartitionKey    string
		ExplicitHashKey string
	}
}

func newFake(name string, shards int) *fake {
	f := &fake{name: name, limit: 1024, records: map[leat.ShardID][]leat.Record{}, window: map[leat.ShardID]*[2]int64{}}
	created := time.Unix(time.Now().Unix()-2, 0)
	for i, r := range stream.EvenRanges(shards) {
		id := leat.ShardID(i)
		f.shards = append(f.shards, stream.Shard{ID: id, Range: r, Created: created, First: leat.NewSequence(id, created, 0, created)})
	}
	return f
}

// serve serves the fake on a real port, and returns its URL.
func (f *fake) serve(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: f}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if action != "PutRecords" {
		f.control(w, action)
		return
	}
	cbor := strings.Contains(r.Header.Get("Content-Type"), "cbor")
	if f.discard && cbor {
		f.discardAll(w, body)
		return
	}
	var put putRecords
	if cbor {
		put = decodePut(body)
	} else if err := json.Unmarshal(body, &put); err != nil {
		panic(err)
	}
	f.put(w, r, &put)
}

func (f *fake) control(w http.ResponseWriter, action string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch action {
	case "DescribeStreamSummary":
		mode := "PROVISIONED"
		if f.onDemand {
			mode = "ON_DEMAND"
		}
		fmt.Fprintf(w, `{"StreamDescriptionSummary":{"StreamName":%q,"StreamStatus":"ACTIVE","MaxRecordSizeInKiB":%d,"StreamModeDetails":{"StreamMode":%q}}}`, f.name, f.limit, mode)
	case "ListShards":
		f.lists++
		var list []map[string]any
		for _, s := range f.shards {
			numbers := map[string]any{"StartingSequenceNumber": s.First.String()}
			if !s.Open() {
				numbers["EndingSequenceNumber"] = s.Last.String()
			}
			list = append(list, map[string]any{
				"ShardId": s.ID.String(), "SequenceNumberRange": numbers,
				"HashKeyRange": map[string]any{"StartingHashKey": s.Range.Start.String(), "EndingHashKey": s.Range.End.String()},
			})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Shards": list})
	default:
		fail(w, 400, "UnknownOperationException", action)
	}
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":%q,"message":%q}`, kind, message)
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, put *putRecords) {
	f.mu.Lock()
	f.requests++
	request := f.requests
	size := 0
	for _, r := range put.Records {
		size += len(r.PartitionKey) + len(r.Data)
	}
	f.sizes = append(f.sizes, size)
	f.mu.Unlock()
	if f.before != nil && f.before(w, r, put) {
		return
	}
	f.mu.Lock()
	out := make([]map[string]string, len(put.Records))
	failed := 0
	for i, r := range put.Records {
		out[i] = f.store(request, i, r.PartitionKey, r.ExplicitHashKey, r.Data)
		if out[i]["ErrorCode"] != "" {
			failed++
		}
	}
	f.mu.Unlock()
	if f.after != nil && f.after(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(map[string]any{"FailedRecordCount": failed, "Records": out})
}

func (f *fake) store(request, place int, key, hash string, data []byte) map[string]string {
	if f.code != nil {
		if code := f.code(request, place); code != "" {
			return map[string]string{"ErrorCode": code, "ErrorMessage": "for the test"}
		}
	}
	if f.refusesKey != nil && f.refusesKey(key) {
		return map[string]string{"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "for the test"}
	}
	at := leat.HashKey(key)
	if hash != "" {
		at, _ = leat.ParseHash(hash)
	}
	i := slices.IndexFunc(f.shards, func(s stream.Shard) bool { return s.Open() && s.Range.Contains(at) })
	if f.misplace {
		i = len(f.shards) - 1
	}
	s := f.shards[i]
	now := time.Now()
	if f.throttle {
		w := f.window[s.ID]
		if w == nil {
			w = new([2]int64)
			f.window[s.ID] = w
		}
		if second := now.Unix(); w[0] != second {
			*w = [2]int64{second, 0}
		}
		if w[1]++; w[1] > 1000 {
			return map[string]string{"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
		}
	}
	f.index++
	n := leat.NewSequence(s.ID, s.Created, f.index, now)
	f.total++
	if !f.discard {
		f.records[s.ID] = append(f.records[s.ID], leat.Record{Sequence: n, PartitionKey: key, Arrived: now, Data: slices.Clone(data)})
	}
	return map[string]string{"ShardId": s.ID.String(), "SequenceNumber": n.String()}
}

// stored returns the payloads of a key in their order, or of all keys where key is empty.
func (f *fake) stored(key string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, s := range f.shards {
		var records []leat.Record
		for _, r := range f.records[s.ID] {
			records = append(records, kinesis.Parts(r)...)
		}
		for _, r := range records {
			if key == "" || r.PartitionKey == key {
				all = append(all, string(r.Data))
			}
		}
	}
	return all
}

// count returns how many records are stored.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// discardAll answers as if all had been stored.
func (f *fake) discardAll(w http.ResponseWriter, body []byte) {
	n := int(binary.BigEndian.Uint16(body[bytesIndex(body, "Records")+8:])) // a list of up to 65,535
	if b := body[bytesIndex(body, "Records")+7]; b != 0x99 {
		n = int(b & 0x1f)
		if b == 0x98 {
			n = int(body[bytesIndex(body, "Records")+8])
		}
	}
	f.mu.Lock()
	f.requests++
	f.total += n
	f.mu.Unlock()
	out := append([]byte{0xa2}, "\x71FailedRecordCount\x00\x67Records\x99"...)
	out = append(out, byte(n>>8), byte(n))
	one := "\xa2\x6eSequenceNumber\x78\x3849646437577108476416916876405825929425585429676275269634\x67ShardId\x74shardId-000000000000"
	for range n {
		out = append(out, one...)
	}
	w.Header().Set("Content-Type", "application/x-amz-cbor-1.1")
	_, _ = w.Write(out)
}

func bytesIndex(b []byte, s string) int { return strings.Index(string(b[:min(len(b), 400)]), s) }

// decodePut reads the CBOR that the engine writes.
func decodePut(b []byte) (put putRecords) {
	var value func() any
	value = func() any {
		first := b[0]
		b = b[1:]
		n := int(first & 0x1f)
		if n >= 24 {
			size := 1 << (n - 24)
			n = 0
			for _, c := range b[:size] {
				n = n<<8 | int(c)
			}
			b = b[size:]
		}
		switch first >> 5 {
		case 2:
			out := b[:n]
			b = b[n:]
			return out
		case 3:
			out := string(b[:n])
			b = b[n:]
			return out
		case 4:
			list := make([]any, n)
			for i := range list {
				list[i] = value()
			}
			return list
		case 5:
			m := map[string]any{}
			for range n {
				k := value().(string)
				m[k] = value()
			}
			return m
		}
		return n
	}
	m := value().(map[string]any)
	put.StreamName = m["StreamName"].(string)
	for _, r := range m["Records"].([]any) {
		r := r.(map[string]any)
		e := struct {
			Data            []byte
			PartitionKey    string
			ExplicitHashKey string
		}{Data: r["Data"].([]byte), PartitionKey: r["PartitionKey"].(string)}
		e.ExplicitHashKey, _ = r["ExplicitHashKey"].(string)
		put.Records = append(put.Records, e)
	}
	return put
}

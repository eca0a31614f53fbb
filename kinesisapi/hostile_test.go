package kinesisapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/sigv4"
	"github.com/leatstream/leat/stream"
)

// served runs f against kinesisapi.Serve, as leat dev and leat run call it.
func served(t *testing.T, cfg kinesisapi.Config, f func(t *testing.T, s *subscriber)) {
	bubble(t, cfg, func(t *testing.T, s *subscriber) {
		network := pipenet.New()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		listener := network.Listen("kinesis:80")
		go func() { ended <- kinesisapi.Serve(ctx, listener, s.server, nil) }()
		s.http = network.Client()
		s.client = clientOver(s.url, s.http)
		f(t, s)
		s.http.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// stalled is a body that ends too soon, two minutes after it has begun.
type stalled struct{ begun bool }

func (s *stalled) Read(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		return copy(p, `{"StreamName":`), nil
	}
	time.Sleep(2 * time.Minute)
	return 0, io.ErrUnexpectedEOF
}

// A put that waits for its turn when the server ends has no answer: an empty one with the status 200 would say that it is stored.
func TestARequestThatIsNotTakenHasNoAnswer(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	ctx, end := context.WithCancel(t.Context())
	end()
	put := func(ctx context.Context, body io.Reader) (rec *httptest.ResponseRecorder, cut any) {
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
		req.ContentLength = 2 << 20
		rec = httptest.NewRecorder()
		defer func() { cut = recover() }()
		r.server.ServeHTTP(rec, req)
		return rec, nil
	}
	busy, entered := make([]*io.PipeWriter, 16), make(chan struct{})
	for i := range busy {
		body, w := io.Pipe()
		busy[i] = w
		go func() { _, _ = put(t.Context(), body) }()
		go func() { _, _ = w.Write([]byte("{")); entered <- struct{}{} }()
	}
	for range busy {
		<-entered
	}
	if rec, cut := put(ctx, strings.NewReader(strings.Repeat(" ", 2<<20))); cut != http.ErrAbortHandler {
		t.Errorf("answered %d %q, %v", rec.Code, rec.Body, cut)
	}
	for _, w := range busy {
		_ = w.Close()
	}
}

// Subscriptions whose request came in chunks are none of the large bodies that take turns: they would keep all puts waiting.
func TestSubscriptionsDoNotKeepTurns(t *testing.T) {
	served(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		start := time.Now()
		for i := range 18 {
			consumer := s.register(t, fmt.Sprint("chunked", i))
			req := s.request(t, "SubscribeToShard", "")
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader(
				`{"ConsumerARN":"`+consumer+`","ShardId":"0","StartingPosition":{"Type":"LATEST"}}`+strings.Repeat(" ", 1<<20))), -1
			answer, err := s.http.Do(req)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatal(answer, err)
			}
			defer answer.Body.Close()
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("18 subscriptions begin within %v", took)
		}
	})
}

// A body that stops coming is no body that is too large: clients try again after a cut connection, and never after a 413.
func TestABodyThatStopsIsNotTooLarge(t *testing.T) {
	served(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		for _, size := range []int64{1000, 2 << 20, -1} {
			req := s.request(t, "PutRecords", "")
			req.Body, req.ContentLength = io.NopCloser(&stalled{}), size
			if answer, err := s.http.Do(req); err == nil {
				t.Errorf("%d bytes: got %d", size, answer.StatusCode)
			}
		}
	})
}

// A client that does not read its answer is cut off: it holds the memory of the answer.
func TestAnswersThatAreNotReadAreCutOff(t *testing.T) {
	served(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		for range 4 {
			s.put(t, strings.Repeat("x", 900_000))
		}
		_, text := s.iterate(t)
		_, text, _ = strings.Cut(text, `"ShardIterator":"`)
		it, _, _ := strings.Cut(text, `"`)
		answer, err := s.http.Do(s.request(t, "GetRecords", `{"ShardIterator":"`+it+`"}`))
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(answer, err)
		}
		synctest.Wait() // the server is blocked in a write
		time.Sleep(3 * time.Minute)
		if n, err := io.Copy(io.Discard, answer.Body); err == nil {
			t.Errorf("%d bytes were kept for it", n)
		}
		_ = answer.Body.Close()
	})
}

func (s *subscriber) iterate(t *testing.T) (status int, text string) {
	answer, err := s.http.Do(s.request(t, "GetShardIterator", `{"StreamName":"orders","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// At every time the shards that were open hold all hash keys: also in the second between the end of a shard and its children, and
// before the stream was there.
func TestShardsOfATimeHoldAllHashKeys(t *testing.T) {
	direct(t, kinesisapi.Config{}, func(t *testing.T, b *directed) {
		before := time.Now().Add(-time.Hour)
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		time.Sleep(time.Minute)
		b.must("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"99"}`)
		time.Sleep(500 * time.Millisecond)
		check := func(filter string) {
			t.Helper()
			text := b.must("ListShards", `{"StreamName":"s","ShardFilter":{`+filter+`}}`)
			if strings.Count(text, `"ShardId"`) != 1 || !strings.Contains(text, "shardId-000000000000") {
				t.Errorf("%s: %s", filter, text)
			}
		}
		check(fmt.Sprintf(`"Type":"AT_TIMESTAMP","Timestamp":%d.5`, time.Now().Unix()))
		check(fmt.Sprintf(`"Type":"AT_TIMESTAMP","Timestamp":%d`, before.Unix()))
		time.Sleep(24 * time.Hour)
		check(`"Type":"AT_TRIM_HORIZON"`)
	})
}

// A token does not lead to a gap, or through expired records, a second time.
func TestATokenLeadsBehindWhatIsGone(t *testing.T) {
	direct(t, kinesisapi.Config{}, func(t *testing.T, b *directed) {
		b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MQ=="}`)
		first := b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MQ=="}`)
		_, number, _ := strings.Cut(first, `"SequenceNumber":"`)
		b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"Mg=="}`)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = b.engine.Run(ctx) }()
		time.Sleep(25 * time.Hour)
		text := b.must("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"`+
			strings.TrimSuffix(number, `"}`)+`"}`)
		for range 3 {
			_, text, _ = strings.Cut(text, `ShardIterator":"`)
			it, _, _ := strings.Cut(text, `"`)
			text = b.must("GetRecords", `{"ShardIterator":"`+it+`"}`)
		}
		if b.server.Gaps() != 1 {
			t.Errorf("one gap is counted %d times", b.server.Gaps())
		}
		cancel()
		synctest.Wait()
	})
}

// With keys, what a stranger sends is not read before its signature.
func TestStrangersAreRefusedFirst(t *testing.T) {
	r := newRig(t, kinesisapi.Config{Keys: &sigv4.Verifier{Keys: map[string]sigv4.Key{"AKIDEXAMPLE": {Secret: "secret"}}}})
	for _, target := range []string{list, "Kinesis_20131202.PutRecords", "Kinesis_20131202.Nothing"} {
		rec := raw{target: target, content: jsonType, body: `{"broken":[0,0,0`, header: signed()}.send(r.server)
		if rec.Code != 400 || strings.Contains(rec.Body.String(), "Serialization") || strings.Contains(rec.Body.String(), "UnknownOperation") {
			t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
		}
	}
}

// A single record that an engine refuses is answered so that clients try again.
func TestARefusedRecordIsTriedAgain(t *testing.T) {
	r := newRig(t, kinesisapi.Config{})
	r.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	broken := &failing{Engine: r.engine, err: &stream.PartialError{Refused: [][]int{{0}}, Err: stream.ErrFull}}
	server, err := kinesisapi.New(kinesisapi.Config{Engine: broken, Admin: broken})
	if err != nil {
		t.Fatal(err)
	}
	rec := raw{target: "Kinesis_20131202.PutRecord", content: jsonType, body: `{"StreamName":"s","PartitionKey":"a","Data":"MQ=="}`, header: signed()}.send(server)
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "InternalFailureException") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// Without keys a page of another machine reads and changes nothing, also if its name leads here (DNS rebinding). With keys it may try.
func TestPagesOfOtherMachines(t *testing.T) {
	open := newRig(t, kinesisapi.Config{})
	open.must(t, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	keys := newRig(t, kinesisapi.Config{Keys: &sigv4.Verifier{Keys: map[string]sigv4.Key{"AKIDEXAMPLE": {Secret: "secret"}}}})
	for _, c := range []struct {
		origin string
		server http.Handler
		good   bool
	}{
		{"http://127.0.0.1:8080", open.server, true},
		{"https://[::1]", open.server, true},
		{"https://example.com", open.server, false},
		{"http://localhost.example.com:4567", open.server, false},
		{"http://192.168.0.7", open.server, false},
		{"null", open.server, false},
		{"https://example.com", keys.server, true},
	} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			header := signed()
			header["Origin"] = c.origin
			rec := raw{method: method, target: "Kinesis_20131202.DeleteStream", content: jsonType, body: `{"StreamName":"none"}`, header: header}.send(c.server)
			if got := rec.Header().Get("Access-Control-Allow-Origin") == "*" && rec.Code != 403; got != c.good {
				t.Errorf("%s from %s: %d %v", method, c.origin, rec.Code, rec.Header())
			}
		}
	}
}

// Clients that do not read make the answers of others smaller, and keep nobody waiting.
func TestFullAnswersAreFew(t *testing.T) {
	served(t, kinesisapi.Config{}, func(t *testing.T, s *subscriber) {
		for range 4 {
			s.put(t, strings.Repeat("x", 900_000))
		}
		_, text := s.iterate(t)
		_, text, _ = strings.Cut(text, `"ShardIterator":"`)
		it, _, _ := strings.Cut(text, `"`)
		get := func() *http.Response {
			answer, err := s.http.Do(s.request(t, "GetRecords", `{"ShardIterator":"`+it+`"}`))
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatal(answer, err)
			}
			return answer
		}
		var deaf []*http.Response
		for range 16 {
			deaf = append(deaf, get())
		}
		for _, want := range []int{1, 4} {
			answer := get()
			body, err := io.ReadAll(answer.Body)
			if got := strings.Count(string(body), `"Data"`); err != nil || got != want || !strings.Contains(string(body), "NextShardIterator") {
				t.Errorf("got %d records, want %d: %v", got, want, err)
			}
			_ = answer.Body.Close()
			for _, d := range deaf {
				_ = d.Body.Close()
			}
			synctest.Wait()
		}
	})
}

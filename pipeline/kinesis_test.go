package pipeline_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/pipeline"
	"github.com/leatstream/leat/stream/local"
)

const kinesisPipeline = `
data: ${DATA}
engine: {type: kinesis, region: eu-west-1, create: true, wait: 100ms}
streams:
  events: {shards: 2}
sources:
  - name: feed
    type: websocket
    url: ${FEED_URL}
    stream: events
    event_id: id
    partition_key: key
consumers:
  - name: rows
    stream: events
    destination: {type: sqlite, path: "${DB}", table: events}
`

// Events go from a provider over Kinesis into a table, also those that come while Kinesis is down: at the start, when its streams are still to be
// made, and later.
func TestKinesisAsTheStream(t *testing.T) {
	engine, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	api, err := kinesisapi.New(kinesisapi.Config{Engine: engine, Admin: engine, Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	down.Store(true)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer service.Close()

	second := make(chan struct{})
	feed := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for i := range 2000 {
			if i == 1000 {
				<-second
			}
			text := fmt.Sprintf(`{"id":%d,"key":"k%d"}`, i, i%200)
			if conn.Write(r.Context(), websocket.MessageText, []byte(text)) != nil {
				return
			}
		}
		<-conn.CloseRead(r.Context()).Done()
	}))
	file := filepath.Join(t.TempDir(), "leat.yaml")
	if err := os.WriteFile(file, []byte(kinesisPipeline), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL_KINESIS", service.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	run := start(t, file, feed)
	delivered := func(n int64) func(pipeline.Status) bool {
		return func(s pipeline.Status) bool { _, d := stored(s); return d >= n }
	}
	run.until(t, "the first half spooled", func(s pipeline.Status) bool {
		in, _ := stored(s)
		return in == 1000 && s.Consumers[0].Unlisted != ""
	})
	down.Store(false)
	run.until(t, "the first half delivered", delivered(1000))
	down.Store(true)
	close(second)
	run.until(t, "the second half spooled", func(s pipeline.Status) bool {
		in, _ := stored(s)
		return in == 2000 && s.Forwarding[0].Records > 0 && s.Forwarding[0].State == "failing"
	})
	down.Store(false)
	run.until(t, "all delivered", delivered(2000))
	run.end(t)
	if n := run.rows(t, "SELECT count(DISTINCT data) FROM events"); n != 2000 {
		t.Errorf("%d events are in the table", n)
	}
	shards, err := engine.Shards(t.Context(), "events")
	if err != nil || len(shards) != 2 {
		t.Errorf("Kinesis has the shards %v, %v", shards, err)
	}
}

package kinesis_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/streamtest"
)

// Over HTTPS to a server that offers HTTP/2, as AWS does, requests go with many connections, each for itself, and subscriptions by HTTP/2.
func TestHTTPSToAServerThatOffersHTTP2(t *testing.T) {
	behind := openHouse(t, vfs.NewMem())
	defer behind.Close()
	api, err := kinesisapi.New(kinesisapi.Config{Engine: behind, Admin: behind})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	spoken := map[string][]string{} // by operation
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		mu.Lock()
		if !slices.Contains(spoken[operation], r.Proto) {
			spoken[operation] = append(spoken[operation], r.Proto)
		}
		mu.Unlock()
		api.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer api.EndSubscriptions()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", authority)

	for _, fanOut := range []string{"", "leat"} {
		house := openHouse(t, vfs.NewMem())
		defer house.Close()
		e, stop := start(t, kinesis.Config{Endpoint: server.URL, FanOut: fanOut, Pace: "off"}, house)
		name := "s" + fanOut
		streamtest.Create(t, e, name, 1)
		events, want := run("k", 300)
		for part := range slices.Chunk(events, 50) {
			put(t, e, name, part...)
		}
		r, err := e.Read(t.Context(), name, 0, stream.Oldest())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for len(got) < len(want) {
			b, err := r.Next(t.Context(), stream.Limit{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.Records {
				got = append(got, string(b.Records[i].Data))
			}
		}
		r.Close()
		stop()
		if !slices.Equal(got, want) {
			t.Errorf("fan-out %q: got %d records", fanOut, len(got))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(spoken["PutRecords"], []string{"HTTP/1.1"}) || !slices.Equal(spoken["SubscribeToShard"], []string{"HTTP/2.0"}) {
		t.Errorf("PutRecords by %v, SubscribeToShard by %v", spoken["PutRecords"], spoken["SubscribeToShard"])
	}
}

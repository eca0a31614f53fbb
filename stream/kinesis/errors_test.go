package kinesis_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/stream/kinesis"
)

func TestErrorsSayWhatTheServiceSaidAndNoMore(t *testing.T) {
	answers := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Requestid", "r-1")
		fail(w, http.StatusBadRequest, "UnrecognizedClientException", "The security token is invalid.")
	}
	server := httptest.NewServer(http.HandlerFunc(answers))
	e, stop := start(t, kinesis.Config{Endpoint: server.URL, Passing: true}, openHouse(t, vfs.NewMem()))
	defer stop()
	want := "list the shards of stream \"orders\": UnrecognizedClientException: The security token is invalid. (request r-1)"
	if _, err := e.Shards(t.Context(), "orders"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	server.Close()
	want = "list the shards of stream \"orders\": Post \"" + server.URL + "/\": dial tcp "
	if _, err := e.Shards(t.Context(), "orders"); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

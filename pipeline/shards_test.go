package pipeline_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/pipeline"
)

func TestAStreamWithOtherShardsThanConfiguredIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	open := func(streams string) string {
		t.Helper()
		c, diagnostics := config.Load([]config.Input{{Name: "leat.yaml", Text: []byte("data: " + dir + "/data\nstreams: " + streams + "\n")}}, pipeline.Adapters(), nil)
		if err := diagnostics.Err(); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		p, err := pipeline.Open(t.Context(), c, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	for _, streams := range []string{"{a: {shards: 2}, b: {shards: 1}}", "{a: {shards: 2}, b: {shards: 1}}", "{a: {retention: 1h}, b: }"} {
		if log := open(streams); log != "" {
			t.Errorf("%s: %s", streams, log)
		}
	}
	log := open("{a: {shards: 4}, b: {shards: 1}}")
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "stream=a shards=2 configured=4") {
		t.Errorf("got %s", log)
	}
}

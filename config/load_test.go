package config_test

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

func valid(t *testing.T) *config.Config {
	t.Helper()
	text, err := os.ReadFile("testdata/golden/valid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, diagnostics := load(string(text))
	if len(diagnostics) > 0 || diagnostics.Err() != nil {
		t.Fatalf("%v:\n%s", diagnostics.Err(), printed(t, diagnostics))
	}
	return cfg
}

func TestLoadFillsTheFrame(t *testing.T) {
	cfg := valid(t)
	if cfg.Data != "./data" || cfg.Metrics != "127.0.0.1:8080" || cfg.Grace != 30*time.Second || cfg.DiskReserve != 256<<20 {
		t.Errorf("top level: %+v", cfg)
	}
	want := []config.Stream{
		{Name: "clicks", Shards: 4, ShardsGiven: true, Retention: 24 * time.Hour, RetentionBytes: 10 << 30, At: config.Position{File: "leat.yaml", Line: 7, Column: 3}},
		{Name: "orders", Shards: 1, Retention: 24 * time.Hour, At: config.Position{File: "leat.yaml", Line: 8, Column: 3}},
	}
	if !slices.Equal(cfg.Streams, want) {
		t.Errorf("streams: %+v", cfg.Streams)
	}
	if files := []string{"testdata/credentials/lake"}; !slices.Equal(cfg.Files, files) {
		t.Errorf("files: %q", cfg.Files)
	}
}

func TestOneMappingFillsEveryStructOfASource(t *testing.T) {
	cfg := valid(t)
	if len(cfg.Sources) != 1 {
		t.Fatalf("got %d sources", len(cfg.Sources))
	}
	s := cfg.Sources[0]
	if s.Name != "web" || s.Type != "websocket" || s.Stream != "clicks" || s.At.String() != "leat.yaml:10:5" {
		t.Errorf("base: %+v", s)
	}
	if s.Settings.Connections != 2 || s.Settings.EventID.String() != "[type, id]" || s.Settings.Stall != setting.Off || s.Settings.MaxAge != setting.Off || s.Settings.DedupeWindow != 10*time.Minute {
		t.Errorf("settings: %+v", s.Settings)
	}
	if s.Batch.Records != 500 || s.Batch.Bytes != 4<<20 || s.Batch.Wait != 20*time.Millisecond {
		t.Errorf("batch: %+v", s.Batch)
	}
	want := &websocketConfig{
		URL:        "wss://feed.example/?c={{cursor}}",
		Subscribe:  map[string]any{"op": "subscribe", "ids": []any{1, 2.5, true, nil, "3", "007"}},
		Headers:    map[string]setting.Secret{"Authorization": setting.NewSecret("Bearer s3cr3t-marker")},
		Labels:     map[string]string{"a": "1", "b": "yes"},
		MaxMessage: 16 << 20, Ping: 15 * time.Second,
		Channels: []string{"a", "b"},
		Rules:    []ruleConfig{{When: expression.MustParse("a.b"), Limit: 10}},
		Hosts:    map[string]ruleConfig{"x": {When: expression.MustParse("y"), Limit: 3}},
		TLS:      &tlsConfig{Key: setting.NewSecret("cr3dential-marker")},
	}
	if !reflect.DeepEqual(s.Adapter, want) {
		t.Errorf("adapter: %+v", s.Adapter)
	}
}

func TestConsumersHaveTheirDestinationAndDeadLetters(t *testing.T) {
	cfg := valid(t)
	if len(cfg.Consumers) != 2 {
		t.Fatalf("got %d consumers", len(cfg.Consumers))
	}
	c := cfg.Consumers[0]
	if c.Name != "lake" || c.Settings.Start != "latest" || c.Settings.OnGap != "continue" || c.Settings.DeadLetters != "lake.dlq" || c.Settings.Batch.Records != 10 {
		t.Errorf("consumer: %+v", c)
	}
	want := &parquetConfig{Path: "out", Compression: "zstd", Port: 8080, On: true}
	if c.Destination.Type != "parquet" || !reflect.DeepEqual(c.Destination.Adapter, want) {
		t.Errorf("destination: %+v", c.Destination)
	}
	if got := cfg.Consumers[1].Settings.DeadLetters; got != "orders" {
		t.Errorf("dead letters: %s", got)
	}
}

func TestATextMayBeWrittenAsAMappingWhereItsTypeTakesOne(t *testing.T) {
	const frame = "streams: {a: }\nsources:\n  - {name: s, type: websocket, url: wss://x, stream: a, hello: "
	for written, want := range map[string]string{
		"hi": "hi", "12": "12", "{op: sub, ids: [1, x]}": `{"ids":[1,"x"],"op":"sub"}`, "[null, 1.5, '${PORT}']": `[null,1.5,"8080"]`,
	} {
		cfg, diagnostics := load(frame + written + "}\n")
		if len(diagnostics) > 0 {
			t.Errorf("%s:\n%s", written, printed(t, diagnostics))
			continue
		}
		if got := cfg.Sources[0].Adapter.(*websocketConfig).Hello.text; got != want {
			t.Errorf("%s: got %s, want %s", written, got, want)
		}
	}
	_, diagnostics := load(frame + "{long: '0123456789012345678901234567890123456789'}}\n")
	expect(t, diagnostics, []place{{"leat.yaml", 3, 64, "config.value", "hello: expected a short message, got 51 bytes"}})
	_, diagnostics = load(frame + "{unset: ['${UNSET}']}}\n")
	expect(t, diagnostics, []place{{"leat.yaml", 3, 74, "config.unset_variable", "UNSET"}})
}

func TestFilesAddUp(t *testing.T) {
	cfg, diagnostics := load("data: here\nstreams: {a: }\n--- # second file\ngrace: 1m\nstreams: {b: {retention: off}}\n" +
		"sources:\n  - {name: s, type: websocket, url: wss://x, stream: a}\n--- # second file\n" +
		"consumers:\n  - {name: c, stream: b, destination: {type: parquet, path: out}}\n")
	if len(diagnostics) > 0 {
		t.Fatal(printed(t, diagnostics))
	}
	if cfg.Data != "here" || cfg.Grace != time.Minute || len(cfg.Streams) != 2 || len(cfg.Sources) != 1 || len(cfg.Consumers) != 1 || cfg.Streams[1].Retention != setting.Off {
		t.Errorf("got %+v", cfg)
	}
}

func TestMergedKeysYieldToOwnOnes(t *testing.T) {
	cfg, diagnostics := load("streams:\n  a: &a {shards: 2, retention: 1d}\n  b: &b {shards: 3}\n  c: {<<: [*b, *a], retention_bytes: 5}\n  d: {shards: 4, <<: *a}\n")
	if len(faults(diagnostics)) > 0 {
		t.Fatal(printed(t, diagnostics))
	}
	c, d := cfg.Streams[2], cfg.Streams[3]
	if c.Shards != 3 || c.Retention != 24*time.Hour || c.RetentionBytes != 5 || d.Shards != 4 {
		t.Errorf("got %+v and %+v", c, d)
	}
}

func TestWhatCouldBeReadIsThereBesideMistakes(t *testing.T) {
	cfg, diagnostics := load(sixMistakesFile(t))
	var wrong *config.InvalidError
	if err := diagnostics.Err(); !errors.As(err, &wrong) || len(wrong.Diagnostics) != 6 {
		t.Errorf("got %v", err)
	}
	if len(cfg.Streams) != 1 || cfg.Streams[0].Retention != 24*time.Hour || len(cfg.Sources) != 2 || cfg.Sources[1].Adapter != nil {
		t.Errorf("got %+v", cfg)
	}
}

func TestNothingAtAllIsADefaultConfiguration(t *testing.T) {
	cfg, diagnostics := config.Load(nil, config.Adapters{}, nil)
	if len(diagnostics) > 0 || cfg.Data != "./leat-data" || cfg.Grace != 20*time.Second {
		t.Errorf("got %+v, %v", cfg, diagnostics)
	}
}

func TestManyNodesWithoutAliasesAreNoExpansion(t *testing.T) {
	text := "streams:\n"
	for i := range 6000 {
		text += "  s" + strconv.Itoa(i) + ": {shards: 1}\n"
	}
	cfg, diagnostics := load(text)
	if len(faults(diagnostics)) > 0 || len(cfg.Streams) != 6000 {
		t.Errorf("got %d streams, %s", len(cfg.Streams), diagnostics.Summary())
	}
}

func TestMetricsAreHostAndPort(t *testing.T) {
	const rest = "\nstreams: {a: }\nsources: [{name: s, type: websocket, url: wss://x, stream: a}]\n"
	for address, code := range map[string]string{
		"127.0.0.1:8700": "", "localhost:8700": "", "'[::1]:8700'": "", "127.9.9.9:0": "",
		"0.0.0.0:8700": "config.open_metrics", "':8700'": "config.open_metrics", "'[::]:8700'": "config.open_metrics", "box.example:8700": "config.open_metrics",
		"127.0.0.1": "config.value", "8700": "config.value", "http://127.0.0.1:8700": "config.value", "127.0.0.1:http": "config.value",
		"127.0.0.1:65536": "config.value", "127.0.0.1:-1": "config.value", "::1:8700": "config.value", "me@127.0.0.1:8700": "config.value",
	} {
		_, diagnostics := load("metrics: " + address + rest)
		got := ""
		if len(diagnostics) > 0 {
			got = diagnostics[0].Code
		}
		if got != code || len(diagnostics) > 1 {
			t.Errorf("%s: want %q, got\n%s", address, code, printed(t, diagnostics))
		}
	}
}

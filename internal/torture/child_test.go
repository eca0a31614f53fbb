package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/wait"
	"github.com/leatstream/leat/pipeline"
	"github.com/leatstream/leat/producer"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
)

// childEnv holds the order of a child process: this binary again, which then is a pipeline and no test.
const childEnv = "LEAT_TORTURE_CHILD"

// insideEnv is set in a process that runs one test in mounts of its own; it holds the directory for them.
const insideEnv = "LEAT_TORTURE_INSIDE"

// order is what a child is to do.
type order struct {
	Dir         string
	URL         string
	Connections int
	Files       time.Duration // how long the files gather records
	Seam        seam          // the seeded defect; empty: the pipeline as it is
	Last        int64         // say "drained" when everything up to this event is delivered; 0: never
}

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		if os.Getenv(insideEnv) != "" {
			dieWithParent()
		}
		os.Exit(m.Run())
	}
	dieWithParent()
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dieWithParent ends this process when its input ends: when whoever started it is gone.
func dieWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(9)
	}()
}

// The names in the configuration.
const (
	streamName = "events"
	sourceName = "feed"
	tableName  = "table" // the consumer that keeps a table
	filesName  = "files" // the consumer that writes files
	shardCount = 3
)

func dataDir(dir string) string  { return filepath.Join(dir, "data") }
func dbFile(dir string) string   { return filepath.Join(dir, "events.db") }
func filesDir(dir string) string { return filepath.Join(dir, "files") }

// source is how the provider is asked, by its address.
func (o *order) source() string {
	if strings.HasPrefix(o.URL, "mqtt:") {
		return fmt.Sprintf(`type: mqtt
    url: %q
    client_id: torture
    topics: [{topic: t}]`, o.URL)
	}
	if strings.HasSuffix(o.URL, acknowledging) {
		return fmt.Sprintf(`type: websocket
    url: %q
    ack: {when: id != nil, send: {ack: "{{id}}"}}`, o.URL)
	}
	return fmt.Sprintf(`type: websocket
    url: %q
    query: {cursor: "{{cursor}}"}
    connections: %d
    cursor: cursor
    cursor_mode: inclusive`, o.URL, o.Connections)
}

func (o *order) config() (*config.Config, error) {
	text := fmt.Sprintf(`
data: %q
disk_reserve: 16MiB
streams:
  events: {shards: %d}
sources:
  - name: feed
    %s
    stream: events
    event_id: id
    partition_key: key
    dedupe_events: 20000
consumers:
  - name: table
    stream: events
    destination: {type: sqlite, path: %q, table: events}
  - name: files
    stream: events
    batch: {wait: %s}
    destination: {type: jsonl, path: %q, envelope: true}
`, dataDir(o.Dir), shardCount, o.source(), dbFile(o.Dir), o.Files, filesDir(o.Dir))
	c, found := config.Load([]config.Input{{Name: "torture.yaml", Text: []byte(text)}}, pipeline.Adapters(), os.LookupEnv)
	if len(found) > 0 {
		_ = found.Print(os.Stderr, config.PrintOptions{})
		return nil, errors.New("the configuration is not in order")
	}
	return c, nil
}

// running is an open pipeline: that of the house, or one with a seam.
type running interface {
	Run(ctx context.Context) error
	stored() int64 // events whose commit has returned
	engine() stream.Engine
}

// house is the pipeline as cmd/leat runs it.
type house struct{ *pipeline.Pipeline }

func (h house) stored() int64         { return h.Status().Sources[0].Stored }
func (h house) engine() stream.Engine { return h.Engine() }

// run runs the pipeline until SIGTERM, as cmd/leat does, and tells on lines of its output what is acknowledged.
func (o *order) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	c, err := o.config()
	if err != nil {
		return err
	}
	var p running
	if o.Seam == "" {
		h, err := pipeline.Open(ctx, c, log)
		if err != nil {
			return err
		}
		p = house{h}
	} else if p, err = openSeamed(ctx, c, o.Seam, log); err != nil {
		return err
	}
	fmt.Println("open")
	go o.tell(ctx, p)
	return p.Run(ctx)
}

// tell writes "stored n" whenever n has changed, and at last "drained". A line is written at once, so that it is in the pipe whole or
// not at all.
func (o *order) tell(ctx context.Context, p running) {
	told := int64(0)
	for wait.For(ctx, time.Millisecond+rand.N(time.Millisecond)) == nil {
		if n := p.stored(); n != told {
			told = n
			fmt.Printf("stored %d\n", n)
		}
		if o.Last == 0 {
			continue
		}
		done, err := drained(ctx, p.engine(), o.Last)
		if err != nil {
			fmt.Fprintln(os.Stderr, "look whether everything is delivered:", err)
			return
		}
		if done {
			fmt.Println("drained")
			return
		}
	}
}

// drained reports whether every consumer has come to the end of every shard, and to the last event.
func drained(ctx context.Context, e stream.Engine, last int64) (bool, error) {
	greatest := int64(0)
	for _, consumer := range []string{tableName, filesName} {
		for shard := range leat.ShardID(shardCount) {
			at, err := loadCheckpoint(ctx, e, consumer, shard)
			if err != nil {
				return false, err
			}
			from := stream.After(at)
			if at.IsZero() {
				from = stream.Oldest()
			}
			if _, ok, err := readOne(ctx, e, shard, from); err != nil || ok {
				return false, err
			}
			if at.IsZero() {
				continue
			}
			id, _, err := readOne(ctx, e, shard, stream.At(at))
			if err != nil {
				return false, err
			}
			greatest = max(greatest, id)
		}
	}
	return greatest >= last, nil
}

// readOne returns the event at a place, if there is one.
func readOne(ctx context.Context, e stream.Engine, shard leat.ShardID, from stream.Position) (id int64, ok bool, err error) {
	r, err := e.Read(ctx, streamName, shard, from)
	if err != nil {
		return 0, false, err
	}
	defer r.Close()
	b, err := r.Next(ctx, stream.Limit{Records: 1, NoWait: true})
	if err != nil || len(b.Records) == 0 {
		return 0, false, err
	}
	id, err = strconv.ParseInt(b.Records[0].ID, 10, 64)
	return id, true, err
}

// loadCursor returns the stored cursor of the source; 0: there is none.
func loadCursor(ctx context.Context, e stream.Engine) (n int64, err error) {
	stored, err := e.Load(ctx, producer.MarkKey(sourceName))
	if err != nil {
		return 0, err
	}
	mark, err := source.DecodeMark(stored.Value)
	if err != nil || mark.Cursor == "" {
		return 0, err
	}
	_, err = fmt.Sscanf(string(mark.Cursor), "%d", &n)
	return n, err
}

// loadCheckpoint returns the last record that a consumer is done with; zero: none.
func loadCheckpoint(ctx context.Context, e stream.Engine, consumer string, shard leat.ShardID) (leat.SequenceNumber, error) {
	var at struct {
		Sequence leat.SequenceNumber `json:"sequence"`
	}
	mark, err := e.Load(ctx, "consumer/"+consumer+"/"+streamName+"/"+shard.String())
	if err != nil || mark.Value == nil {
		return at.Sequence, err
	}
	return at.Sequence, json.Unmarshal(mark.Value, &at)
}

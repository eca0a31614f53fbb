package examples_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/pipenet"
	"github.com/leatstream/leat/internal/provider"
	"github.com/leatstream/leat/pipeline"
	sqlsink "github.com/leatstream/leat/sink/sql"
	"github.com/leatstream/leat/source"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// world is an example between a simulated provider and SQLite, in virtual time. The network is in memory, and the provider has the addresses
// that it has on the Internet: of the file nothing is changed but that its connections are not encrypted.
type world struct {
	t    *testing.T
	net  *pipenet.Network
	disk vfs.FS
	name string
	env  map[string]string
	dir  string

	p    *pipeline.Pipeline
	stop context.CancelFunc
	done chan error
}

// newWorld serves a provider at each of its addresses, host:port. The caller is inside a synctest bubble.
func newWorld(t *testing.T, example string, env map[string]string, hosts map[string]http.Handler) *world {
	t.Helper()
	w := &world{t: t, net: pipenet.New(), disk: vfs.NewMem(), name: example, env: map[string]string{}, dir: t.TempDir()}
	for name, value := range env {
		w.env[name] = value
	}
	w.env["DATA"], w.env["DB"] = filepath.Join(w.dir, "data"), filepath.Join(w.dir, "example.db")
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, len(hosts))
	for host, h := range hosts {
		l := w.net.Listen(host)
		go func() { served <- provider.Serve(ctx, l, h) }()
	}
	t.Cleanup(func() {
		w.leave()
		stop()
		for range hosts {
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

var encrypted = regexp.MustCompile(`\b(ws|http)s://`)

// text returns the file of an example.
func text(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("providers", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// load reads the text of an example with variables set.
func load(t *testing.T, name, text string, env map[string]string) *config.Config {
	t.Helper()
	c, d := config.Load([]config.Input{{Name: name + ".yaml", Text: []byte(text)}}, pipeline.Adapters(), func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	if len(d) > 0 {
		var out strings.Builder
		_ = d.Print(&out, config.PrintOptions{})
		t.Fatal(out.String())
	}
	return c
}

// run starts the example, as leat run does.
func (w *world) run() {
	w.t.Helper()
	c := load(w.t, w.name, encrypted.ReplaceAllString(text(w.t, w.name), "$1://"), w.env)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(w.t.Output(), nil))
	}
	p, err := pipeline.OpenIn(w.t.Context(), c, pipeline.World{Dial: w.dial, FS: w.disk}, log)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.p, w.stop, w.done = p, stop, make(chan error, 1)
	go func() { w.done <- p.Run(ctx) }()
}

// dial opens connections of the network in memory, to addresses that look like those of the Internet: what a look-up names must not be private.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := w.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return public{c}, nil
}

type public struct{ net.Conn }

func (public) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(1, 1, 1, 1), Port: 443} }

// leave stops it, as a signal does.
func (w *world) leave() {
	w.t.Helper()
	if w.stop == nil {
		return
	}
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Errorf("the pipeline ended with %v", err)
	}
	w.stop = nil
}

// status returns what the only source is doing.
func (w *world) status() pipeline.SourceStatus { return w.p.Status().Sources[0] }

// records returns what is stored of the only stream. The example has been left.
func (w *world) records() []leat.Record {
	w.t.Helper()
	e := w.engine()
	defer e.Close()
	return streamtest.ReadStream(w.t, e, w.config().Streams[0].Name)
}

// gaps returns the gap records of the only source. The example has been left.
func (w *world) gaps() (gaps []source.Gap) {
	w.t.Helper()
	e := w.engine()
	defer e.Close()
	for _, record := range streamtest.ReadAll(w.t, e, w.config().Sources[0].Name+".gaps", 0, stream.Oldest()) {
		var g source.Gap
		if err := json.Unmarshal(record.Data, &g); err != nil {
			w.t.Fatal(err)
		}
		gaps = append(gaps, g)
	}
	return gaps
}

func (w *world) config() *config.Config {
	w.t.Helper()
	return load(w.t, w.name, text(w.t, w.name), w.env)
}

func (w *world) engine() *local.Engine {
	w.t.Helper()
	e, err := local.Open(w.env["DATA"], local.Options{ReadOnly: true, FS: w.disk})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// number returns what a query over the database of the example counts.
func (w *world) number(query string) (n int) {
	w.t.Helper()
	db, err := sql.Open(sqlsink.Driver, w.env["DB"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(w.t.Context(), query).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// once wants each of the events to be stored once, and nothing else.
func (w *world) once(id func(r *leat.Record) string, want []string) {
	w.t.Helper()
	stored := map[string]int{}
	for _, r := range w.records() {
		stored[id(&r)]++
	}
	missing := 0
	for _, name := range want {
		switch stored[name] {
		case 0:
			missing++
		case 1:
		default:
			w.t.Errorf("%s is stored %d times", name, stored[name])
		}
		delete(stored, name)
	}
	if missing > 0 || len(stored) > 0 {
		w.t.Errorf("of %d events %d are missing; stored beside them: %v", len(want), missing, stored)
	}
}

// dataDir returns the folder of recorded sessions, and skips the test where it is absent.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LEAT_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "ORACLES.json")); err != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatalf("LEAT_TEST_ALL is set, but the recorded sessions are not there: %v", err)
		}
		t.Skipf("the recorded sessions are not there (%s): set LEAT_DATA to their folder", dir)
	}
	return dir
}

package examples_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/pipeline"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/streamtest"
)

// pouchdb starts a server of CouchDB's protocol on a free port and returns its URL, or skips.
func pouchdb(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	at := filepath.Join(cache, "leat", "pouchdb")
	_, missing := os.Stat(filepath.Join(at, "node_modules", "express-pouchdb"))
	if _, err := exec.LookPath("node"); err != nil || missing != nil {
		if os.Getenv("LEAT_TEST_ALL") != "" {
			t.Fatal("express-pouchdb is not installed: run .ci/prepare")
		}
		t.Skip("express-pouchdb is not installed: run .ci/prepare")
	}
	cmd := exec.Command("node", "-e", `
const PouchDB = require('pouchdb-core').plugin(require('pouchdb-adapter-memory')).plugin(require('pouchdb-replication')).plugin(require('pouchdb-mapreduce'))
const app = require('express')()
app.use('/', require('express-pouchdb')(PouchDB.defaults({adapter: 'memory'}), {inMemoryConfig: true, logPath: '/dev/null', mode: 'minimumForPouchDB'}))
const s = app.listen(0, '127.0.0.1', () => console.log(s.address().port))
process.stdin.resume().on('end', () => process.exit())`)
	cmd.Dir = at
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // it ends with us
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("express-pouchdb does not start: %v", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(line)
}

// couch asks the server and returns the revision of its answer.
func couch(t *testing.T, method, url, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said struct{ Rev string }
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s, %v", method, url, answer.Status, err)
	}
	return said.Rev
}

// onMachine runs an example on this machine until what it has delivered to its only consumer satisfies a condition.
func onMachine(t *testing.T, example string, env map[string]string, until func(delivered int64) bool) {
	t.Helper()
	p, err := pipeline.Open(t.Context(), load(t, example, text(t, example), env), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for {
		delivered := int64(0)
		for _, s := range p.Status().Consumers[0].Shards {
			delivered += s.Delivered
		}
		if until(delivered) {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("the pipeline ended: %v", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Changes come from a real server of CouchDB's protocol as lines; what happens while nobody is connected comes behind it, and nothing twice.
func TestCouchDBGoesOnBehindTheLastChange(t *testing.T) {
	t.Parallel()
	url := pouchdb(t)
	dir := t.TempDir()
	env := map[string]string{"COUCHDB_URL": url, "DATA": filepath.Join(dir, "data"), "DB": filepath.Join(dir, "example.db")}
	couch(t, http.MethodPut, url+"/orders", "")
	revs, want := map[string]string{}, map[string]bool{}
	put := func(from, to int, text string) {
		for n := from; n < to; n++ {
			id := fmt.Sprintf("order-%d", n)
			rev := ""
			if revs[id] != "" {
				rev = `"_rev":"` + revs[id] + `",`
			}
			revs[id] = couch(t, http.MethodPut, url+"/orders/"+id, fmt.Sprintf(`{%s"n":%d,"text":%q}`, rev, n, text))
			want[id+" "+revs[id]] = true
		}
	}
	put(0, 50, "first")
	stage := 0
	onMachine(t, "couchdb", env, func(delivered int64) bool {
		if stage == 0 && delivered == 50 { // these come while the connection is up
			put(40, 60, "while we listen")
			stage = 1
		}
		return delivered == 70
	})
	put(60, 90, "while nobody listens")
	couch(t, http.MethodDelete, url+"/orders/order-0?rev="+revs["order-0"], "")
	onMachine(t, "couchdb", env, func(delivered int64) bool { return delivered == 31 })

	w := &world{t: t, env: env}
	if rows, deleted := w.number("SELECT count(*) FROM documents"), w.number("SELECT count(*) FROM documents WHERE deleted"); rows != 90 || deleted != 1 {
		t.Errorf("%d documents, %d of them deleted; want 90 and 1", rows, deleted)
	}
	e, err := local.Open(env["DATA"], local.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	stored := 0
	for _, r := range streamtest.ReadStream(t, e, "couchdb") {
		var change struct {
			ID      string
			Changes []struct{ Rev string }
			Doc     map[string]any
		}
		if err := json.Unmarshal(r.Data, &change); err != nil || len(change.Changes) != 1 || change.Doc == nil {
			t.Fatalf("stored %s", r.Data)
		}
		if want[change.ID+" "+change.Changes[0].Rev] {
			stored++
		}
	}
	if stored != len(want) {
		t.Errorf("%d of %d changes are stored", stored, len(want))
	}
}

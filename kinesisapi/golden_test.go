package kinesisapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/sigv4"
	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
)

var update = flag.Bool("update", false, "write the answers of golden files anew")

// TestGolden plays the files of testdata/api: requests, and the answers that belong to them, at a clock that begins with the year 2000 and
// stands still between them. Every file is played in JSON and, unless it says "only json", in CBOR, with the same answers.
//
//	config delay=1m throttle      how the server is made; the first line
//	# a comment
//	sleep 5m                      the clock goes on
//	restart                       server and engine are made anew on the same data
//	as REGION ACCOUNT             who asks from now on
//	spend N OPERATION {}          N requests whose answers do not matter
//	engine ERROR                  what changes and puts of the engine fail with from now on: full, readonly, broken; nothing: they work again
//	> OPERATION {"Member":1}      a request; $ITERATOR, $TOKEN, $SEQUENCE, $CONSUMER stand for the last such value of an answer,
//	                              a string such as @200x@ for 200 times x
//	< STATUS BODY                 its answer
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/api/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"json", "cbor"} {
			if format == "cbor" && bytes.Contains(text, []byte("\nonly json\n")) {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txt")+"/"+format, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := golden{t: t, cbor: format == "cbor", fs: vfs.NewMem(), known: map[string]string{}, region: "us-east-1", account: "AKIDEXAMPLE"}
					got := g.play(string(text))
					if *update && format == "json" {
						if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				})
			})
		}
	}
}

type golden struct {
	t               *testing.T
	cbor            bool
	fs              vfs.FS
	cfg             kinesisapi.Config
	engine          *local.Engine
	faulty          *faulty
	server          *kinesisapi.Server
	known           map[string]string
	region, account string
	answer          string
}

func (g *golden) play(text string) string {
	defer func() { _ = g.engine.Close() }()
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "< ") {
			if line != "< "+g.answer && !*update {
				g.t.Errorf("line %d:\n got < %s\nwant %s", i+1, g.answer, line)
			}
			continue
		}
		out.WriteString(line + "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "config":
			g.configure(strings.Fields(rest))
		case "sleep":
			d, err := time.ParseDuration(rest)
			if err != nil {
				g.t.Fatal(err)
			}
			time.Sleep(d)
		case "restart":
			_ = g.engine.Close()
			g.start()
		case "spend":
			count, request, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(count)
			for range n {
				g.ask(request)
			}
		case "engine":
			g.faulty.with(rest)
		case "as":
			g.region, g.account, _ = strings.Cut(rest, " ")
		case ">":
			g.ask(rest)
			if !*update && (i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "< ")) {
				g.t.Errorf("line %d has no answer; it is %s", i+1, g.answer)
			}
			out.WriteString("< " + g.answer + "\n")
		}
	}
	return out.String()
}

func (g *golden) configure(options []string) {
	for _, o := range options {
		key, v, _ := strings.Cut(o, "=")
		n, _ := strconv.Atoi(v)
		switch key {
		case "delay":
			g.cfg.Delay, _ = time.ParseDuration(v)
		case "throttle":
			g.cfg.Throttle = true
		case "shards":
			g.cfg.ShardLimit = n
		case "faults":
			g.cfg.Faults.Throttle = 1
		case "keys":
			g.cfg.Keys = &sigv4.Verifier{Keys: map[string]sigv4.Key{"111111111111": {Secret: "secret"}, "222222222222": {Secret: "secret"}}}
		case "internal":
			g.cfg.Faults.Internal = 1
		case "partial":
			g.cfg.Faults.Partial = 1
		default:
			g.t.Fatalf("unknown option %s", o)
		}
	}
	g.start()
}

func (g *golden) start() {
	engine, err := local.Open("data", local.Options{FS: g.fs})
	if err != nil {
		g.t.Fatal(err)
	}
	g.engine = engine
	g.faulty = &faulty{Engine: engine}
	g.cfg.Engine, g.cfg.Admin = g.faulty, g.faulty
	if g.server, err = kinesisapi.New(g.cfg); err != nil {
		g.t.Fatal(err)
	}
}

var (
	repeated = regexp.MustCompile(`@(\d+)(.)@`)
	secrets  = regexp.MustCompile(`"(NextShardIterator|ShardIterator|NextToken)":"[^"]*"`)
	hashes   = regexp.MustCompile(`(Entry@)[0-9a-f]+`)
)

// ask sends a request and keeps the answer, with what differs between runs replaced.
func (g *golden) ask(line string) {
	operation, body, _ := strings.Cut(line, " ")
	for name, v := range g.known {
		body = strings.ReplaceAll(body, "$"+name, v)
	}
	body = repeated.ReplaceAllStringFunc(body, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[1])
		return strings.Repeat(m[2], n)
	})
	content := "application/x-amz-json-1.1"
	if g.cbor {
		converted, ok := kinesisapi.ToCBOR(operation, body)
		if !ok {
			g.t.Fatalf("%s does not fit the model: say \"only json\"", line)
		}
		content, body = "application/x-amz-cbor-1.1", converted
	}
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("Content-Type", content)
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	req.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	req.Header.Set("Authorization", strings.NewReplacer("us-east-1", g.region, "AKIDEXAMPLE", g.account).Replace(authorization))
	if g.cfg.Keys != nil {
		g.sign(req, body)
	}
	rec := httptest.NewRecorder()
	g.server.ServeHTTP(rec, req)
	if got := rec.Header().Get("Content-Type"); got != content {
		g.t.Errorf("%s: content type %q, want %q", line, got, content)
	}
	g.keep(rec.Code, rec.Body.String())
}

// sign signs a request as the account, which is the id of its key.
func (g *golden) sign(req *http.Request, body string) {
	req.Header.Del("Authorization")
	sum := sha256.Sum256([]byte(body))
	who := aws.Credentials{AccessKeyID: g.account, SecretAccessKey: "secret"}
	if err := v4.NewSigner().SignHTTP(g.t.Context(), who, req, hex.EncodeToString(sum[:]), "kinesis", g.region, time.Now()); err != nil {
		g.t.Fatal(err)
	}
}

// faulty is an engine whose changes fail with err, if that is not nil.
type faulty struct {
	*local.Engine
	err error
}

func (f *faulty) with(name string) {
	f.err = map[string]error{"full": stream.ErrFull, "readonly": stream.ErrReadOnly, "broken": errors.New("for the test")}[name]
}

// Commit implements stream.Engine.
func (f *faulty) Commit(ctx context.Context, c stream.Commit) (stream.Receipt, error) {
	if f.err != nil {
		return stream.Receipt{}, f.err
	}
	return f.Engine.Commit(ctx, c)
}

// Create implements stream.Admin.
func (f *faulty) Create(ctx context.Context, spec stream.Spec) error {
	if f.err != nil {
		return f.err
	}
	return f.Engine.Create(ctx, spec)
}

// Delete implements stream.Admin.
func (f *faulty) Delete(ctx context.Context, name string) error {
	if f.err != nil {
		return f.err
	}
	return f.Engine.Delete(ctx, name)
}

func (g *golden) keep(code int, body string) {
	if body != "" {
		var err error
		if g.cbor {
			body, err = kinesisapi.FromCBOR(body)
		} else {
			body, err = kinesisapi.Normal(body)
		}
		if err != nil {
			g.t.Errorf("answer %q: %v", body, err)
		}
	}
	for name, member := range map[string]string{"ITERATOR": "ShardIterator", "TOKEN": "NextToken", "SEQUENCE": "SequenceNumber", "CONSUMER": "ConsumerARN"} {
		if i := strings.LastIndex(body, member+`":"`); i >= 0 {
			g.known[name], _, _ = strings.Cut(body[i+len(member)+3:], `"`)
		}
	}
	body = secrets.ReplaceAllString(body, `"$1":"..."`)
	body = hashes.ReplaceAllString(body, "${1}HASH")
	g.answer = strings.TrimSpace(fmt.Sprintf("%d %s", code, body))
}

package lambda_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leatstream/leat/function"
	"github.com/leatstream/leat/function/lambda"
	"github.com/leatstream/leat/internal/setting"
)

// missing skips the test, or fails it where nothing may be skipped.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("LEAT_TEST_ALL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// program returns the configuration of a function in a language, and skips the test where it cannot be run.
func program(t testing.TB, language, handler string) lambda.Config {
	t.Helper()
	c := lambda.Config{Code: "testdata/" + language, Handler: handler, Start: 5 * time.Minute, Timeout: 10 * time.Minute, Memory: 1 << 30}
	switch language {
	case "go":
		c.Code, c.Handler = bootstrap(t), ""
		c.Environment = map[string]setting.Secret{"HANDLER": setting.NewSecret(handler)}
	case "node", "python":
		name := map[string]string{"node": "node", "python": "python3"}[language]
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name+" is not installed")
		}
	}
	return c
}

var built struct {
	sync.Once
	dir string
	out []byte
	err error
}

// bootstrap returns the directory of the program in testdata/go, which is a module of its own since Leat does not need aws-lambda-go.
func bootstrap(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "leat-lambda-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-mod=readonly", "-o", filepath.Join(built.dir, "bootstrap"), ".")
		cmd.Dir = "testdata/go"
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
		built.out, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		missing(t, "the Go function cannot be built with aws-lambda-go: "+built.err.Error()+": "+string(built.out))
	}
	return built.dir
}

func TestMain(m *testing.M) {
	if os.Getenv("LEAT_LAMBDA_ORPHAN") != "" {
		orphan()
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// journal is a log that can be read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// open returns a function that is closed at the end.
func open(t testing.TB, c lambda.Config) (*lambda.Function, *journal) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	f := &lambda.Function{Config: c, Name: "rides", Log: slog.New(slog.NewTextHandler(j, nil))}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if n := f.Status().Processes; n != 0 {
			t.Errorf("%d processes are left", n)
		}
		if t.Failed() && len(j.String()) < 10_000 {
			t.Log(j)
		}
	})
	return f, j
}

func input(payloads ...string) function.Input {
	if len(payloads) == 0 {
		payloads = []string{"{}"}
	}
	return function.Input{Batch: batch(payloads...)}
}

// wants calls f and wants an error that holds the text.
func wants(t *testing.T, f function.Function, in function.Input, text string) *function.Error {
	t.Helper()
	_, err := f.Invoke(t.Context(), in)
	e := errorIn(err)
	if e == nil || !strings.Contains(err.Error(), text) || function.IsPermanent(err) {
		t.Fatalf("got %v, want a *function.Error with %q", err, text)
	}
	return e
}

// environmentErrors returns for each name what Check says of a variable of it.
func environmentErrors(names ...string) (texts []string) {
	for _, name := range names {
		text := ""
		if err := (&lambda.Config{Code: "x", Environment: map[string]setting.Secret{name: setting.NewSecret("hunter2")}}).Check(); err != nil {
			text = err.Error()
		}
		texts = append(texts, text)
	}
	return texts
}

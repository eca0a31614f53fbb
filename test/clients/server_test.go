package clients

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/kinesisapi/sigv4"
	"github.com/leatstream/leat/stream/local"
)

// endpoint starts a server of its own for a test and returns its URL: the binary with the verb dev and more flags, or, in a tree without
// that verb, the same server in this process.
func endpoint(t *testing.T, flags ...string) string {
	t.Helper()
	binary, err := leat()
	if err != nil {
		t.Fatal(err)
	}
	if binary == "" {
		return inProcess(t, nil)
	}
	url, command := start(t, binary, t.TempDir(), flags...)
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("leat dev: %v", err)
		}
	})
	return url
}

// start starts leat dev on the data in a folder.
func start(t *testing.T, binary, dir string, flags ...string) (url string, command *exec.Cmd) {
	t.Helper()
	command = exec.Command(binary, append([]string{"dev", "--port", "0", "--data", dir, "--log-level", "error"}, flags...)...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(`AWS_ENDPOINT_URL_KINESIS=(http://[^\s"']+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := pattern.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() { // what it prints later must not block it
				}
			}()
			return m[1], command
		}
	}
	_ = command.Process.Kill()
	t.Fatal("leat dev says no AWS_ENDPOINT_URL_KINESIS")
	return "", nil
}

// leat builds the binary once. It is empty if the binary has no verb dev.
var leat = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "leat-clients")
	if err != nil {
		return "", err
	}
	cleanup = append(cleanup, func() { _ = os.RemoveAll(dir) })
	if _, err := os.Stat("../../cmd/leat/dev.go"); err != nil {
		return "", nil // a tree without the verb
	}
	binary := filepath.Join(dir, "leat")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/leat")
	build.Stderr = os.Stderr
	return binary, build.Run()
})

var cleanup []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range cleanup {
		f()
	}
	os.Exit(code)
}

// inProcess serves in this process, with verified signatures if there are keys.
func inProcess(t *testing.T, keys *sigv4.Verifier) string {
	t.Helper()
	engine, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	server, err := kinesisapi.New(kinesisapi.Config{Engine: engine, Admin: engine, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(server)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	t.Cleanup(func() {
		server.EndSubscriptions()
		web.Close()
	})
	return web.URL
}

// environment is that of a client on a machine that knows nothing of AWS.
func environment(t *testing.T, more ...string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}
	for _, name := range []string{"PYENV_ROOT", "PYENV_VERSION"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return append(env, more...)
}

// run runs a client and returns what it prints. Every failure of it is one of the test.
func run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, err := try(t, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try is run, but returns the failure, with what the client says of it.
func try(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = env
	var wrong strings.Builder
	command.Stderr = &wrong
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, out, wrong.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// missing skips a test for want of a client.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("LEAT_TEST_ALL") == "1" {
		t.Fatalf("%s is not installed; .ci/prepare installs it", what)
	}
	t.Skipf("%s is not installed", what)
}

package remote_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatstream/leat/stream"
	"github.com/leatstream/leat/stream/local"
	"github.com/leatstream/leat/stream/remote"
	"github.com/leatstream/leat/stream/streamtest"
)

// served names the directory that this test binary is to serve, as another process.
const served = "LEAT_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(served); dir != "" {
		if err := serveDir(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveDir serves a directory until its input ends, and says when it is ready.
func serveDir(dir string) error {
	e, err := local.Open(dir, local.Options{})
	if err != nil {
		return err
	}
	l, err := remote.Listen(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println("ready")
	return errors.Join(remote.Serve(ctx, l, remote.Handler(e, func() any { return os.Getpid() })), e.Close())
}

// spawn starts another process that serves dir and returns once it is ready, or what it says instead.
func spawn(t *testing.T, dir string) (cmd *exec.Cmd, stdin io.Closer, says string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), served+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
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
		t.Fatal(err)
	}
	return cmd, in, strings.TrimSpace(line)
}

func TestTwoProcessesShareADirectory(t *testing.T) {
	dir := t.TempDir()
	cmd, _, says := spawn(t, dir)
	if says != "ready" {
		t.Fatal(says)
	}
	if _, _, says := spawn(t, dir); !strings.Contains(says, local.ErrLocked.Error()) {
		t.Errorf("a second process says %q", says)
	}
	c, err := remote.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := c.Status(t.Context()); err != nil || string(pid) != fmt.Sprint(cmd.Process.Pid) {
		t.Errorf("the status is %s, %v; the process is %d", pid, err, cmd.Process.Pid)
	}
	streamtest.Create(t, c, "s", 1)
	put(t, c, "a")
	tail := read(t, c, stream.Oldest())
	defer tail.Close()
	next(t, tail, stream.Limit{}, "a")

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := tail.Next(t.Context(), stream.Limit{}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the reader of a process that died returned %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, remote.SocketName)); err != nil {
		t.Fatal(err) // or the next line proves nothing
	}
	for _, dial := range []func() error{
		func() error { _, err := remote.Dial(dir); return err },
		func() error { _, err := c.Streams(t.Context()); return err },
	} {
		if err := dial(); !errors.Is(err, remote.ErrNotRunning) {
			t.Errorf("without the process: %v", err)
		}
	}

	_, stdin, says := spawn(t, dir)
	if says != "ready" {
		t.Fatal(says)
	}
	if got := streamtest.ReadStream(t, c, "s"); len(got) != 1 {
		t.Errorf("the next process has %d records", len(got))
	}
	stdin.Close()
}

// listen serves an engine on the socket of dir and returns what ends that.
func listen(t *testing.T, dir string) (stop func()) {
	t.Helper()
	l, err := remote.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, remote.SocketName); l.Addr().String() != want {
		t.Errorf("the address is %s, want %s", l.Addr(), want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	h := remote.Handler(open(t), nothing)
	go func() { done <- remote.Serve(ctx, l, h) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", path, err)
	}
}

func TestTheSocketIsPrivateAndRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, remote.SocketName)
	stop := listen(t, dir)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if c, err := remote.Dial(dir); err != nil || c == nil {
		t.Error(err)
	}
	stop()
	absent(t, path)
	for _, gone := range []string{dir, filepath.Join(dir, "nowhere")} {
		if _, err := remote.Dial(gone); !errors.Is(err, remote.ErrNotRunning) {
			t.Errorf("dial %s: %v", gone, err)
		}
	}
}

// stale leaves a socket as a process does that dies.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, remote.SocketName)
	stale(t, path)
	if _, err := remote.Dial(dir); !errors.Is(err, remote.ErrNotRunning) {
		t.Errorf("dial a stale socket: %v", err)
	}
	stop := listen(t, dir)
	if _, err := remote.Dial(dir); err != nil {
		t.Error(err)
	}
	stop()
	absent(t, path)
}

func TestCloseLeavesTheSocketOfASuccessor(t *testing.T) {
	dir := t.TempDir()
	first, err := remote.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	stop := listen(t, dir)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := remote.Dial(dir); err != nil {
		t.Error(err)
	}
	stop()
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, remote.SocketName)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := remote.Listen(dir); err == nil {
		l.Close()
		t.Error("it was replaced")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("it holds %q, %v", data, err)
	}
	if _, err := remote.Listen(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listen in no directory: %v", err)
	}
}

func TestLongPaths(t *testing.T) {
	for length := 88; length < 330; length++ {
		if length == 120 {
			length = 320
		}
		dir := t.TempDir()
		for len(dir) < length {
			dir = filepath.Join(dir, strings.Repeat("d", max(1, min(100, length-len(dir)-1))))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		stale := filepath.Join(dir, remote.SocketName)
		stop := listen(t, dir)
		c, err := remote.Dial(dir)
		if err != nil {
			t.Fatal(err)
		}
		streamtest.Create(t, c, "s", 1)
		stop()
		absent(t, stale)
		if _, err := c.Streams(t.Context()); !errors.Is(err, remote.ErrNotRunning) {
			t.Errorf("%d bytes: %v", len(dir), err)
		}
	}
}

func TestRelativePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	long := filepath.Join(strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".", long} {
		stop := listen(t, dir)
		if _, err := remote.Dial(dir); err != nil {
			t.Error(err)
		}
		stop()
		absent(t, filepath.Join(dir, remote.SocketName))
	}
}

package lambda_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leatstream/leat/function/lambda"
	"github.com/leatstream/leat/internal/setting"
)

// holders listens for the processes of the handler hold. Its function waits until n are there; the one it returns then waits until they have ended.
func holders(t *testing.T, n int) (address string, there func() (gone func())) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String(), func() func() {
		var held []net.Conn
		for range n {
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		return func() {
			for _, conn := range held {
				_, _ = conn.Read(make([]byte, 1)) // ends when nobody holds the other end
				conn.Close()
			}
		}
	}
}

func TestTheWholeProcessGroupEndsWithACall(t *testing.T) {
	t.Parallel()
	address, there := holders(t, 2)
	c := program(t, "python", "app.hold")
	c.Environment = map[string]setting.Secret{"ADDRESS": setting.NewSecret(address), "FORK": setting.NewSecret("1")}
	f, _ := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() {
		_, err := f.Invoke(ctx, input())
		ended <- err
	}()
	gone := there()
	cancel()
	if err := <-ended; err == nil {
		t.Error("a call that was cut off succeeded")
	}
	gone()
}

func TestNoProcessOutlivesLeat(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the processes of a program that was killed")
	}
	program(t, "python", "app.hold")
	address, there := holders(t, 1)
	leat := exec.Command(os.Args[0])
	leat.Env = append(os.Environ(), "LEAT_LAMBDA_ORPHAN="+address)
	if err := leat.Start(); err != nil {
		t.Fatal(err)
	}
	gone := there()
	if err := leat.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = leat.Wait()
	gone()
}

// orphan is the program that TestNoProcessOutlivesLeat kills.
func orphan() {
	c := lambda.Config{Code: "testdata/python", Handler: "app.hold", Start: 5 * time.Minute, Timeout: 15 * time.Minute}
	c.Environment = map[string]setting.Secret{"ADDRESS": setting.NewSecret(os.Getenv("LEAT_LAMBDA_ORPHAN"))}
	_, _ = (&lambda.Function{Config: c}).Invoke(context.Background(), input())
	os.Exit(1)
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the memory of processes is looked at only on Linux")
	}
	for language, handler := range map[string]string{"node": "index.fat", "python": "app.fat"} {
		t.Run(language, func(t *testing.T) {
			c := program(t, language, handler)
			c.Memory = 128 << 20
			f, _ := open(t, c)
			if e := wants(t, f, input(), "used more than 128MiB"); e.Type != "Runtime.OutOfMemory" {
				t.Errorf("got %v", e)
			}
			if s := f.Status(); s.Memory != 1 || s.Crashes != 0 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	f, log := open(t, program(t, "python", "app.chatter"))
	if _, err := f.Invoke(t.Context(), input()); err != nil {
		t.Fatal(err)
	}
	if s := f.Status(); s.LogDropped < 32<<20 || len(log.String()) > 32<<20 {
		t.Errorf("64 MiB of output: %d bytes left out, %d in the log", s.LogDropped, len(log.String()))
	}
	if !strings.Contains(log.String(), "xxx") {
		t.Error("nothing of it is in the log")
	}
}

func TestNothingIsLeftOfProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("open files are counted on Linux")
	}
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	f := &lambda.Function{Config: program(t, "go", "")}
	round := func() {
		for payload, ok := range map[string]bool{"{}": true, `{"do":"exit"}`: false} {
			if _, err := f.Invoke(t.Context(), input(payload)); (err == nil) != ok {
				t.Fatalf("%s: %v", payload, err)
			}
		}
	}
	round()
	files, goroutines := open(), runtime.NumGoroutine()
	for range 50 {
		round()
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if n := f.Status().Starts; n < 50 {
		t.Errorf("only %d processes were started", n)
	}
	if more := open() - files; more > 10 {
		t.Errorf("%d files more are open than before", more)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 10 {
		t.Errorf("%d goroutines more than before", more)
	}
}

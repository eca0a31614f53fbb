package torture

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leatstream/leat/internal/wait"
)

// process is a child under way.
type process struct {
	cmd      *exec.Cmd
	stdin    io.Closer
	stderr   *strings.Builder
	begun    time.Time
	opened   chan time.Duration // one value when the pipeline is open: how long that took
	progress chan struct{}      // closed when something was acknowledged
	drained  chan struct{}      // closed when everything is delivered
	silent   chan struct{}      // closed at the end of its output: when it is dead
	stored   atomic.Int64       // events that it has acknowledged
}

func start(t testing.TB, o order) *process {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		cmd: exec.Command(os.Args[0]), stderr: &strings.Builder{}, opened: make(chan time.Duration, 1),
		progress: make(chan struct{}), drained: make(chan struct{}), silent: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text), insideEnv+"=")
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.begun = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.listen(out)
	t.Cleanup(func() { // of a test that fails
		_ = p.cmd.Process.Kill()
		<-p.silent
	})
	return p
}

func (p *process) listen(out io.Reader) {
	defer close(p.silent)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, number, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "open":
			p.opened <- time.Since(p.begun)
		case "stored":
			n, err := strconv.ParseInt(number, 10, 64)
			if err == nil && p.stored.Swap(n) == 0 {
				close(p.progress)
			}
		case "drained":
			close(p.drained)
		}
	}
}

// kill kills the process and returns an error if it had ended by itself.
func (p *process) kill() error {
	_ = p.cmd.Process.Kill()
	<-p.silent
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("the process ended by itself: %w: %s", errors.Join(err, errEnded), p.stderr)
}

var errEnded = errors.New("not killed")

// moment is a kind of instant to kill a process at.
type moment int

const (
	opening  moment = iota // any time from its start on until a little after it is open
	opened                 // soon after it is open
	underway               // some time after the first acknowledgement
)

// until waits for a random instant, or for the end of the process.
func (p *process) until(t testing.TB, m moment, usual time.Duration) {
	t.Helper()
	var delay time.Duration
	switch m {
	case opening:
		delay = randomly(usual * 5 / 4)
	case opened:
		select {
		case took := <-p.opened:
			p.opened <- took
		case <-p.silent:
		}
		delay = randomly(30 * time.Millisecond)
	default:
		select {
		case <-p.progress:
		case <-p.silent:
		}
		delay = randomly(300 * time.Millisecond)
	}
	if err := wait.For(t.Context(), delay); err != nil {
		t.Fatal(err)
	}
}

// Package process runs the processes of functions: each is the head of a process group that ends as a whole, its output goes to the log
// within bounds, and its memory is watched.
package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// drain is how long output is read on after the end of a process whose descendants still hold it open, and watchEvery how often the memory is looked at.
const (
	drain      = time.Second
	watchEvery = 100 * time.Millisecond
)

// Command says what to run. Path and Output are compulsory.
type Command struct {
	Path string   // the program
	Args []string // without the program itself
	Dir  string   // where it runs
	Env  []string // its whole environment, NAME=value: nothing is inherited

	// Memory is how many bytes the process may have in memory; one that has more is ended. It is looked at every 100 ms, without the
	// processes that it starts, and only on Linux. 0: not at all.
	Memory int64

	// Output takes what the process writes.
	Output *Output

	// Stdin says whether Process.Stdin is the standard input of the process. Else that is empty.
	Stdin bool

	// Stdout, if not nil, takes the standard output instead of Output. While its Write blocks, so does the process.
	Stdout io.Writer

	// Ended, if not nil, is called once, in a goroutine of its own, when the process has ended, its group too, and all output was taken.
	Ended func(Exit)
}

// Exit says how a process ended.
type Exit struct {
	Text   string // such as exit status 1 or signal: killed
	Killed bool   // by Kill, Stop or End
	Late   bool   // it was ended because it took too long
	Memory bool   // because it used more than Command.Memory
}

// Process is one running process. Its methods may be called by any number of goroutines.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	tail   tail
	killed atomic.Bool
	late   atomic.Bool
	memory atomic.Bool
	over   chan struct{} // closed when nothing is left of it
	exit   Exit          // set before over is closed

	mu   sync.Mutex // no signal is sent once the process is reaped: its number may be another's by then
	gone bool
}

// Start starts the process.
func Start(c Command) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...) //nolint:gosec,noctx // the operator says what to run; it ends by Kill
	p := &Process{cmd: cmd, over: make(chan struct{})}
	cmd.Dir, cmd.Env, cmd.WaitDelay, cmd.SysProcAttr = c.Dir, c.Env, drain, attributes()
	out, errs := c.Output.writer(&p.tail, "stdout"), c.Output.writer(&p.tail, "stderr")
	cmd.Stdout, cmd.Stderr = out, errs
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Stdin {
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Path, err)
		}
		p.stdin = stdin
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	ended := make(chan struct{})
	if c.Memory > 0 {
		go p.watch(c.Memory, ended)
	}
	go func() {
		exit := p.wait()
		close(ended)
		out.flush()
		errs.flush()
		if c.Ended != nil {
			c.Ended(exit)
		}
		p.exit = exit
		close(p.over)
	}()
	return p, nil
}

// Over is closed when Command.Ended has returned: nothing is left of the process.
func (p *Process) Over() <-chan struct{} { return p.over }

// Exit returns how the process ended. It is called when Over is closed.
func (p *Process) Exit() Exit { return p.exit }

// Alive reports whether something of the process is left; it implements Worker, as do Stop, Kill and Wait.
func (p *Process) Alive() bool {
	select {
	case <-p.over:
		return false
	default:
		return true
	}
}

// Wait waits until nothing of the process is left.
func (p *Process) Wait() { <-p.over }

// End kills the process, perhaps because it was late, and waits until nothing of it is left.
func (p *Process) End(late bool) {
	p.late.Store(late)
	p.Kill()
	p.Wait()
}

// wait waits for the end of the process, ends what it has left behind, and reaps it.
func (p *Process) wait() Exit {
	awaitExit(p.cmd.Process.Pid)
	p.mu.Lock()
	killGroup(p.cmd.Process)
	p.gone = true
	p.mu.Unlock()
	err := p.cmd.Wait()
	exit := Exit{Text: "exit status 0", Killed: p.killed.Load(), Late: p.late.Load(), Memory: p.memory.Load()}
	if state := p.cmd.ProcessState; state != nil {
		exit.Text = state.String()
	} else if err != nil {
		exit.Text = err.Error()
	}
	return exit
}

// watch ends the process when it uses too much memory.
func (p *Process) watch(most int64, ended <-chan struct{}) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
		}
		if resident(p.cmd.Process.Pid) > most {
			p.memory.Store(true)
			p.signal(killGroup)
			return
		}
	}
}

// Stdin returns the standard input of the process, nil without Command.Stdin. Writes block while it reads nothing, and fail when it has ended.
func (p *Process) Stdin() io.WriteCloser { return p.stdin }

// Kill ends the process group at once. It does not wait.
func (p *Process) Kill() {
	p.killed.Store(true)
	p.signal(killGroup)
}

// Stop asks the process to end: its standard input is closed, and it is sent SIGTERM. It does not wait.
func (p *Process) Stop() {
	p.killed.Store(true)
	if p.stdin != nil {
		_ = p.stdin.Close() // it may be closed already
	}
	p.signal(terminate)
}

// Tail returns what the process wrote last, at most TailBytes. Without Command.Stdout that is both outputs in the order in which they were read.
func (p *Process) Tail() []byte { return p.tail.bytes() }

func (p *Process) signal(send func(*os.Process)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		send(p.cmd.Process)
	}
}

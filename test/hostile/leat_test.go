package hostile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/leatstream/leat/stream/remote"
)

// executable builds leat once.
var executable = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "leat-hostile")
	if err != nil {
		return "", err
	}
	cleanup = append(cleanup, func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "leat")
	build := exec.Command("go", "build", "-o", path, "../../cmd/leat")
	build.Stderr = os.Stderr
	return path, build.Run()
})

var cleanup []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range cleanup {
		f()
	}
	os.Exit(code)
}

// process is a leat run under way.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	data string
	done chan struct{} // closed when it has ended

	mu    sync.Mutex
	lines []string // of its log
	bySrc map[string][]string
}

// run runs leat with a configuration. It dies with the test.
func run(t *testing.T, dir, config string) *process {
	t.Helper()
	path, err := executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "leat.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(path, "run", file), data: filepath.Join(dir, "data"), done: make(chan struct{}), bySrc: map[string][]string{}}
	p.cmd.Env = append(os.Environ(), "GOMEMLIMIT=")
	p.cmd.Dir = dir
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr, p.cmd.Stdout = write, io.Discard
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	go p.listen(read)
	t.Cleanup(func() { // of a test that fails
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = p.cmd.Wait()
	})
	return p
}

var sourceOf = regexp.MustCompile(`(?:^| )source=(\S+)`)

func (p *process) listen(r io.ReadCloser) {
	defer close(p.done)
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.lines = append(p.lines, line)
		if m := sourceOf.FindStringSubmatch(line); m != nil {
			p.bySrc[m[1]] = append(p.bySrc[m[1]], line)
		} else {
			p.bySrc[""] = append(p.bySrc[""], line)
		}
		p.mu.Unlock()
	}
}

// told returns the lines of a source. Those that name no source are those of "".
func (p *process) told(source string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.bySrc[source]...)
}

// says reports whether a line of a source fits.
func (p *process) says(source string, want *regexp.Regexp) bool {
	for _, line := range p.told(source) {
		if want.MatchString(sourceOf.ReplaceAllString(line, "")) {
			return true
		}
	}
	return false
}

// ended reports whether the process has ended by itself.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stored asks the process how many events of a source it has stored.
func (p *process) stored(source string) int64 {
	c, err := remote.Dial(p.data)
	if err != nil {
		return 0
	}
	text, err := c.Status(p.t.Context())
	if err != nil {
		return 0
	}
	var status struct {
		Sources []struct {
			Name   string
			Stored int64
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		p.t.Fatal(err)
	}
	for _, s := range status.Sources {
		if s.Name == source {
			return s.Stored
		}
	}
	return 0
}

// memory returns the most bytes of memory that the process ever held.
func (p *process) memory() int64 {
	p.t.Helper()
	if runtime.GOOS != "linux" {
		if os.Getenv("LEAT_TEST_ALL") == "1" {
			p.t.Fatal("memory can be measured on Linux only")
		}
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kib << 10
}

// stop ends the process in order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	<-p.done
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("leat ended with %v: %s", err, strings.Join(p.told(""), "\n"))
	}
}

package lambda

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/process"
)

// The runtimes are programs of one file without dependencies, given to the interpreter as an argument.
var (
	//go:embed runtime/node.js
	nodeRuntime string

	//go:embed runtime/python.py
	pythonRuntime string
)

var errNoHandler = errors.New("nothing says what to run")

// plan is what a process is started with.
type plan struct {
	path string
	args []string
	dir  string // of the function
	env  map[string]string
}

// plan looks at the directory of the function, at every start anew, so that what an operator mends is seen.
func (c *Config) plan() (plan, error) {
	dir, err := filepath.Abs(c.Code)
	if err != nil {
		return plan{}, fmt.Errorf("find code: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return plan{}, fmt.Errorf("find code: %s is no directory", dir)
	}
	kind, err := c.kind(dir)
	if err != nil {
		return plan{}, err
	}
	heap := strconv.FormatInt(int64(c.Memory)*9/10>>20, 10)
	p := plan{dir: dir, env: map[string]string{}}
	switch kind {
	case "nodejs":
		p.path, err = c.interpreter("node")
		p.args = []string{"--max-old-space-size=" + heap, "--input-type=commonjs", "-e", nodeRuntime}
	case "python":
		p.path, err = c.interpreter("python3")
		p.args = []string{"-c", pythonRuntime}
		p.env["PYTHONDONTWRITEBYTECODE"] = "1" // the directory is the user's: nothing is written there, as on AWS
	default:
		p.path = filepath.Join(dir, "bootstrap")
		p.env["GOMEMLIMIT"] = heap + "MiB"
		err = executable(p.path)
	}
	return p, err
}

// kind returns what runs the function.
func (c *Config) kind(dir string) (string, error) {
	if c.Runtime != "auto" {
		return c.Runtime, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "bootstrap")); err == nil {
		return "provided", nil
	}
	if c.Handler == "" {
		return "", fmt.Errorf("%w: %s has no program bootstrap, and there is no handler", errNoHandler, dir)
	}
	at := strings.LastIndexByte(c.Handler, '/') + 1
	first, _, _ := strings.Cut(c.Handler[at:], ".")
	for _, suffix := range []string{".js", ".mjs", ".cjs"} {
		if _, err := os.Stat(filepath.Join(dir, c.Handler[:at]+first+suffix)); err == nil {
			return "nodejs", nil
		}
	}
	module := strings.ReplaceAll(c.Handler[:max(0, strings.LastIndexByte(c.Handler, '.'))], ".", "/")
	for _, suffix := range []string{".py", "/__init__.py"} {
		if _, err := os.Stat(filepath.Join(dir, module+suffix)); err == nil {
			return "python", nil
		}
	}
	return "", fmt.Errorf("%w: %s has no program bootstrap and no file for the handler %s", errNoHandler, dir, c.Handler)
}

func (c *Config) interpreter(name string) (string, error) {
	if c.Interpreter != "" {
		name = c.Interpreter
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find interpreter: %w", err)
	}
	return filepath.Abs(path)
}

// executable returns an error if a program cannot be run, in words that help.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("find %s: there is none; build the function with GOOS=%s GOARCH=%s go build -o bootstrap", path, runtime.GOOS, runtime.GOARCH)
	case err != nil:
		return fmt.Errorf("find bootstrap: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("find %s: it is no program: chmod +x may help", path)
	}
	return nil
}

// environment returns all environment variables of a process
// (docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html). TZ can be set otherwise, as on AWS.
func (c *Config) environment(address string, p plan) []string {
	all := map[string]string{"TZ": ":UTC"}
	for name, value := range p.env {
		all[name] = value
	}
	for name, value := range c.Environment {
		all[name] = value.Reveal()
	}
	for name, value := range map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          address,
		"_HANDLER":                        c.handler(),
		"LAMBDA_TASK_ROOT":                p.dir,
		"AWS_LAMBDA_FUNCTION_NAME":        c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.FormatInt(int64(c.Memory)>>20, 10),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + c.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02/") + "[$LATEST]" + strings.ReplaceAll(newCall(nil).id, "-", ""),
		"AWS_REGION":                      c.Region,
		"AWS_DEFAULT_REGION":              c.Region,
	} {
		all[name] = value
	}
	return process.Environment(all)
}

func (c *Config) handler() string {
	if c.Handler == "" {
		return "bootstrap"
	}
	return c.Handler
}

func (c *Config) functionARN() string {
	return "arn:aws:lambda:" + c.Region + ":" + c.Account + ":function:" + c.Name
}

package lambda

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/setting"
)

// Config says which function is run, and within which bounds. The zero values of its fields mean their defaults.
type Config struct {
	// The directory of the function: what AWS is given as a zip file, unpacked. It is where the processes run. A relative path begins where
	// leat was started.
	Code string `yaml:"code,required"`

	// The handler, as AWS writes it: index.handler is the export handler of the file index.js, index.mjs or index.cjs, app.handler the function handler of
	// app.py; directories are parted by slashes. A program named bootstrap needs none.
	Handler string `yaml:"handler"`

	// What runs the function. "provided": the program bootstrap in the directory, as Go and Rust functions are; "nodejs" and "python": the interpreter of that
	// language with a small runtime of Leat's own. "auto": provided if there is a bootstrap, else by the file that handler names.
	Runtime string `yaml:"runtime" default:"auto" enum:"auto,provided,nodejs,python"`

	// The interpreter of nodejs and python, a path or a name that is looked up in PATH. Default: node, or python3.
	Interpreter string `yaml:"interpreter"`

	// The name of the function in its context, its ARN, and the log. Default: the name of the consumer.
	Name string `yaml:"name"`

	// How long one call may take. Then the process is ended, the call has failed, and the next call finds a new process.
	Timeout time.Duration `yaml:"timeout" default:"3s" min:"1s" max:"15m"`

	// How long a new process may take until it asks for its first event.
	Start time.Duration `yaml:"start" default:"10s" min:"1s" max:"15m"`

	// How much memory a process may have. One that has more is ended: it is looked at every 100 ms, without the processes that it starts, and only
	// on Linux. Node.js is told 90 % of it as the limit of its heap, Go 90 % of it as its soft limit.
	Memory setting.Size `yaml:"memory" default:"128MiB" min:"64MiB" max:"10GiB"`

	// How many processes there may be at once: so many calls run at the same time, and the others wait. They are started when they are needed.
	Processes int `yaml:"processes" default:"1" min:"1" max:"256"`

	// Environment variables of the function, at most 4 KiB with their names. Nothing of Leat's own environment is inherited but PATH, HOME and LANG. Those that AWS
	// reserves for the runtime cannot be set.
	Environment map[string]setting.Secret `yaml:"environment"`

	// The region in ARNs, in events, and in AWS_REGION.
	Region string `yaml:"region" default:"us-east-1"`

	// The account in ARNs.
	Account string `yaml:"account" default:"000000000000"`

	// The ARN of the stream in events. Default: one made of region, account and the name of the stream.
	StreamARN string `yaml:"stream_arn"`

	// Whether to take no notice of batchItemFailures in answers, as AWS does where ReportBatchItemFailures is not set.
	IgnoreBatchItemFailures bool `yaml:"ignore_batch_item_failures"`

	// Whether an answer fails that is neither empty nor made of batchItemFailures and state alone. On AWS a misspelt batchItemFailures reads as success.
	Strict bool `yaml:"strict"`
}

// maxEnvironment is AWS's bound on the names and values of environment variables.
const maxEnvironment = 4 << 10

// Check implements setting.Checker. It does no I/O.
func (c *Config) Check() error {
	var wrong []error
	if strings.HasSuffix(c.Code, ".zip") {
		wrong = append(wrong, &setting.FieldError{Field: "code", Err: errors.New("a zip file cannot be run"), Hint: "unpack it and name the directory"})
	}
	switch {
	case c.Runtime == "provided" && c.Interpreter != "":
		wrong = append(wrong, &setting.FieldError{Field: "interpreter", Err: errors.New("the runtime provided has none"), Hint: "leave it out"})
	case c.Handler == "" && (c.Runtime == "nodejs" || c.Runtime == "python"):
		wrong = append(wrong, &setting.FieldError{Field: "handler", Err: fmt.Errorf("the runtime %s needs one", c.Runtime), Hint: "write FILE.FUNCTION, such as app.handler"})
	case c.Handler != "" && !validHandler(c.Handler):
		wrong = append(wrong, &setting.FieldError{Field: "handler", Err: fmt.Errorf("expected FILE.FUNCTION, got %q", c.Handler), Hint: "index.handler is the export handler of index.js"})
	}
	wrong = append(wrong, c.checkName(), c.checkEnvironment())
	return errors.Join(wrong...)
}

func validHandler(handler string) bool {
	file, function, found := strings.Cut(handler[strings.LastIndexByte(handler, '/')+1:], ".")
	return found && file != "" && function != "" && !strings.HasPrefix(handler, "/") && !slices.Contains(strings.Split(handler, "/"), "..")
}

func (c *Config) checkName() error {
	legal := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	if len(c.Name) > 64 || strings.ContainsFunc(c.Name, func(r rune) bool { return !legal(r) }) {
		return setting.FieldErrorf("name", "expected at most 64 letters, digits, hyphens and underscores, got %q", c.Name)
	}
	return nil
}

func (c *Config) checkEnvironment() error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
		value := c.Environment[name].Reveal()
		size += len(name) + len(value)
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return setting.FieldErrorf("environment", "%q is no name of a variable", name)
		case reserved(name):
			return &setting.FieldError{Field: "environment", Err: fmt.Errorf("%s is set by the runtime", name), Hint: "leave it out"}
		case strings.Contains(value, "\x00"):
			return setting.FieldErrorf("environment", "the value of %s holds a zero byte", name)
		}
	}
	if size > maxEnvironment {
		return setting.FieldErrorf("environment", "its names and values have %d bytes, at most %d", size, maxEnvironment)
	}
	return nil
}

// reserved reports whether AWS reserves an environment variable for the runtime. Its keys are not: nothing else sets them here.
func reserved(name string) bool {
	switch name {
	case "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR":
		return true
	}
	return strings.HasPrefix(name, "AWS_LAMBDA_")
}

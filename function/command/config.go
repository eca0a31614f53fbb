package command

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/setting"
)

// Config says which program is run, and within which bounds. The zero values of its fields mean their defaults.
type Config struct {
	// The program and its arguments. It is looked up in PATH, and no shell is involved. It reads a line for every record and answers each with a line of its own; a
	// program that buffers its output must flush it behind every line.
	Command []string `yaml:"command,required"`

	// Where it runs. Default: where leat was started.
	Directory string `yaml:"directory"`

	// Environment variables of the program. Nothing of Leat's own environment is inherited but PATH, HOME and LANG.
	Environment map[string]setting.Secret `yaml:"environment"`

	// How the payload is written. "json": as data, on one line, if it is JSON, else in base64 as data_base64. "base64": always as data_base64, byte for byte.
	Payload string `yaml:"payload" default:"json" enum:"json,base64"`

	// A stream that takes the answers: every line that is not empty becomes a record with the key of the record that it answers. So a
	// program that only turns lines into lines, such as jq -c --unbuffered, needs to know nothing of Leat. Default: the answers say what became of the records.
	Output string `yaml:"output"`

	// How long one batch may take. Then the program is ended, the call has failed, and the next call finds a new process.
	Timeout time.Duration `yaml:"timeout" default:"30s" min:"1s" max:"1h"`

	// How much memory a process may have. One that has more is ended: it is looked at every 100 ms, without the processes that it starts, and only
	// on Linux. 0: as much as there is.
	Memory setting.Size `yaml:"memory"`

	// How many processes there may be at once: so many batches are worked on at the same time, and the others wait. They are started when they are needed.
	Processes int `yaml:"processes" default:"1" min:"1" max:"256"`

	// How long a line of the program may be. All lines for one batch together may have 64 MiB.
	MaxLine setting.Size `yaml:"max_line" default:"1MiB" min:"1KiB" max:"16MiB"`
}

// Check implements setting.Checker. It does no I/O.
func (c *Config) Check() error {
	var wrong []error
	if len(c.Command) > 0 && c.Command[0] == "" || len(c.Command) == 0 {
		wrong = append(wrong, &setting.FieldError{Field: "command", Err: errors.New("names no program"), Hint: "write a list: [jq, -c, --unbuffered, .]"})
	}
	if len(c.Command) == 1 && strings.Contains(c.Command[0], " ") {
		wrong = append(wrong, &setting.FieldError{Field: "command", Err: errors.New("one text with spaces names a program with spaces"), Hint: "write a list, each argument an item"})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(c.Environment[name].Reveal(), "\x00") {
			wrong = append(wrong, setting.FieldErrorf("environment", "%q is no name of a variable, or its value holds a zero byte", name))
		}
	}
	return errors.Join(wrong...)
}

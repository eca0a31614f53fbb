package decode

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/expression"
)

// Step is one step of decoding, as it is configured: the name of the step, or a mapping of that name to its option.
// The zero Step does nothing. It is immutable and safe for concurrent use.
type Step struct {
	name  string
	file  string // of a dictionary; empty: none
	build func(limit int) (stage, error)
}

// steps are all steps there are. They are given their option, nil if there is none.
var steps = map[string]func(option any) (func(limit int) (stage, error), error){
	"gzip":        plain(newGzip),
	"zlib":        plain(newZlib),
	"deflate":     plain(newDeflate),
	"zlib_stream": plain(newZlibStream),
	"zstd":        withDictionary(newZstd),
	"zstd_stream": withDictionary(newZstdStream),
	"base64":      plain(func(int) stage { return base64Stage{} }),
	"json_string": withPath(func(p expression.Path) stage { return jsonStringStage{p} }),
	"member":      withPath(func(p expression.Path) stage { return memberStage{p} }),
	"msgpack":     plain(func(limit int) stage { return msgpackStage{limit} }),
	"cbor":        parseCBOR,
	"csv":         parseCSV,
	"nmea":        parseNMEA,
	"text":        plain(func(int) stage { return textStage{} }),
}

// Names returns the names of all steps.
func Names() []string { return slices.Sorted(maps.Keys(steps)) }

// NewStep returns the Step of a name and its option; nil is none.
func NewStep(name string, option any) (Step, error) {
	parse, ok := steps[name]
	if !ok {
		return Step{}, fmt.Errorf("unknown step %q: there are %s", name, strings.Join(Names(), ", "))
	}
	build, err := parse(option)
	if err != nil {
		return Step{}, fmt.Errorf("%s: %w", name, err)
	}
	s := Step{name: name, build: build}
	if name == "zstd" || name == "zstd_stream" {
		s.file, _ = option.(string)
	}
	return s, nil
}

// Dictionary returns the file of the dictionary that the step needs, or nothing.
func (s *Step) Dictionary() string { return s.file }

// CheckDictionary returns what is wrong with the content of a dictionary.
func CheckDictionary(content []byte) error {
	r, err := zstdReader(nil, content, leastWindow)
	if err == nil {
		r.Close()
	}
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler for a step without an option.
func (s *Step) UnmarshalText(text []byte) (err error) {
	*s, err = NewStep(string(text), nil)
	return err
}

// UnmarshalValue implements setting.ValueUnmarshaler for a step with its option.
func (s *Step) UnmarshalValue(value any) (err error) {
	object, ok := value.(map[string]any)
	if !ok || len(object) != 1 {
		return errors.New("expected the name of a step, or one name with its option such as json_string: payload")
	}
	for name, option := range object {
		*s, err = NewStep(name, option)
	}
	return err
}

// String returns the name of the step.
func (s *Step) String() string { return s.name }

// IsZero reports whether s does nothing.
func (s *Step) IsZero() bool { return s.build == nil }

// plain is a step without an option.
func plain(build func(limit int) stage) func(any) (func(int) (stage, error), error) {
	return func(option any) (func(int) (stage, error), error) {
		if option != nil {
			return nil, errors.New("it has no option")
		}
		return func(limit int) (stage, error) { return build(limit), nil }, nil
	}
}

// withPath is a step whose option is a path that goes through no array.
func withPath(build func(p expression.Path) stage) func(any) (func(int) (stage, error), error) {
	return func(option any) (func(int) (stage, error), error) {
		text, ok := option.(string)
		if !ok {
			return nil, errors.New("it needs a path, such as payload or data.body")
		}
		p, err := expression.ParsePath(text)
		if err == nil && p.Arrays() > 0 {
			err = errors.New("the path must name one member")
		}
		if err != nil {
			return nil, err
		}
		return func(int) (stage, error) { return build(p), nil }, nil
	}
}

// withDictionary is a step whose option is the file of a dictionary.
func withDictionary(build func(dictionary []byte, limit int) (stage, error)) func(any) (func(int) (stage, error), error) {
	return func(option any) (func(int) (stage, error), error) {
		path, ok := option.(string)
		switch {
		case option == nil:
			return func(limit int) (stage, error) { return build(nil, limit) }, nil
		case !ok || path == "":
			return nil, errors.New("its option is the file of a dictionary")
		}
		return func(limit int) (stage, error) {
			dictionary, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read dictionary: %w", err)
			}
			return build(dictionary, limit)
		}, nil
	}
}

// options reads an option that is a mapping, strictly.
func options(option any, known ...string) (map[string]any, error) {
	object, ok := option.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("expected a mapping with %s", strings.Join(known, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown option %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return object, nil
}

// names reads an option that is a list of names.
func names(option any, what string) ([]string, error) {
	list, ok := option.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("expected a list of %s", what)
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		name, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("expected a list of %s, got %v in it", what, item)
		}
		if name != "" && slices.Contains(out, name) {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		out = append(out, name)
	}
	return out, nil
}

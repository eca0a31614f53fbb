package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// Load reads the inputs as one configuration: streams, sources and consumers add up, and
// any other field may be set in one of them. It expands ${…} with env (nil: os.LookupEnv) and the files that are
// named, fills in the defaults, and reports everything that is wrong, without a limit.
//
// The Config is never nil and holds what could be read; it may be run only if Err of the
// Diagnostics is nil.
func Load(inputs []Input, adapters Adapters, env func(string) (string, bool)) (*Config, Diagnostics) {
	if env == nil {
		env = os.LookupEnv
	}
	l := &loader{adapters: adapters, env: env, read: readFile}
	return l.load(inputs)
}

// loader is one call of Load.
type loader struct {
	adapters Adapters
	env      func(string) (string, bool)
	read     func(path string) ([]byte, error)

	config  Config
	set     map[string]declared // fields of the top level
	names   map[string]declared // what has a name, by "kind name"
	streams []declared
	sources []writer
	readers []reader
	targets []target
	unread  bool // something could not be read that may declare streams
	unnamed bool // a source or consumer has no name, so that its stream is not known
	vague   bool // a source or consumer does not say which stream it means
	lost    bool // what data says could not be read

	files   map[string]bool
	secrets []string
	reports []report
	seen    map[string]bool
}

// report is a Diagnostic in the making.
type report struct {
	file          *file
	at            span
	code          string
	subject       string // what it is about, where several of one code may be at one place
	message, hint string
	related       []Related
}

func (l *loader) load(inputs []Input) (*Config, Diagnostics) {
	l.set, l.names = map[string]declared{}, map[string]declared{}
	l.files, l.seen = map[string]bool{}, map[string]bool{}
	for _, in := range inputs {
		if in.Err != nil {
			l.unread = true
			continue
		}
		f := newFile(in)
		if n := l.parse(f); n != nil {
			d := &decoder{loader: l, file: f, expanded: map[*yaml.Node]expansion{}}
			d.interpolate(n)
			d.top(n)
		}
	}
	_, set := l.set["data"]
	l.lost = l.unread || set && l.config.Data == ""
	setting.Default(&l.config)
	l.judge()
	l.places()
	l.idle(inputs)
	l.config.Files = slices.Sorted(maps.Keys(l.files))
	l.literalSecrets()
	return &l.config, l.diagnostics()
}

// report notes a mistake. Of one place, code and subject it notes one, since what an alias
// stands for is decoded more than once.
func (l *loader) report(f *file, r report) {
	r.file, r.at = f, f.clamp(r.at)
	key := fmt.Sprintf("%p %d %d %s %s", f, r.at.line, r.at.column, r.code, r.subject)
	if l.seen[key] {
		return
	}
	l.seen[key] = true
	l.reports = append(l.reports, r)
}

// diagnostics returns what was reported. It comes last, when all secrets are known.
func (l *loader) diagnostics() Diagnostics {
	slices.SortFunc(l.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	all := make(Diagnostics, 0, len(l.reports))
	for _, r := range l.reports {
		d := Diagnostic{
			Position: r.file.position(r.at), EndColumn: r.at.end,
			Severity: severities[r.code], Code: r.code,
			Message: oneLine(scrub(r.message, l.secrets)), Hint: oneLine(scrub(r.hint, l.secrets)),
			Excerpt: r.file.excerpt(r.at, l.secrets), Related: r.related,
		}
		all = append(all, d)
	}
	all.sort()
	return all
}

func (f *file) position(s span) Position {
	s = f.clamp(s)
	return Position{File: f.name, Line: s.line, Column: s.column}
}

func (f *file) related(n *yaml.Node, message string) Related {
	s, _ := f.span(n, n.Value)
	return Related{Position: f.position(s), Message: message}
}

package leat_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/leatstream/leat"

// floors says which packages of the house a package may import, by the longest prefix that fits. A package may always
// import packages below itself under internal/ of its own, and everything on the floor of the words.
//
//	4  faces      cmd/leat  console  kinesisapi
//	3  house      pipeline  config
//	2  workers    producer  consumer  source.Manager        adapters: source/*  stream/*  function/*  sink/*
//	1  contracts  source  stream  function  sink  filter
//	0  words      leat, internal/setting, internal/expression, internal/decode, internal/errclass, internal/jsontext, internal/outage, internal/wait, internal/version
var floors = map[string][]string{
	"":                    {},
	"internal/setting":    {},
	"internal/expression": {},
	"internal/decode":     {},
	"internal/errclass":   {},
	"internal/jsontext":   {},
	"internal/outage":     {},
	"internal/wait":       {},
	"internal/version":    {},

	"stream": {},
	"source": {"stream"}, // gap records are puts
	"sink":   {},
	"filter": {},

	"function": {"stream"}, // records for other streams are puts

	"producer": {"source", "stream", "filter"},
	"consumer": {"sink", "stream", "filter"},

	"stream/":      {"stream"}, // an adapter knows its parent, never a sibling
	"source/":      {"source"},
	"sink/":        {"sink", "stream"}, // ErrFenced
	"function/":    {"function", "stream", "internal/process"},
	"stream/local": {"stream"},

	"internal/pipenet":       {},
	"internal/process":       {},
	"internal/torture":       {},
	"internal/provider":      {"source", "source/session"}, // recordings
	"internal/configdoc":     {"config", "internal/setting", "producer", "consumer", "source", "stream", "sink", "filter"},
	"internal/configdoc/cmd": {"internal/configdoc", "pipeline", "config"},

	"config":   {"source", "producer", "consumer", "sink", "stream", "filter"},
	"pipeline": {"config", "source", "producer", "consumer", "sink", "stream", "filter", "source/", "sink/", "stream/local", "stream/kinesis"},

	"kinesisapi":  {"stream", "kinesisapi/"},
	"kinesisapi/": {"stream"}, // parts of the API that know no server

	"test/clients": {},
	"test/hostile": {},

	"internal/bench": {"source", "source/websocket", "producer", "stream", "stream/local", "stream/remote", "stream/kinesis", "internal/provider"},

	"examples": {},
	"cmd/leat": {"pipeline", "config", "filter", "stream", "consumer", "source", "source/session", "sink/sql", "stream/local", "stream/remote", "examples", "internal/provider", "kinesisapi", "kinesisapi/", "stream/kinesis"},
}

// words are on the lowest floor: everyone may import them.
var words = []string{"", "internal/setting", "internal/expression", "internal/decode", "internal/errclass", "internal/jsontext", "internal/outage", "internal/wait", "internal/version"}

// goFile is one parsed file of the module.
type goFile struct {
	path string // slash-separated, relative to the module
	dir  string // of the package, "" for the root
	test bool
	file *ast.File
	set  *token.FileSet
	text string
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != "." || d.Name() == "testdata" || d.Name() == "tools") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(name)
		dir := path.Dir(slash)
		if dir == "." {
			dir = ""
		}
		files = append(files, goFile{slash, dir, strings.HasSuffix(name, "_test.go"), file, set, string(text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("found only %d files", len(files))
	}
	return files
}

// rule returns the floor of a package: the entry for it, or for the longest prefix that ends in a slash.
func rule(dir string) ([]string, bool) {
	if allowed, ok := floors[dir]; ok {
		return allowed, true
	}
	best := ""
	for prefix := range floors {
		if strings.HasSuffix(prefix, "/") && strings.HasPrefix(dir, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return floors[best], best != ""
}

func TestPackagesImportOnlyTheFloorsBelow(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || strings.HasSuffix(f.dir, "test") { // conformance suites and tests may use real parts
			continue
		}
		allowed, known := rule(f.dir)
		if !known {
			t.Errorf("%s: package %q is on no floor: add it to the table", f.path, f.dir)
			continue
		}
		for _, spec := range f.file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			rest, ours := strings.CutPrefix(imported, module)
			rest = strings.TrimPrefix(rest, "/")
			if !ours || slices.Contains(words, rest) && f.dir != "" {
				continue
			}
			ok := slices.ContainsFunc(allowed, func(a string) bool {
				return a == rest || strings.HasSuffix(a, "/") && strings.HasPrefix(rest, a)
			})
			if !ok {
				t.Errorf("%s imports %s, which is not below it", f.path, rest)
			}
		}
	}
}

func TestTheWordsNeedOnlyTheStandardLibrary(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.dir != "" || f.test {
			continue
		}
		for _, spec := range f.file.Imports {
			if imported, _ := strconv.Unquote(spec.Path.Value); strings.Contains(imported, ".") {
				t.Errorf("%s imports %s", f.path, imported)
			}
		}
	}
}

// Sizes are in lines that are not blank.
const (
	maxFile      = 600
	maxFunction  = 60
	maxMethods   = 7
	maxParameter = 4
)

func TestSizes(t *testing.T) {
	for _, f := range goFiles(t) {
		lines := strings.Split(f.text, "\n")
		if n := nonBlank(lines); n > maxFile {
			t.Errorf("%s has %d lines, at most %d", f.path, n, maxFile)
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				from, to := f.set.Position(n.Pos()).Line, f.set.Position(n.End()).Line
				if size := nonBlank(lines[from-1 : to]); size > maxFunction && !f.test {
					t.Errorf("%s:%d: %s has %d lines, at most %d", f.path, from, n.Name.Name, size, maxFunction)
				}
				if p := n.Type.Params.NumFields(); p > maxParameter && !f.test && !strings.HasSuffix(f.dir, "test") {
					t.Errorf("%s:%d: %s has %d parameters, at most %d: make them a struct", f.path, from, n.Name.Name, p, maxParameter)
				}
			case *ast.InterfaceType:
				if m := n.Methods.NumFields(); m > maxMethods {
					t.Errorf("%s:%d: an interface has %d methods, at most %d", f.path, f.set.Position(n.Pos()).Line, m, maxMethods)
				}
			}
			return true
		})
	}
}

func nonBlank(lines []string) (n int) {
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			n++
		}
	}
	return n
}

func TestEverythingExportedIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		documented[f.dir] = documented[f.dir] || f.file.Doc != nil && !f.test
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %q has no comment", dir)
		}
	}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, decl := range f.file.Decls {
			for _, name := range undocumented(decl, f.file.Name.Name == "main") {
				t.Errorf("%s: %s has no comment", f.path, name)
			}
		}
	}
}

// undocumented returns the exported names of a declaration that nobody explains.
func undocumented(decl ast.Decl, program bool) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && receiverExported(d) && !program {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
				names = append(names, undocumentedFields(s)...)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// undocumentedFields returns the fields of configuration that have no comment: it is their reference.
func undocumentedFields(s *ast.TypeSpec) (names []string) {
	st, ok := s.Type.(*ast.StructType)
	if !ok || !s.Name.IsExported() {
		return nil
	}
	for _, field := range st.Fields.List {
		if field.Tag != nil && strings.Contains(field.Tag.Value, `yaml:"`) && !strings.Contains(field.Tag.Value, `yaml:"-"`) && field.Doc == nil {
			names = append(names, fmt.Sprintf("field %s of %s", field.Names[0].Name, s.Name.Name))
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	name, ok := t.(*ast.Ident)
	return ok && name.IsExported()
}

package configdoc

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// pkg is the part of a package that matters here.
type pkg struct {
	types   map[string]typeDecl
	unmarsh map[string]kind // what types are that read themselves
}

type typeDecl struct {
	spec *ast.TypeSpec
	in   scope
}

// scope is where an expression stands.
type scope struct {
	path    string            // of the package
	imports map[string]string // import paths by name
}

// name returns the import path and name of a named type; the path of a type of the language is empty.
func (s scope) name(e ast.Expr) (importPath, name string, ok bool) {
	switch e := e.(type) {
	case *ast.Ident:
		if _, ok := builtin[e.Name]; ok {
			return "", e.Name, true
		}
		return s.path, e.Name, true
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return s.imports[x.Name], e.Sel.Name, ok
	}
	return "", "", false
}

// lookup returns the declaration of a type of the module.
func (r *reader) lookup(importPath, name string) (typeDecl, error) {
	p, ok := r.packages[importPath]
	if !ok {
		var err error
		if p, err = r.load(importPath); err != nil {
			return typeDecl{}, err
		}
		r.packages[importPath] = p
	}
	decl, ok := p.types[name]
	if !ok {
		return typeDecl{}, fmt.Errorf("no type %s in %s", name, importPath)
	}
	return decl, nil
}

// load parses the files of a package of the module, but its tests.
func (r *reader) load(importPath string) (*pkg, error) {
	below, ok := strings.CutPrefix(importPath+"/", r.module+"/")
	if !ok {
		return nil, fmt.Errorf("package %s is not part of %s", importPath, r.module)
	}
	dir := filepath.Join(r.root, filepath.FromSlash(below))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err == nil && len(files) == 0 {
		err = &fs.PathError{Op: "read", Path: below, Err: errors.New("no Go files")}
	}
	if err != nil {
		return nil, fmt.Errorf("load package %s: %w", importPath, err)
	}
	p := &pkg{types: map[string]typeDecl{}, unmarsh: map[string]kind{}}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("load package %s: %w", importPath, err)
		}
		p.add(parsed, importPath)
	}
	return p, nil
}

func (p *pkg) add(file *ast.File, importPath string) {
	in := scope{path: importPath, imports: map[string]string{}}
	for _, spec := range file.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		in.imports[name] = imported
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok {
					p.types[t.Name.Name] = typeDecl{t, in}
				}
			}
		case *ast.FuncDecl:
			if decl.Recv == nil {
				continue
			}
			switch name := receiver(decl); {
			case decl.Name.Name == "UnmarshalValue":
				p.unmarsh[name] = kindMessage
			case decl.Name.Name == "UnmarshalText" && p.unmarsh[name] == "":
				p.unmarsh[name] = kindText
			}
		}
	}
}

func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// expansion is what became of a scalar with ${…} in it.
type expansion struct {
	written string   // the value in the file
	forms   []string // as written, such as ${PORT}
	secret  bool     // part of it comes from a file or a credential
	whole   bool     // the scalar is one form and nothing else, without a default
	literal bool     // a default that is not empty may be in it
	failed  bool     // reported already: the value means nothing
}

// form is one ${…} in a scalar.
type form struct {
	text string // as written
	kind formKind
	name string // of the variable or credential, or the path
	rest string // the default or the message
	bad  string // why it is malformed
}

type formKind int

const (
	formVariable   formKind = iota // ${NAME}
	formDefault                    // ${NAME:-rest}
	formMessage                    // ${NAME:?rest}
	formFile                       // ${file:name}
	formCredential                 // ${credential:name}
)

// piece is a form or the text before it.
type piece struct {
	text string
	form *form
	at   int // offset
}

// pieces cuts a text at its forms. $${ is the text ${.
func pieces(s string) []piece {
	var found []piece
	var text strings.Builder
	flush := func(at int) {
		if text.Len() > 0 {
			found = append(found, piece{text: text.String(), at: at})
			text.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			text.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			flush(i)
			f := parseForm(s[i:])
			found = append(found, piece{form: &f, at: i})
			i += len(f.text)
		default:
			text.WriteByte(s[i])
			i++
		}
	}
	flush(len(s))
	return found
}

var formPattern = regexp.MustCompile(`(?s)^(?:(file|credential):(.+)|([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?)$`)

// parseForm reads the form that s begins with.
func parseForm(s string) form {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return form{text: "${", bad: "${ without }"}
	}
	f := form{text: s[:end+1]}
	inside := s[2:end]
	m := formPattern.FindStringSubmatch(inside)
	switch {
	case strings.Contains(inside, "${"):
		f.bad = "${…} inside of ${…}"
	case m == nil:
		f.bad = "this is no reference"
	case m[1] == "file":
		f.kind, f.name = formFile, m[2]
	case m[1] == "credential":
		f.kind, f.name = formCredential, m[2]
	default:
		f.kind, f.name, f.rest = map[string]formKind{"": formVariable, ":-": formDefault, ":?": formMessage}[m[4]], m[3], m[5]
	}
	return f
}

// interpolate expands the scalars of a tree, all but keys, each once.
func (d *decoder) interpolate(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		if strings.Contains(n.Value, "${") {
			d.expanded[n] = d.expand(n)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			d.interpolate(c)
		}
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			d.interpolate(n.Content[i])
		}
	}
}

func (d *decoder) expand(n *yaml.Node) expansion {
	e := expansion{written: n.Value}
	var out strings.Builder
	all := pieces(n.Value)
	for _, p := range all {
		if p.form == nil {
			out.WriteString(p.text)
			continue
		}
		e.forms = append(e.forms, p.form.text)
		e.secret = e.secret || p.form.kind == formFile || p.form.kind == formCredential
		e.literal = e.literal || p.form.kind == formDefault && p.form.rest != ""
		value, problem := d.lookup(*p.form)
		if problem != nil {
			e.failed = true
			problem.at = d.formSpan(n, len(e.forms)-1, e.forms)
			d.report(d.file, *problem)
			continue
		}
		out.WriteString(value)
	}
	e.whole = len(all) == 1 && len(e.forms) == 1 && all[0].form.bad == "" && !e.literal
	n.Value = out.String()
	return e
}

// formSpan returns where the form with the given number is in the file.
func (d *decoder) formSpan(n *yaml.Node, number int, forms []string) span {
	begin, text := d.file.region(n)
	found := 0
	for _, p := range pieces(text) {
		if p.form == nil {
			continue
		}
		if !strings.HasPrefix(p.form.text, forms[found]) {
			break
		}
		if found == number {
			line, column := d.file.at(begin + p.at)
			length := len([]rune(strings.Split(forms[found], "\n")[0]))
			return d.file.clamp(span{line, column, column + length})
		}
		found++
	}
	at, _ := d.file.span(n, n.Value)
	return at
}

// lookup returns the value of a form.
func (d *decoder) lookup(f form) (string, *report) {
	if f.bad != "" {
		return "", &report{code: codeInterpolation, message: f.bad, hint: "write a reference such as ${NAME}, ${NAME:-default} or ${file:/path}; the text ${ is written $${"}
	}
	switch f.kind {
	case formFile:
		return d.readSecret(f.text, f.name)
	case formCredential:
		return d.credential(f)
	case formVariable, formDefault, formMessage:
	}
	value, set := d.env(f.name)
	switch {
	case f.kind == formVariable && !set:
		return "", &report{
			code: codeUnsetVariable, subject: f.name, message: fmt.Sprintf("the environment variable %s is not set", f.name),
			hint: fmt.Sprintf("set it, or give a default with ${%s:-…}", f.name),
		}
	case f.kind == formMessage && value == "":
		return "", &report{code: codeUnsetVariable, subject: f.name, message: fmt.Sprintf("the environment variable %s is not set: %s", f.name, f.rest)}
	case f.kind == formDefault && value == "":
		return f.rest, nil
	}
	d.reference(f.name, value)
	return value, nil
}

func (d *decoder) credential(f form) (string, *report) {
	directory, _ := d.env("CREDENTIALS_DIRECTORY")
	if directory == "" {
		return "", &report{
			code: codeUnreadableFile, message: fmt.Sprintf("read %s: CREDENTIALS_DIRECTORY is not set", f.text),
			hint: "systemd sets it for a service with LoadCredential=",
		}
	}
	if !filepath.IsLocal(f.name) || strings.ContainsAny(f.name, `/\`) {
		return "", &report{code: codeUnreadableFile, message: fmt.Sprintf("read %s: %q is not the name of a credential", f.text, f.name)}
	}
	return d.readSecret(f.text, filepath.Join(directory, f.name))
}

func (d *decoder) readSecret(text, path string) (string, *report) {
	content, err := d.read(path)
	if err == nil && len(content) > maxSecret {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("larger than 1 MiB")}
	}
	if err != nil {
		return "", &report{code: codeUnreadableFile, message: fmt.Sprintf("read %s: %v", text, err), hint: "the file must exist and be readable by the user that leat runs as"}
	}
	d.files[path] = true
	value, ended := strings.CutSuffix(string(content), "\n")
	if ended {
		value = strings.TrimSuffix(value, "\r")
	}
	d.secrets = append(d.secrets, value)
	d.reference(path, value)
	return value, nil
}

// maxSecret is the size up to which ${file:…} reads a file, maxFile that of a file that a field names.
const (
	maxSecret = 1 << 20
	maxFile   = 64 << 20
)

// readFile reads a regular file of at most maxFile bytes. The error has the path and the reason.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("larger than 64 MiB")}
	}
	return content, err
}

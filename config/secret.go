package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const hidden = "(secret)"

// secretNames are what names of fields contain that hold a secret. They serve where the
// fields are not known: in a file that does not parse, and under an unknown name.
var secretNames = []string{"passw", "pwd", "secret", "token", "credential", "apikey", "api_key", "private_key", "access_key", "auth", "cookie", "dsn"}

func looksSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretNames, func(s string) bool { return strings.Contains(name, s) })
}

// hideSuspicious masks in a subtree whose fields are not known what looks like secrets.
func (d *decoder) hideSuspicious(name string, n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		if looksSecret(name) && !d.expanded[n].whole {
			d.file.hide(n, d.written(n))
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			d.hideSuspicious(name, c)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := name
			if !looksSecret(name) {
				key = n.Content[i].Value
			}
			d.hideSuspicious(key, n.Content[i+1])
		}
	}
}

// hideAll masks every scalar of a subtree.
func (d *decoder) hideAll(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && d.written(n) != "" && !d.expanded[n].whole {
		d.file.hide(n, d.written(n))
		d.secrets = append(d.secrets, n.Value)
	}
	for _, c := range n.Content {
		d.hideAll(c)
	}
}

var keyPattern = regexp.MustCompile(`([\w.-]+)["']?\s*:\s+|([\w.-]+)["']?\s*:$`)

// maskSuspicious masks what looks like secrets in a file that has no tree: the line behind the
// key, and the lines below that are indented more.
func maskSuspicious(f *file) {
	inside := -1 // indentation of the key whose value goes on
	for i, line := range f.lines {
		text := strings.TrimLeft(line, " \t")
		indent := len(line) - len(text)
		if inside >= 0 && (text == "" || indent > inside) {
			f.addMask(i+1, mask{indent, utf8.RuneCountInString(line)})
			continue
		}
		inside = -1
		for _, m := range keyPattern.FindAllStringSubmatchIndex(line, -1) {
			name := line[max(m[2], m[4]):max(m[3], m[5])]
			if looksSecret(name) {
				f.addMask(i+1, mask{utf8.RuneCountInString(line[:m[1]]), utf8.RuneCountInString(line)})
				inside = indent
				break
			}
		}
	}
}

// minSecret is the length from which a secret is looked for in texts; what is shorter would be found everywhere.
const minSecret = 6

// occurrences returns where secrets stand in a line, and the secret parts of addresses.
func occurrences(line string, secrets []string) []mask {
	found := addressMasks(line)
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for at := 0; ; {
			i := strings.Index(line[at:], s)
			if i < 0 {
				break
			}
			from := utf8.RuneCountInString(line[:at+i])
			found = append(found, mask{from, from + utf8.RuneCountInString(s)})
			at += i + len(s)
		}
	}
	return found
}

// scrub removes from a message what the secrets of this load are, and the secret parts of addresses.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, strings.TrimSuffix(cutText(s), "…")} {
			quoted := strconv.Quote(form)
			text = strings.ReplaceAll(text, form, hidden)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], hidden)
		}
	}
	return scrubAddresses(text)
}

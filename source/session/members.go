package session

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/leatstream/leat/internal/setting"
)

// member is a member with a scalar in what is no JSON as a whole.
var member = regexp.MustCompile(`("((?:[^"\\]|\\.)*)"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,{}\[\]"]+)`)

// members hides the values of JSON members with telling names, and all that is below them.
func (h *Hider) members(text string) string {
	if !strings.Contains(text, `"`) || !setting.Telling(text) && !strings.Contains(text, `\u`) {
		return text
	}
	if json.Valid([]byte(text)) {
		m := masker{h: h, in: text}
		m.value(false)
		return m.out.String() + m.in[m.at:]
	}
	return member.ReplaceAllStringFunc(text, func(found string) string {
		f := member.FindStringSubmatch(found)
		if !h.telling(unquoted(f[2])) {
			return found
		}
		return f[1] + `"` + Hidden + `"`
	})
}

// masker copies a valid JSON text and hides on the way.
type masker struct {
	h   *Hider
	in  string
	at  int
	out strings.Builder
}

// value copies a value with the blanks around it, or hides what is in it.
func (m *masker) value(hide bool) {
	m.blanks()
	switch c := m.in[m.at]; c {
	case '{', '[':
		m.copy()
		m.collection(c == '{', hide)
	case '"':
		m.text(m.token(), hide)
	default:
		token := m.token()
		if hide && c != 't' && c != 'f' && c != 'n' {
			token = `"` + Hidden + `"`
		}
		m.out.WriteString(token)
	}
	m.blanks()
}

// collection copies what follows behind { or [, with its end.
func (m *masker) collection(object, hide bool) {
	m.blanks()
	for m.in[m.at] != '}' && m.in[m.at] != ']' {
		below := hide
		if object {
			name := m.token()
			m.out.WriteString(name)
			below = below || m.h.telling(unquoted(name[1:len(name)-1]))
			m.blanks()
			m.copy() // the colon
		}
		m.value(below)
		if m.in[m.at] == ',' {
			m.copy()
			m.blanks()
		}
	}
	m.copy()
}

// text writes a string, which may be JSON itself.
func (m *masker) text(token string, hide bool) {
	if hide {
		m.out.WriteString(`"` + Hidden + `"`)
		return
	}
	if strings.Contains(token, `\"`) {
		inside := unquoted(token[1 : len(token)-1])
		if hidden := m.h.members(inside); hidden != inside {
			token = `"` + quote(hidden) + `"`
		}
	}
	m.out.WriteString(token)
}

// token takes the string or scalar that begins here.
func (m *masker) token() string {
	from := m.at
	if m.in[m.at] != '"' {
		for m.at < len(m.in) && !strings.ContainsRune(" \t\r\n,]}", rune(m.in[m.at])) {
			m.at++
		}
		return m.in[from:m.at]
	}
	for m.at++; m.in[m.at] != '"'; m.at++ {
		if m.in[m.at] == '\\' {
			m.at++
		}
	}
	m.at++
	return m.in[from:m.at]
}

func (m *masker) blanks() {
	for m.at < len(m.in) && strings.IndexByte(" \t\r\n", m.in[m.at]) >= 0 {
		m.copy()
	}
}

func (m *masker) copy() {
	m.out.WriteByte(m.in[m.at])
	m.at++
}

// unquoted returns what a JSON string says, given without its quotes.
func unquoted(s string) string {
	var text string
	if !strings.Contains(s, `\`) || json.Unmarshal([]byte(`"`+s+`"`), &text) != nil {
		return s
	}
	return text
}

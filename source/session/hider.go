package session

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/leatstream/leat/internal/setting"
)

// Hidden stands in a recording where a secret was.
const Hidden = "(secret)"

// MinSecret is the length from which a secret is looked for. What is shorter would be found everywhere.
const MinSecret = 4

// Hider removes secrets from messages: each of a list wherever it stands, also in quotes, in an address, in hexadecimal digits, and inside of
// something encoded in base64, such as basic authentication; and the values of parameters and JSON members whose name
// says that they are secret, whatever they are. NewHider makes one.
type Hider struct {
	forms *strings.Replacer
	parts []string // what a secret leaves in base64
	keep  []string

	secrets []string
}

// NewHider returns the Hider of secrets. The parameters and members in keep are not hidden for their name.
func NewHider(secrets, keep []string) *Hider {
	h := &Hider{keep: keep, secrets: secrets}
	var forms []string
	for _, s := range pieces(secrets) {
		forms = append(forms, formsOf(s)...)
		h.parts = append(h.parts, base64Parts(s)...)
	}
	longestFirst(forms)
	longestFirst(h.parts)
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, Hidden)
	}
	h.parts = slices.Compact(h.parts)
	h.forms = strings.NewReplacer(pairs...)
	return h
}

// with returns a Hider of more secrets.
func (h *Hider) with(more []string) *Hider { return NewHider(slices.Concat(h.secrets, more), h.keep) }

func longestFirst(texts []string) {
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
}

var (
	variable = regexp.MustCompile(`\{\{.*?\}\}`)

	// schemes begin the value of an Authorization header and are no secret.
	schemes = []string{"bearer", "basic", "token", "digest", "apikey", "oauth"}
)

// pieces returns the secrets, and what they are made of: the texts between {{…}}, the words of a header, user and password.
func pieces(secrets []string) []string {
	var all []string
	for _, s := range secrets {
		for _, text := range variable.Split(s, -1) {
			all = append(all, strings.TrimSpace(text))
			for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n;,=", r) }) {
				all = append(all, word)
				if plain, err := base64.RawStdEncoding.DecodeString(word); err == nil && bytes.IndexByte(plain, ':') > 0 {
					user, password, _ := strings.Cut(string(plain), ":")
					all = append(all, string(plain), user, password)
				}
			}
		}
	}
	longestFirst(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool {
		return len(s) < MinSecret || slices.Contains(schemes, strings.ToLower(s))
	})
}

// formsOf returns how a secret may be written.
func formsOf(s string) []string {
	quoted := quote(s)
	forms := []string{
		s, quoted, strings.ReplaceAll(quoted, "/", `\/`), quote(quoted), url.QueryEscape(s), url.PathEscape(s),
		strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
	}
	if html, err := json.Marshal(s); err == nil {
		forms = append(forms, string(html[1:len(html)-1]))
	}
	for _, escaped := range slices.Clone(forms) {
		forms = append(forms, percent.ReplaceAllStringFunc(escaped, strings.ToLower))
	}
	return forms
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// quote returns the text as JSON writes it, without the quotes.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return s
	}
	return b.String()[1 : b.Len()-2]
}

// base64Parts returns what the base64 of any text that contains s must contain: three bytes become four characters, so that there are three ways,
// and the characters at both ends depend on the neighbours.
func base64Parts(s string) []string {
	var parts []string
	for before := range 3 {
		padded := append(make([]byte, before), s...)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(padded)
			from, to := []int{0, 2, 3}[before], len(padded)*8/6
			if to-from >= 4 { // less would be found everywhere
				parts = append(parts, text[from:to])
			}
		}
	}
	return parts
}

// Text returns the text without secrets.
func (h *Hider) Text(text string) string { return string(h.Hide([]byte(text))) }

// Hide returns data without secrets. It does not change data, and returns it as it is if there is nothing to hide.
func (h *Hider) Hide(data []byte) []byte {
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return h.compressed(data)
	}
	return h.plain(data)
}

func (h *Hider) plain(data []byte) []byte {
	text := string(data)
	out := h.encoded(text)
	out = h.forms.Replace(out)
	out = h.addresses(out)
	out = h.members(out)
	if out == text {
		return data
	}
	return []byte(out)
}

// maxInflated bounds what a compressed message may become.
const maxInflated = MaxLine

// compressed looks into a message that is compressed by gzip.
func (h *Hider) compressed(data []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return h.plain(data)
	}
	inside, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err != nil || len(inside) > maxInflated {
		return h.plain(data)
	}
	hidden := h.plain(inside)
	if bytes.Equal(hidden, inside) {
		return data
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(hidden) // into memory
	_ = w.Close()
	return b.Bytes()
}

// encoded hides what is encoded in base64 and contains a secret, as a whole.
func (h *Hider) encoded(text string) string {
	for _, part := range h.parts {
		for at := 0; ; {
			i := strings.Index(text[at:], part)
			if i < 0 {
				break
			}
			from, to := at+i, at+i+len(part)
			for from > 0 && text[from-1] != '=' && inBase64(text[from-1]) {
				from--
			}
			for to < len(text) && inBase64(text[to]) {
				to++
			}
			text = text[:from] + Hidden + text[to:]
			at = from + len(Hidden)
		}
	}
	return text
}

func inBase64(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("+/-_=", c) >= 0
}

var (
	userInfo  = regexp.MustCompile(`://[^/\s"'?#@]+@`)
	parameter = regexp.MustCompile(`((?:^|[?&;]|\\u0026)([\w.%\[\]-]+)=)([^&;#\s"'\\]+)`)
)

// addresses hides users, passwords and parameters of addresses and forms.
func (h *Hider) addresses(text string) string {
	if strings.Contains(text, "://") {
		text = userInfo.ReplaceAllString(text, "://"+Hidden+"@")
	}
	if !strings.Contains(text, "=") {
		return text
	}
	return parameter.ReplaceAllStringFunc(text, func(found string) string {
		m := parameter.FindStringSubmatch(found)
		if !h.telling(m[2]) {
			return found
		}
		return m[1] + Hidden
	})
}

func (h *Hider) telling(name string) bool {
	return setting.Telling(name) && !slices.Contains(h.keep, name)
}

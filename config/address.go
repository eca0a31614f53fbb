package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leatstream/leat/internal/setting"
	"go.yaml.in/yaml/v4"
)

// metrics checks the address of the metrics, and warns of one that other machines reach.
func (d *decoder) metrics(n *yaml.Node) {
	address := d.config.Metrics
	host, port, err := net.SplitHostPort(address)
	number, notNumber := strconv.ParseUint(port, 10, 16)
	if err != nil || notNumber != nil || strings.ContainsAny(host, "/ \t@?#") {
		hint := "write an address such as 127.0.0.1:8700"
		if _, wrong := strconv.ParseUint(address, 10, 16); wrong == nil {
			hint = "write 127.0.0.1:" + address
		}
		d.fail(report{code: codeValue, subject: "metrics", at: d.span(n), hint: hint, message: "metrics: expected host:port, got " + d.describe(slot{}, resolve(n))})
		return
	}
	if ip := net.ParseIP(host); ip.IsLoopback() || strings.EqualFold(host, "localhost") {
		return
	}
	d.report(d.file, report{
		code: codeOpenMetrics, at: d.span(n), message: fmt.Sprintf("metrics: whoever reaches %s may read them, without a password", quote(address)),
		hint: fmt.Sprintf("write 127.0.0.1:%d, or let nobody in but Prometheus", number),
	})
}

// credential is a part of an address that is secret.
type credential struct {
	what     string // in words
	from, to int    // where its value is
}

var (
	userInfo  = regexp.MustCompile(`://([^/\s"']+)@`)
	parameter = regexp.MustCompile(`[?&;]([\w.%\[\]-]+)=((?:\$?\$\{[^}]*\}|[^&;#\s"'])+)`)
)

// credentials returns the secret parts of the addresses in a text: the password, and parameters with a telling name.
func credentials(text string) []credential {
	var found []credential
	for _, m := range userInfo.FindAllStringSubmatchIndex(text, -1) {
		if strings.ContainsAny(text[m[2]:m[3]], "?#") {
			continue
		}
		if colon := passwordAt(text[m[2]:m[3]]); colon >= 0 {
			found = append(found, credential{"the password", m[2] + colon, m[3]})
		}
	}
	for _, m := range parameter.FindAllStringSubmatchIndex(text, -1) {
		if name := text[m[2]:m[3]]; setting.Telling(name) {
			found = append(found, credential{"the parameter " + name, m[4], m[5]})
		}
	}
	return found
}

// passwordAt returns where the password begins in user:password, in which references may stand; or -1.
func passwordAt(user string) int {
	for i := 0; i < len(user); i++ {
		switch {
		case strings.HasPrefix(user[i:], "${"):
			i += len(parseForm(user[i:]).text) - 1
		case user[i] == ':':
			return i + 1
		}
	}
	return -1
}

// literal reports whether a part of a text, as it is in the file, has something in it beside references: nothing that a template
// inserts, but the default of a reference.
func literal(text string) bool {
	rest := strings.Builder{}
	for _, p := range pieces(text) {
		switch {
		case p.form == nil:
			rest.WriteString(p.text)
		case p.form.kind == formDefault:
			rest.WriteString(p.form.rest)
		}
	}
	return template.ReplaceAllString(rest.String(), "") != ""
}

// inserted reports whether all that may be secret in a text is inserted by a template: what is left is nothing, or the scheme of an
// Authorization header, such as Bearer.
func inserted(text string) bool {
	return template.MatchString(text) && schemePattern.MatchString(template.ReplaceAllString(text, ""))
}

var schemePattern = regexp.MustCompile(`^([A-Za-z]{3,10} )?$`)

var template = regexp.MustCompile(`\{\{.*?\}\}`)

// address keeps what is secret in an address out of everything that is shown, and warns of what is written into the file.
func (d *decoder) address(s slot, n *yaml.Node) {
	if !strings.Contains(n.Value, "://") {
		return
	}
	for _, c := range credentials(n.Value) {
		if value := n.Value[c.from:c.to]; literal(value) {
			d.secrets = append(d.secrets, value)
		}
	}
	written := d.written(n)
	_, source := d.file.region(n)
	for _, c := range credentials(written) {
		value := written[c.from:c.to]
		if !literal(value) {
			continue
		}
		if !slices.ContainsFunc(occurrences(source, nil), func(m mask) bool { return string([]rune(source)[m.from:m.to]) == value }) {
			d.file.hide(n, written) // it is written with escape sequences or over several lines
		}
		d.report(d.file, report{
			code: codeLiteralSecret, subject: s.name + c.what, at: d.span(n), message: fmt.Sprintf("%s: %s is written into the file", s.name, c.what),
			hint: "take it from a file or the environment: ${file:/path} or ${NAME}",
		})
	}
}

// addressMasks returns where the secret parts of addresses are in a line. A user without a password is one, too: it may be a token.
func addressMasks(line string) []mask {
	var found []mask
	add := func(from, to int) {
		if literal(line[from:to]) {
			found = append(found, mask{utf8.RuneCountInString(line[:from]), utf8.RuneCountInString(line[:to])})
		}
	}
	for _, m := range userInfo.FindAllStringSubmatchIndex(line, -1) {
		if !strings.Contains(line[m[2]:m[3]], "${") {
			add(m[2], m[3])
		}
	}
	for _, c := range credentials(line) {
		add(c.from, c.to)
	}
	return found
}

// scrubAddresses removes the secret parts of addresses from a message.
func scrubAddresses(text string) string {
	runes := []rune(userInfo.ReplaceAllString(text, "://"+hidden+"@"))
	masks := addressMasks(string(runes))
	slices.SortFunc(masks, func(a, b mask) int { return b.from - a.from })
	for _, m := range masks {
		runes = slices.Replace(runes, m.from, m.to, []rune(hidden)...)
	}
	return string(runes)
}

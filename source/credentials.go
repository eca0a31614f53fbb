package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Credentials say where a token comes from, which is {{token}} in all texts. It is one of file, command and oauth2.
type Credentials struct {
	// A file that holds the token, without the white space round it. It is read at each attempt, so that it may be replaced at any time.
	File string `yaml:"file"`

	// A program and its arguments that print the token, such as [pass, show, feed]. It is run at each attempt, and no shell is. What it prints to standard
	// error is told if it fails.
	Command []string `yaml:"command"`

	// How long the program may run.
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"100ms"`

	// An OAuth 2.0 server that hands out tokens to clients, RFC 6749 §4.4. All connections of the source share one token, which is replaced shortly before it
	// expires, and when the provider refuses it.
	OAuth2 *OAuth2 `yaml:"oauth2"`
}

// maxToken bounds a token, and what a program prints.
const maxToken = 64 << 10

// check returns what is wrong with the settings of b.
func (c *Credentials) check(b *Before) error {
	n := 0
	for _, is := range []bool{c.File != "", len(c.Command) > 0, c.OAuth2 != nil} {
		if is {
			n++
		}
	}
	if n != 1 {
		return &setting.FieldError{Field: "credentials", Err: errors.New("expected exactly one of file, command and oauth2")}
	}
	if len(c.Command) > 0 && c.Command[0] == "" {
		return setting.FieldErrorf("credentials.command", "the name of the program is empty")
	}
	if c.OAuth2 != nil {
		return below("credentials.oauth2", c.OAuth2.check(b))
	}
	return nil
}

// tokens hands out the token of Credentials.
type tokens struct {
	*Credentials
	client *Client // of OAuth2
	kept   kept[string]
}

func newTokens(b *Before, dial Dialer) *tokens {
	t := &tokens{Credentials: b.Credentials}
	if t.OAuth2 != nil {
		setting.Default(t.OAuth2)
		t.client = newClient(t.OAuth2.request(), b, dial)
	}
	return t
}

// get returns the token for an attempt with variables.
func (t *tokens) get(ctx context.Context, vars map[string]any) (string, error) {
	switch {
	case t.OAuth2 != nil:
		return t.kept.get(ctx, "", func() (string, time.Time, error) { return t.OAuth2.fetch(ctx, t.client, vars) })
	case t.File != "":
		return t.read()
	}
	return t.run(ctx)
}

// read returns what the file holds.
func (t *tokens) read() (string, error) {
	f, err := os.Open(t.File)
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	return tokenOf(text, "the file "+t.File)
}

// tokenOf returns the token in a text.
func tokenOf(text []byte, from string) (string, error) {
	token := strings.TrimSpace(string(text))
	switch {
	case token == "":
		return "", fmt.Errorf("credentials: %s has nothing", from)
	case len(text) > maxToken:
		return "", fmt.Errorf("credentials: %s has more than 64KiB", from)
	}
	return token, nil
}

// run returns what the program prints.
func (t *tokens) run(ctx context.Context) (string, error) {
	limited, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	out, said := &bounded{most: maxToken + 1}, &bounded{most: 4 << 10}
	command := exec.CommandContext(limited, t.Command[0], t.Command[1:]...) //nolint:gosec // the configuration says what to run
	command.Stdout, command.Stderr, command.WaitDelay = out, said, time.Second
	err := command.Run()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		err = errors.New("it took longer than " + setting.FormatDuration(t.Timeout))
	}
	if err == nil {
		return tokenOf(out.Bytes(), "the output of the command")
	}
	reason := "credentials: the command failed"
	if text := Clean(said.String()); text != "" {
		reason += ": " + text
	}
	return "", &EndError{Kind: EndDial, Reason: reason, Err: err}
}

// bounded keeps the first bytes that are written.
type bounded struct {
	bytes.Buffer
	most int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), b.most-b.Len())]) // into memory
	return len(p), nil
}

// formBody is the body of a request whose form is in a variable.
var formBody = Body{text: expression.MustParseTemplate("{{form}}")}

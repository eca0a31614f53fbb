package source

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/leatstream/leat/internal/expression"
	"github.com/leatstream/leat/internal/setting"
)

// Headers are the header fields of a request, by their names. Their values are secret, and templates.
type Headers map[string]setting.Secret

// Check returns what is wrong with them. It repeats no text of theirs.
func (h Headers) Check() error {
	var wrong []error
	for _, secret := range h {
		if _, err := expression.ParseTemplate(secret.Reveal()); err != nil {
			wrong = append(wrong, &setting.FieldError{Field: "headers", Err: err})
		}
	}
	return errors.Join(wrong...)
}

// Names returns the variables that they name.
func (h Headers) Names() []string {
	var names []string
	for _, secret := range h {
		if t, err := expression.ParseTemplate(secret.Reveal()); err == nil {
			names = append(names, t.Names()...)
		}
	}
	return names
}

// Expand sets the fields of a header. One whose value is empty is left out.
func (h Headers) Expand(header http.Header, vars map[string]any) error {
	for name, secret := range h {
		t, err := expression.ParseTemplate(secret.Reveal())
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		value, err := t.Expand(vars, nil)
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		if value != "" {
			header.Set(name, value)
		}
	}
	return nil
}

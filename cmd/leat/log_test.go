package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/lmittmann/tint"
)

// traced is an error that prints its stack with %+v, as those of some libraries do.
type traced struct{}

func (traced) Error() string { return "sync failed" }

func (traced) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, "sync failed")
	if verb == 'v' && f.Flag('+') {
		_, _ = io.WriteString(f, "\n(1) attached stack trace\n  -- stack trace:\n  | main.main")
	}
}

func TestErrorsAreLoggedInALine(t *testing.T) {
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"file": func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: plainErrors})
		},
		"terminal": func(w io.Writer) slog.Handler {
			return tint.NewTextHandler(w, &tint.Options{ReplaceAttr: plainErrors})
		},
	} {
		var out strings.Builder
		log := slog.New(handler(&out))
		log.Error("commit", "error", traced{}, "stream", "clicks")
		log.Error("commit", "cause", fmt.Errorf("put: %w", traced{}), slog.Group("of", "error", errors.Join(traced{}, errors.New("second"))))
		if got := out.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "stack") || strings.Count(got, "sync failed") != 3 {
			t.Errorf("%s: got %s", name, got)
		}
		out.Reset()
		var none error
		log.Info("ended", "error", none, "stream", "clicks")
		if got := out.String(); strings.Contains(got, "error") || strings.Contains(got, "nil") || !strings.Contains(got, "clicks") {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
